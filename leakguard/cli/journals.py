"""Which journal a command reads, from when on, and what to say when there is none."""

from __future__ import annotations

import difflib
import time
import typing
from dataclasses import replace
from pathlib import Path

import click

from leakguard.cli.kinds import FilePath, Kind
from leakguard.cli.progress import Progress
from leakguard.config import Config
from leakguard.errors import JournalError, NotMeasuredError
from leakguard.journal.part import Part
from leakguard.journal.reading import read
from leakguard.journal.story import Story
from leakguard.reports.words import clock
from leakguard.units import format_duration, parse_duration

FIRST = (
    "wrap the app in leakguard.LeakGuardMiddleware (ASGI) or leakguard.LeakGuardWSGI, serve some minutes of its usual "
    "load and ask again; or name another journal: --journal PATH"
)


class Duration(Kind):
    """A duration such as ``2h``; becomes seconds."""

    name = "duration"

    def convert(self, value: typing.Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds that a text names."""
        try:
            seconds = parse_duration(value)
        except ValueError:
            seconds = 0.0
        if seconds <= 0:
            self.fail(f"{value!r} is not a duration greater than zero; for example 2h, 30m or 90s", param, ctx)
        return seconds


journal_option = click.option(
    "--journal",
    "path",
    metavar="PATH",
    type=FilePath(),
    help="The journal to read. Default: LEAKGUARD_JOURNAL, else the one in your state directory.",
)
since_option = click.option(
    "--since",
    type=Duration(),
    metavar="AGE",
    help="Only what happened in the last 2h, 30m, 1d …; older findings are not new.",
)


worker_option = click.option(
    "--worker",
    "workers",
    type=click.IntRange(1),
    multiple=True,
    metavar="PID",
    help="Only what this worker did; may be given several times.",
)
route_option = click.option(
    "--route",
    "routes",
    multiple=True,
    metavar="ROUTE",
    help="Only this route, such as 'POST /telemetry' or 'POST *'; may be given several times. Memory is of the whole worker.",
)


def part_of(since: float | None, workers: tuple[int, ...] = (), routes: tuple[str, ...] = ()) -> Part:
    """Return the part of a journal that the options ask for; ``since`` in seconds before now."""
    return Part(None if since is None else time.time() - since, workers=frozenset(workers), routes=routes)


def chosen(path: Path | None) -> Path:
    """Return the journal that is meant.

    Raises:
        ConfigError: when a ``LEAKGUARD_*`` variable has a wrong value.
        NotMeasuredError: when the journal is off.
    """
    if path is not None:
        return path.expanduser()
    configured = Config.load().journal
    if configured is None:
        raise NotMeasuredError(
            "the journal is off (LEAKGUARD_JOURNAL=off), so nothing is remembered; name one: --journal PATH"
        )
    return configured


def open_story(path: Path, part: Part | float | None = None) -> Story:
    """Return what a journal tells.

    Args:
        path: the journal.
        part: the part that is meant, everything by default; a number is short for the last so many seconds.

    Raises:
        JournalError: when there is none, or it cannot be read; the message says what to do.
        NotMeasuredError: when there is nothing in it to report, or nothing of that part.
    """
    part = part if isinstance(part, Part) else part_of(part)
    try:
        with Progress(f"reading {path.name}") as progress:
            story = read(path, part=part, tell=progress)
    except JournalError as error:
        if not path.exists() or path.stat().st_size == 0:
            raise JournalError(f"{error}; {FIRST}") from error
        raise
    if part.routes and not story.routes:
        raise NotMeasuredError(_no_route(path, part))
    if story.windows or story.findings:
        return story
    if part.workers:
        raise NotMeasuredError(_no_worker(path, part))
    if part.until is not None:
        raise NotMeasuredError(f"nothing was written into {path} from {_span(part)}")
    if part.since is not None:
        raise NotMeasuredError(
            f"nothing was written into {path} in the last {format_duration(time.time() - part.since)}; try a longer --since"
        )
    workers = len(story.workers)
    seen = (
        f"{workers} worker{'' if workers == 1 else 's'} introduced itself but closed no window yet"
        if workers
        else "it is empty"
    )
    raise NotMeasuredError(f"nothing was measured in {path}: {seen}; {FIRST}")


def _span(part: Part) -> str:
    first = "its beginning" if part.since is None else f"{clock(part.since)} UTC"
    return f"{first} to {clock(part.ended)} UTC"


def _no_route(path: Path, part: Part) -> str:
    wanted = " or ".join(part.routes)
    known = [route.route for route in read(path, part=replace(part, routes=())).routes or ()]
    close = difflib.get_close_matches(part.routes[0], known, n=3, cutoff=0.3) or known[:3]
    there = f"; there are, for example: {', '.join(close)}" if close else ""
    return f"no request of {wanted} in {path}{there}"


def _no_worker(path: Path, part: Part) -> str:
    wanted = " or ".join(map(str, sorted(part.workers)))
    known = [str(each.worker.pid) for each in read(path, part=replace(part, workers=frozenset())).workers][-5:]
    return f"worker {wanted} closed no window in {path}{'; the latest are ' + ', '.join(known) if known else ''}"
