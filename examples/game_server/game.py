"""The rules of the game's backend: telemetry, bans and daily rewards.

It has a bug, the one of the story that the README tells; see if you find it before leakguard does.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import world
from starlette.requests import Request

DAY = 24 * 60 * 60
FASTEST = 40.0  # map units per second: nobody walks faster than this without cheating

banned = {f"player{number}" for number in range(0, 400, 29)}
claims = {f"player{number}": 0.0 for number in range(400)}
recent: deque[tuple[str, int]] = deque(maxlen=256)


async def database(milliseconds: int) -> None:
    """Wait as long as the database would take; there is none here."""
    await asyncio.sleep(milliseconds / 1000)


@dataclass
class Submission:
    """One batch of telemetry at work."""

    request: Request
    events: list[dict[str, Any]]
    number: int = field(default_factory=itertools.count(1000).__next__)


pending: dict[int, Submission] = {}


async def is_at_work(submission: Submission) -> bool:
    """Tell whether the same batch is at work already: impatient players send theirs again."""
    for other in list(pending.values()):
        await database(1)  # is the other one still what it was?
        if other.events[0] == submission.events[0]:
            return True
    return False


async def ingest(request: Request) -> dict[str, Any]:
    """Take in one batch of telemetry, unless the same batch is at work already."""
    batch = await request.json()
    submission = Submission(request, batch["events"])
    if await is_at_work(submission):
        return {"accepted": 0, "duplicate": True}
    pending[submission.number] = submission
    player = batch["player"]
    if is_too_fast(submission.events):
        banned.add(player)
    recent.append((player, len(submission.events)))
    await database(20)
    del pending[submission.number]
    return {"accepted": len(submission.events), "duplicate": False}


def is_too_fast(events: list[dict[str, Any]]) -> bool:
    """Tell whether somebody moved faster than the game allows."""
    for before, after in itertools.pairwise(events):
        seconds = max(after["at"] - before["at"], 0.001)
        if abs(after["x"] - before["x"]) + abs(after["y"] - before["y"]) > FASTEST * seconds:
            return True
    return False


async def is_banned(player: str) -> bool:
    """Tell whether a player is banned."""
    await database(25)
    return player in banned


async def claim_reward(claim: dict[str, Any]) -> dict[str, Any]:
    """Hand out today's reward, once a day, at the nearest chest."""
    player = claim["player"]
    now = time.time()
    if player not in claims or now - claims[player] < DAY:
        return {"player": player, "reward": 0}
    claims[player] = now
    await database(40)
    chest, steps = world.nearest_chest(int(claim["x"]), int(claim["y"]))
    return {"player": player, "reward": 100, "chest": chest, "steps": steps}
