"""docs/performance.md: each section stands between two markers, so that one can be measured again without the others."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "performance.md"


def put(page: str, name: str, text: str) -> str:
    """Return ``page`` with the section ``name`` replaced by ``text``, or appended where the page has none yet."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    block = f"{begin}\n{text}\n{end}"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if pattern.search(page):
        return pattern.sub(lambda _: block, page)
    return page.rstrip("\n") + "\n\n" + block + "\n"


def write(name: str, text: str) -> None:
    """Put one section into the page."""
    PAGE.write_text(put(PAGE.read_text(), name, text))
