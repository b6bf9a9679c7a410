"""Names that come from clients or from the host's code, made harmless before they reach a terminal."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 2000  # names are far shorter; a sentence with several of them may need it

# Everything but printable ASCII is looked at one by one; names are ASCII nearly always.
_SUSPECT = re.compile(r"[^\x20-\x7e]")
_HARMFUL = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def safe(text: str) -> str:
    """Return the text with control, formatting (bidirectional, zero-width) and separator characters as visible escapes.

    A route name is what a client sent: raw, an escape sequence in it could repaint or even drive the terminal that the
    report is read in.
    """
    if len(text) > LONGEST:
        text = text[: LONGEST - 1] + "…"
    return _SUSPECT.sub(_shown, text)


def _shown(match: re.Match[str]) -> str:
    character = match[0]
    if unicodedata.category(character) not in _HARMFUL:
        return character
    return character.encode("unicode_escape").decode("ascii")
