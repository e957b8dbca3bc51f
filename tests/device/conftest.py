"""The twin of these tests holds the real application with a small model made on the spot."""

from __future__ import annotations

import pytest

from cicada.training.selftest import with_selftest
from support.twins import blob, node_flash


@pytest.fixture(scope="session")
def dut_image() -> bytes:
    """Flash with the real application."""
    return node_flash({"kws": with_selftest(blob())})
