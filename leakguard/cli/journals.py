"""Which journal a command reads, from when on, and what to say when there is none."""

from __future__ import annotations

import time
import typing
from pathlib import Path

import click

from leakguard.config import Config
from leakguard.errors import JournalError, NotMeasuredError
from leakguard.journal.reading import read
from leakguard.journal.story import Story
from leakguard.units import format_duration, parse_duration

FIRST = (
    "wrap the app in leakguard.LeakGuardMiddleware (ASGI) or leakguard.LeakGuardWSGI, serve some minutes of its usual "
    "load and ask again; or name another journal: --journal PATH"
)


class Duration(click.ParamType[float]):
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
    type=click.Path(path_type=Path),
    help="The journal to read. Default: LEAKGUARD_JOURNAL, else the one in your state directory.",
)
since_option = click.option(
    "--since",
    type=Duration(),
    metavar="AGE",
    help="Only what happened in the last 2h, 30m, 1d …; older findings are not new.",
)


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


def open_story(path: Path, since: float | None) -> Story:
    """Return what a journal tells of the last ``since`` seconds.

    Raises:
        JournalError: when there is none, or it cannot be read; the message says what to do.
        NotMeasuredError: when there is nothing in it to report.
    """
    try:
        story = read(path, None if since is None else time.time() - since)
    except JournalError as error:
        if not path.exists() or path.stat().st_size == 0:
            raise JournalError(f"{error}; {FIRST}") from error
        raise
    if story.windows or story.findings:
        return story
    if since is not None:
        raise NotMeasuredError(
            f"nothing was written into {path} in the last {format_duration(since)}; try a longer --since"
        )
    workers = len(story.workers)
    seen = (
        f"{workers} worker{'' if workers == 1 else 's'} introduced itself but closed no window yet"
        if workers
        else "it is empty"
    )
    raise NotMeasuredError(f"nothing was measured in {path}: {seen}; {FIRST}")
