"""The document that the page shows: made by a process of its own, one at a time, and given again while it is fresh."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import typing
from dataclasses import dataclass
from pathlib import Path

import leakguard
from leakguard.web import notices

if typing.TYPE_CHECKING:
    import anyio

SHORTEST_REST = 3.0  # seconds between two pictures of one worker
SHARE = 0.1  # of one core, at the most, that drawing may take while somebody watches
BIG = 8 << 20  # bytes of a journal that takes too long for somebody who has just come
COLD = 60.0  # seconds after which a picture is too old to be shown to one
DEADLINE = 30.0
# Our own place comes last on the path: it must not hide anybody's modules.
_DRAW = "import sys; sys.path.append(sys.argv.pop()); from leakguard.web.draw import main; main(*sys.argv[1:])"


@dataclass(frozen=True, slots=True)
class Picture:
    """One document, its HTTP status, and the seconds after which a new one may be made."""

    document: bytes | str
    status: int
    made: float
    rest: float

    def stale_in(self) -> float:
        """Return the seconds until a new picture may be made, at least one: when to ask again."""
        return max(self.made + self.rest - time.monotonic() + 0.1, 1.0)


class Pictures:
    """Makes pictures of one journal. Visitors that come together share one."""

    def __init__(self, journal: Path | None) -> None:
        self._journal = journal
        self._picture: Picture | None = None
        self._turn: anyio.Lock | None = None  # made in the event loop
        self._thread: anyio.CapacityLimiter | None = None

    async def latest(self) -> Picture:
        """Return the picture, a new one if the last is older than its rest. The event loop waits for nothing."""
        import anyio
        import anyio.to_thread

        if self._turn is None:
            # Not one of the host's own worker threads: they may all be busy with the host's requests.
            self._turn, self._thread = anyio.Lock(), anyio.CapacityLimiter(1)
        async with self._turn:
            picture = self._picture
            if picture is None or time.monotonic() >= picture.made + picture.rest:
                cold = picture is None or time.monotonic() - picture.made > COLD
                picture = await anyio.to_thread.run_sync(draw, self._journal, cold, limiter=self._thread)
                self._picture = picture
        return picture


def draw(journal: Path | None, cold: bool = False) -> Picture:
    """Return a picture of the journal as it is now. Takes about as long as ``leakguard report``.

    Args:
        journal: to be read.
        cold: somebody waits for the first picture: of a big journal only the last hour, to be followed by the whole.
    """
    if journal is None:
        return _nothing("the journal is off (LEAKGUARD_JOURNAL=off), so nothing is remembered")
    quick = cold and _size(journal) > BIG
    root = str(Path(leakguard.__file__).resolve().parents[1])
    command = [sys.executable, "-P", "-c", _DRAW, str(journal), "quick" if quick else "whole", root]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LEAKGUARD_")}
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE, check=False, env=environment
        )
    except subprocess.TimeoutExpired:
        return _nothing(f"reading the journal took longer than {DEADLINE:.0f} s")
    except OSError as error:
        return _nothing(f"no process could be started to read the journal ({error.strerror})")
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        return _nothing(said[-1] if said else f"the process that reads the journal ended with {done.returncode}")
    # Its processor time, not ours on the clock: on a busy machine it waits long and takes little.
    seconds, _, document = done.stdout.partition(b"\n")
    rest = 0.0 if quick else max(SHORTEST_REST, float(seconds) / SHARE)
    return Picture(document, 200, time.monotonic(), rest)


def _size(journal: Path) -> int:
    try:
        return journal.stat().st_size
    except OSError:
        return 0


def _nothing(sentence: str) -> Picture:
    return Picture(notices.nothing_yet(sentence, SHORTEST_REST + 2), 503, time.monotonic(), SHORTEST_REST)
