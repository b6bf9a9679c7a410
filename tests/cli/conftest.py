"""What every test of the command line starts from."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    """No option of the machine that tests run on, and nobody's own journal."""
    for name in list(os.environ):
        if name.startswith("LEAKGUARD_") or name in {"NO_COLOR", "FORCE_COLOR"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
