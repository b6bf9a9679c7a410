"""The demo from end to end: which app, both sides one after the other, the journal of the guarded one."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from leakguard.demo.comparison import Comparison, column
from leakguard.demo.progress import Progress
from leakguard.demo.schedule import PEAK_RATE, RATE, plan
from leakguard.demo.server import Server, check_installed
from leakguard.demo.side import Side, run_side
from leakguard.errors import NotMeasuredError
from leakguard.journal.reading import read
from leakguard.journal.story import Story
from leakguard.units import format_size

SECONDS = 36
ROOM = 32 * 1024 * 1024
"""How far the ceiling lies above a fresh worker: under this load the example fills it in seven or eight seconds."""

GUARDED = {
    "LEAKGUARD_LEVEL": "census",
    "LEAKGUARD_INTERVAL": "0.5s",
    "LEAKGUARD_WARMUP": "2s",
    "LEAKGUARD_MIN_LIFETIME": "4s",
    "LEAKGUARD_COOL_DOWN": "1s",
}
"""A day in half a minute: frequent looks, short windows, a short warm-up, and workers that may be replaced after seconds."""

_HERE = Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What a run of the demo came to: the comparison and the story that the guarded server's journal tells."""

    comparison: Comparison
    story: Story


def find_app(given: Path | None = None) -> Path:
    """Return the directory with ``app.py``: the given one, the example of a checkout, or the copy inside the package.

    Raises:
        NotMeasuredError: when there is none.
    """
    places = (
        [given]
        if given
        else [Path("examples/game_server"), _HERE / "game_server", _HERE.parents[1] / "examples/game_server"]
    )
    for place in places:
        if (place / "app.py").is_file():
            return place.resolve()
    raise NotMeasuredError(f"there is no app.py in {places[0]}; name the directory of the example: --app DIR")


def run(app: Path, progress: Progress, seconds: int = SECONDS) -> Result:
    """Run both sides, ``seconds`` of load each, on the app in a directory; about ten seconds more for starts and ends.

    Raises:
        NotMeasuredError: when a package is missing or a server does not answer.
        JournalError: when leakguard wrote no journal, or one that cannot be read.
    """
    check_installed()
    planned = plan(seconds)
    with _sigterm_as_interrupt(), tempfile.TemporaryDirectory(prefix="leakguard-demo-") as folder:
        here = Path(folder)

        def run_one(name: str, options: Mapping[str, str], room: int | None) -> Side:
            with Server(app, options, here / f"{name}.log") as server:
                try:
                    side = asyncio.run(run_side(name, server, planned, room, progress))
                except NotMeasuredError:
                    progress.step(f"the server's last words:\n{server.log_tail()}")
                    raise
            progress.step(f"    {_summary(side)}")
            return side

        progress.step(
            f"leakguard demo: {app.name} under gunicorn, {RATE} requests a second with peaks of {PEAK_RATE}, "
            f"{sum(each.malformed for each in planned)} of {len(planned)} malformed; twice {seconds} s"
        )
        progress.step(
            "1/2 without leakguard: a watchdog kills the worker at the ceiling (as PM2's max_memory_restart does)"
        )
        without = run_one("without", {"LEAKGUARD_LEVEL": "off"}, ROOM)
        ceiling = without.fresh + ROOM
        progress.step(f"2/2 with leakguard: ceiling {format_size(ceiling)}, {format_size(ROOM)} above a fresh worker")
        journal = here / "journal.sqlite3"
        options = {**GUARDED, "LEAKGUARD_CEILING": str(ceiling), "LEAKGUARD_JOURNAL": str(journal)}
        guarded = run_one("with", options, None)
        story = dataclasses.replace(read(journal), path="of this demo, not kept")
        return Result(Comparison(column(without), column(guarded), ceiling, seconds), story)


def _summary(side: Side) -> str:
    lost = sum(outcome.fate.lost for outcome in side.outcomes)
    return (
        f"{len(side.outcomes)} requests, {lost} lost, {side.restarts} restarts, largest worker {format_size(side.peak)}"
    )


@contextlib.contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """While the demo runs, SIGTERM ends it as Ctrl-C does, so that its servers are ended too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
