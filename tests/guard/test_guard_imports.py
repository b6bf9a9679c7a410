"""Late imports of ours are no growth of the host's; growth of the host's is no import of ours."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from leakguard.guard.imports import LateImports
from leakguard.records import Reading, Window


def window(number: int, low: int) -> Window:
    """Return a window of a hundred requests whose lowest level is ``low`` blocks."""
    reading = Reading(at=1e9 + number, rss=50 << 20, blocks=low + 500)
    return Window(1e9 + number, 1e9 + number + 1, reading, 100 * number, 0, blocks_low=low, warm=True)


@pytest.fixture
def heavy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return a module, not imported yet, that keeps 2 000 objects."""
    (tmp_path / "heavy_module.py").write_text("kept = [object() for _ in range(2000)]\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "heavy_module"
    sys.modules.pop("heavy_module", None)


def test_a_short_import_is_counted_and_other_work_is_not(heavy: str) -> None:
    """What is imported counts with its blocks; a block of code that imports nothing counts as nothing, whatever it keeps."""
    imports = LateImports()
    kept = []
    with imports.short():
        kept.append([object() for _ in range(5000)])
    assert imports.blocks == 0
    with imports.short():
        importlib.import_module(heavy)
    assert imports.blocks >= 2000
    assert kept


def test_the_deep_looks_imports_are_the_step_after_them() -> None:
    """The first window that began after the imports is lowered by their step, and keeps the growth that was there before."""
    imports = LateImports()
    first, second, third, fourth = (window(1, 1000), window(2, 1200), window(3, 8400), window(4, 1))
    assert imports.without(first, 0, None, 2.0) is first
    imports.deep(1)
    assert imports.without(second, 1, first, 2.0) is second  # it began before
    lowered = imports.without(third, 2, second, 2.0)
    assert lowered.blocks_low == 1400  # two blocks for each of a hundred requests, as before
    assert imports.blocks == 7000
    assert imports.without(fourth, 3, lowered, 2.0) is fourth  # once per worker


def test_a_level_that_falls_hides_no_growth() -> None:
    """Where the level fell across the imports nothing is taken off: not less than no blocks were imported."""
    imports = LateImports()
    imports.deep(1)
    low = window(3, 900)
    assert imports.without(low, 2, window(2, 1200), 0.0).blocks_low == 900
    assert imports.blocks == 0
