"""Interpreters with our C modules, for the tests of the modules."""

from __future__ import annotations

import pytest

from support.interpreters import Interpreter, get


@pytest.fixture(scope="session", params=["unix-sanitized", "rv32"])
def interpreter(request: pytest.FixtureRequest) -> Interpreter:
    """MicroPython on this machine, watched by sanitizers; then on a bare RV32 machine with a small heap."""
    return get(request.param)
