"""Fixtures every room of the test tree may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cicada.tools.paths import ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real recordings and reference models; tests that ask for it skip where it is absent.

    With ``CICADA_REQUIRE_SHARED=1`` (as in CI) they fail instead.
    """
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        reason = "needs the recordings of ../shared/data, which are not here"
        if os.environ.get("CICADA_REQUIRE_SHARED") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder
