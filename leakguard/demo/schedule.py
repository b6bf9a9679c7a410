"""The load: what is sent when. Planned beforehand, the same for both sides, so that only the server can make a difference.

Forty requests a second with peaks of eighty, as in the story. A share of the telemetry and of the reward claims is malformed:
valid JSON without the player's name, as tools for cheating send it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

RATE = 40
PEAK_RATE = 80
PEAK_EVERY = 8  # seconds from peak to peak
PEAK_SECONDS = 2
TELEMETRY_SHARE = 0.6
BANS_SHARE = 0.25  # the rest claims rewards
MALFORMED_TELEMETRY = 0.3
MALFORMED_CLAIMS = 0.1
PLAYERS = 400
EVENTS = 10  # in a player's batch
EVENTS_OF_A_CHEAT = 360  # a tool that sends a whole evening at once: about 200 KiB
_INPUTS = [
    "".join(random.Random(number).choices("wasd_", k=512)) for number in range(32)
]  # keys pressed between events


@dataclass(frozen=True, slots=True)
class Planned:
    """One request of the plan: when it is meant to be sent (seconds from the start), what, and over which connection."""

    at: float
    method: str
    path: str
    body: bytes = b""
    keep_alive: bool = True
    malformed: bool = False


def rate_at(second: int) -> int:
    """Return the requests that are sent in one second of the plan."""
    return PEAK_RATE if second % PEAK_EVERY >= PEAK_EVERY - PEAK_SECONDS else RATE


def plan(seconds: int, seed: int = 1) -> list[Planned]:
    """Return the requests of ``seconds`` seconds in the order of their times; the same seed gives the same plan.

    Within a second the times are drawn at random: requests of many users do not come in step.
    """
    dice = random.Random(seed)
    numbers = iter(range(1_000_000_000))
    planned = []
    for second in range(seconds):
        times = sorted(second + dice.random() for _ in range(rate_at(second)))
        planned += [_draw(dice, at, numbers) for at in times]
    return planned


def warm_up(seed: int = 0) -> list[Planned]:
    """Return a few well-formed requests to each route, sent before anything is measured: first requests are slow."""
    dice = random.Random(seed)
    return [
        Planned(0.02 * turn, method, path, body)
        for turn in range(10)
        for method, path, body in (
            ("GET", "/bans/player1", b""),
            ("POST", "/telemetry", _telemetry(dice, {"player": "player1"}, -1 - turn, EVENTS)),
            ("POST", "/rewards/daily", json.dumps({"player": "player0", "x": 1, "y": 1}).encode()),
        )
    ]


def _draw(dice: random.Random, at: float, numbers: Iterator[int]) -> Planned:
    player = f"player{dice.randrange(PLAYERS)}"
    keep_alive = dice.random() < 0.5
    kind = dice.random()
    if kind < TELEMETRY_SHARE:
        malformed = dice.random() < MALFORMED_TELEMETRY
        who, events = ({"player": player}, EVENTS) if not malformed else ({"tool": "speedhack"}, EVENTS_OF_A_CHEAT)
        return Planned(at, "POST", "/telemetry", _telemetry(dice, who, next(numbers), events), keep_alive, malformed)
    if kind < TELEMETRY_SHARE + BANS_SHARE:
        return Planned(at, "GET", f"/bans/{player}", b"", keep_alive)
    malformed = dice.random() < MALFORMED_CLAIMS
    claim: dict[str, object] = {} if malformed else {"player": player}
    claim |= {"x": dice.randrange(96), "y": dice.randrange(96)}
    return Planned(at, "POST", "/rewards/daily", json.dumps(claim).encode(), keep_alive, malformed)


def _telemetry(dice: random.Random, who: dict[str, str], number: int, events: int) -> bytes:
    """Return one batch; its first event's time is ``number`` hours, so that no two batches are the same."""
    x, y, at = dice.random() * 96, dice.random() * 96, number * 3600.0
    walk = []
    for _ in range(events):
        walk.append({"at": round(at, 3), "x": round(x, 2), "y": round(y, 2), "inputs": dice.choice(_INPUTS)})
        at, x, y = at + 1 + dice.random(), x + dice.random() - 0.5, y + dice.random() - 0.5
    return json.dumps({**who, "events": walk}).encode()
