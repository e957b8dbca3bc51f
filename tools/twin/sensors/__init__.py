"""Sensors of the twin: what the world does, and the chips that measure it, in virtual time."""
