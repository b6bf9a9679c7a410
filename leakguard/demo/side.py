"""One side of the demo: a server, the load, and what came of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from leakguard.demo.client import Client, Fate, Outcome
from leakguard.demo.load import drive
from leakguard.demo.progress import Progress
from leakguard.demo.schedule import Planned, warm_up
from leakguard.demo.server import Server
from leakguard.demo.watch import Watch
from leakguard.errors import NotMeasuredError
from leakguard.units import format_size

READY_WITHIN = 30.0


@dataclass(frozen=True, slots=True)
class Side:
    """What one side came to.

    Sizes are bytes of RSS: of a fresh worker, of the largest, and of all at one time. ``restarts`` are the workers seen after
    the first one.
    """

    name: str
    outcomes: tuple[Outcome, ...]
    restarts: int
    killed: int
    fresh: int
    peak: int
    together: int


async def run_side(name: str, server: Server, planned: Sequence[Planned], room: int | None, progress: Progress) -> Side:
    """Send the load to a started server and return what came of it.

    With ``room`` the worker is killed when it is that many bytes above what it had when fresh; without it nobody interferes.

    Raises:
        NotMeasuredError: when the server does not answer or ends.
    """
    client = Client(server.port)
    try:
        await _until_ready(server, client)
        await drive(warm_up(), client)
        watch = Watch(server)
        watch.look()
        fresh = watch.rss
        if not fresh:
            raise NotMeasuredError("no worker process of the server is alive")
        if room is not None:
            watch = Watch(server, kill_at=fresh + room)
        outcomes = await _load(name, client, planned, watch, progress)
        watch.look()
        if not server.running:
            raise NotMeasuredError("the server ended under the load")
        restarts = max(len(watch.pids) - 1, 0)
        return Side(name, tuple(outcomes), restarts, len(watch.killed), fresh, watch.peak, watch.together)
    finally:
        client.close()


async def _until_ready(server: Server, client: Client) -> None:
    deadline = asyncio.get_running_loop().time() + READY_WITHIN
    while (await client.send(Planned(0.0, "GET", "/health", keep_alive=False))).fate is not Fate.OK:
        if not server.running or asyncio.get_running_loop().time() > deadline:
            raise NotMeasuredError("the server did not come up")
        await asyncio.sleep(0.05)


async def _load(
    name: str, client: Client, planned: Sequence[Planned], watch: Watch, progress: Progress
) -> list[Outcome]:
    fates: Counter[bool] = Counter()
    seconds = planned[-1].at if planned else 0.0

    def tell(outcome: Outcome) -> None:
        fates[outcome.fate.lost] += 1
        progress.status(
            lambda: (
                f"{name}: {outcome.planned.at:3.0f} of {seconds:.0f} s, {fates.total()} requests, {fates[True]} lost, "
                f"worker at {format_size(watch.rss)}, {max(len(watch.pids) - 1, 0)} restarts"
            )
        )

    watching = asyncio.create_task(watch.run())
    try:
        return await drive(planned, client, tell)
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
