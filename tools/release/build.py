"""Make a release."""

from __future__ import annotations

from typing import Any

from cicada.tools.release import envelope
from cicada.tools.release import manifest as manifests
from cicada.tools.release.keys import Signer


def make_envelope(manifest: dict[str, Any], signer: Signer) -> bytes:
    """The envelope of a manifest.

    Raises:
        ValueError: if the manifest is not valid.
    """
    return envelope.pack(manifests.encode(manifest), signer)
