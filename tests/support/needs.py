"""What a test needs from the machine, said honestly."""

from __future__ import annotations

import importlib
import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def require(holds: object, need: str) -> None:
    """Skip the test when what it needs is missing, saying what it is; in CI that is a failure."""
    if holds:
        return
    if os.environ.get("CI"):
        pytest.fail(f"this test needs {need}, and .ci/run must provide it")
    pytest.skip(f"needs {need}")


def module(name: str) -> ModuleType:
    """Return a package that the test needs, as ``require`` does when it is missing."""
    require(importlib.util.find_spec(name), f"the package {name} (extra dev)")
    return importlib.import_module(name)
