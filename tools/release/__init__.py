"""Signed releases of firmware and models: keys, manifests, payloads, and the folder devices update from."""
