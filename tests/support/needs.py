"""What a test needs from the machine, said honestly."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def require(holds: object, need: str) -> None:
    """Skip the test when what it needs is missing, saying what it is; in CI that is a failure."""
    if holds:
        return
    if os.environ.get("CI"):
        pytest.fail(f"this test needs {need}, and .ci/run must provide it")
    pytest.skip(f"needs {need}")
