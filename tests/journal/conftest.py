"""Where the tests' journals lie."""

from __future__ import annotations

import pytest


@pytest.fixture
def path(tmp_path):
    """A journal's path whose folder does not exist yet."""
    return tmp_path / "state" / "journal.sqlite3"
