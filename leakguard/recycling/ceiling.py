"""When a worker is relieved, when it is replaced, and when it is left alone: one pure function.

The rules keep recycling from looping: several readings in a row, a ceiling well above a fresh worker's size, a minimum
lifetime, a cool-down between recycles of one server, a daily cap, and relief before everything else.
"""

from __future__ import annotations

import enum
import typing

from leakguard.units import format_duration, format_size

READINGS = 3  # in a row above the ceiling before anything is done: one spike is not a level
RELIEF_PAUSE = 60.0  # relief costs a full collection: once a minute is enough

# What a fresh worker still gains without leaking (first requests, late imports, thread stacks) is a few MiB, and more in
# a large one. A ceiling closer than this to the baseline would be reached again at once by every successor.
ROOM_SHARE = 0.10
ROOM_LEAST = 4 * 1024 * 1024


class Step(enum.StrEnum):
    """What to do now."""

    HOLD = "hold"
    RELIEVE = "relieve"
    RECYCLE = "recycle"
    LEAVE = "leave"  # the hard ceiling: do not wait for the turn any longer
    REFUSE = "refuse"  # the ceiling makes no sense for this worker


class Decision(typing.NamedTuple):
    """What to do now and why; ``rule`` names the rule that decided, so that each is told once."""

    step: Step
    reason: str
    rule: str = ""


class Situation(typing.NamedTuple):
    """All that the decision depends on. Sizes in bytes, times in seconds.

    ``above`` and ``above_hard`` count the latest readings in a row at or over the marks; ``since_relief`` and
    ``since_recycle`` (of any worker of this server) are ``None`` when there was none; ``today`` counts the recycles of
    this server's workers in the last 24 hours. ``rss`` leaves out ``shared``, this worker's siblings' part of what they share.
    """

    rss: int
    baseline: int
    soft: int
    hard: int
    above: int
    above_hard: int
    age: float
    min_lifetime: float
    since_relief: float | None
    since_recycle: float | None
    cool_down: float
    today: int
    daily_cap: int
    shared: int = 0


def room(baseline: int) -> int:
    """Return how far above a fresh worker's ``baseline`` a ceiling must lie: a tenth of it, at least 4 MiB."""
    return max(ROOM_LEAST, int(baseline * ROOM_SHARE))


def decide(now: Situation) -> Decision:
    """Return what to do in this situation, with the reason in words and figures."""
    least = now.baseline + room(now.baseline)
    if now.soft < least:
        return Decision(
            Step.REFUSE,
            f"the ceiling of {format_size(now.soft)} is too low for this app: a fresh worker takes "
            f"{format_size(now.baseline)}, so every successor would be replaced at once; "
            f"set it to {format_size(least)} or more",
            "refused",
        )
    if now.above < READINGS:
        return Decision(Step.HOLD, f"{format_size(now.rss)} of {format_size(now.soft)}")
    if now.since_relief is None or now.since_relief >= RELIEF_PAUSE:
        return Decision(Step.RELIEVE, _above(now))
    if now.age < now.min_lifetime:
        rest = format_duration(now.min_lifetime - now.age)
        return Decision(Step.HOLD, f"{_above(now)}, but younger than min_lifetime; waiting {rest}", "min_lifetime")
    if now.today >= now.daily_cap:
        reason = f"{_above(now)}, but {now.today} recycles in 24 h reach daily_cap={now.daily_cap}; only reporting"
        return Decision(Step.HOLD, reason, "daily_cap")
    if now.above_hard >= READINGS:
        reason = f"{_rss(now)} over the hard ceiling of {format_size(now.hard)}, {_grown(now)}"
        return Decision(Step.LEAVE, reason)
    if now.since_recycle is not None and now.since_recycle < now.cool_down:
        rest = format_duration(now.cool_down - now.since_recycle)
        return Decision(Step.HOLD, f"{_above(now)}, but a worker was replaced just now; waiting {rest}", "cool_down")
    return Decision(Step.RECYCLE, _above(now))


def _above(now: Situation) -> str:
    return f"{_rss(now)} over the ceiling of {format_size(now.soft)}, {_grown(now)}"


def _rss(now: Situation) -> str:
    apart = f", without {format_size(now.shared)} that siblings share," if now.shared else ""
    return f"RSS of {format_size(now.rss)}{apart}"


def _grown(now: Situation) -> str:
    return f"{format_size(now.rss - now.baseline)} above the worker's own {format_size(now.baseline)} at start"
