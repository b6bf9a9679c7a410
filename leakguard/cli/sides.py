"""The two sides of ``--compare``: each a journal, or a span of the one that is read anyway."""

from __future__ import annotations

import datetime
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path

import click

from leakguard.journal.part import Part
from leakguard.units import parse_duration

_MOMENT = re.compile(r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?)?(Z|[+-]\d\d:\d\d)?$")
FORMS = "a journal's path, or a span such as '3d..1d' (ages), '1d..' or '2026-11-18T09:00..2026-11-18T12:00' (UTC)"


@dataclass(frozen=True, slots=True)
class Operand:
    """One side as the user named it: which journal, which part of it."""

    name: str
    path: Path | None
    part: Part


def parse(text: str, part: Part, now: float | None = None) -> Operand:
    """Return what an operand of ``--compare`` means.

    Args:
        text: a path, or ``FROM..TO`` where either end may be left out: an age such as ``2h``, or a moment in ISO 8601.
        part: workers and routes that are asked for on both sides.
        now: seconds since the epoch; the present by default.

    Raises:
        click.UsageError: when it is neither.
    """
    path = Path(text).expanduser()
    if path.is_file():
        return Operand(text, path, part)
    first, dots, last = text.partition("..")
    present = time.time() if now is None else now
    try:
        ends = [_moment(each.strip(), present) for each in (first, last)]
    except ValueError:
        ends = []
    if not dots or not ends or ends == [None, None]:
        raise click.UsageError(f"--compare {text}: there is no such journal, and it is no span; give {FORMS}")
    since, until = ends
    if since is not None and until is not None and since >= until:
        raise click.UsageError(f"--compare {text}: it ends before it begins; ages count back from now: '3d..1d'")
    return Operand(text, None, replace(part, since=since, until=until))


def _moment(text: str, now: float) -> float | None:
    if not text:
        return None
    if _MOMENT.match(text):
        when = datetime.datetime.fromisoformat(text)
        return (when if when.tzinfo else when.replace(tzinfo=datetime.UTC)).timestamp()
    return now - parse_duration(text)
