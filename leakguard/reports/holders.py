"""What to do about a holder, by what it is: the well-known ways in which Python programs keep things by mistake."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from leakguard.records import Finding

_METHOD = re.compile(r"(^|\.)_?[A-Z]\w*\.\w+\.lru_cache$")


@dataclass(frozen=True, slots=True)
class Habit:
    """One way to keep things by mistake: how it shows in a finding, and the way out."""

    name: str
    shows: Callable[[str, str, str], bool]
    advice: str
    particular: bool = True  # says more than that entries must be taken out


def _holder(pattern: str) -> Callable[[str, str, str], bool]:
    found = re.compile(pattern)
    return lambda holder, _type, _chain: bool(found.search(holder))


def _chain(pattern: str) -> Callable[[str, str, str], bool]:
    found = re.compile(pattern)
    return lambda _holder, _type, chain: bool(found.search(chain))


def _held_in(*types: str) -> Callable[[str, str, str], bool]:
    return lambda _holder, kind, _chain: kind.rpartition(".")[2] in types


HABITS = (
    Habit(
        "lru_cache on a method",
        lambda holder, _type, _chain: bool(_METHOD.search(holder)),
        "lru_cache on a method keeps every instance that it was called on, for it is part of the key: use cached_property, a "
        "cache in the instance (self._cache), or a module-level function of the values alone.",
    ),
    Habit(
        "cache without a bound",
        _holder(r"\.lru_cache$"),
        "functools.cache and lru_cache(maxsize=None) never let go: give it a maxsize, and no arguments that differ with every "
        "request.",
    ),
    Habit(
        "mock",
        _holder(r"\b(mock_calls|call_args_list|method_calls)\b"),
        "A Mock remembers every call with its arguments: reset_mock(), or a plain stub.",
    ),
    Habit(
        "logger names",
        _holder(r"loggerDict$"),
        "getLogger keeps a logger per name for ever: names from requests belong into the message or `extra`.",
    ),
    Habit(
        "logging handlers",
        lambda holder, _type, chain: holder.startswith("logging.") or bool(re.search(r"\bLogger\b", chain)),
        "Handlers and filters of a logger stay for ever: add them once when the app starts, not per request.",
    ),
    Habit(
        "metric labels",
        _holder(r"prometheus|\._metrics$|_label|instrument"),
        "Every new combination of labels is kept for ever: label by route template, never by path, user or id.",
    ),
    Habit(
        "signal receivers",
        _holder(
            r"\b(receivers|_by_sender|_by_receiver|listeners|_listeners|subscribers|callbacks|_callbacks|observers)\b"
        ),
        "Connect once when the app starts, or disconnect when the request ends; weak receivers let go by themselves.",
    ),
    Habit(
        "exit handlers",
        _holder(r"^(atexit|weakref)[. ]"),
        "What is registered stays until the process ends: register once, or unregister (atexit.unregister, finalizer.detach).",
    ),
    Habit(
        "context variable",
        _holder(r"^context variable "),
        "Reset the context variable with its token in `finally`: a context lives as long as the tasks that copied it.",
    ),
    Habit(
        "traceback",
        _chain(r"(?i)\b(traceback|__traceback__|tb_frame|f_locals)\b|\bframe\b"),
        "A kept exception keeps its traceback, and that every local variable of its frames: keep str(error), or "
        "error.with_traceback(None).",
    ),
    Habit(
        "running thread",
        _chain(r"^thread "),
        "A variable of a running function holds it: end the loop or the thread, or empty the variable before waiting again.",
    ),
    Habit(
        "timer",
        _holder(r"\._(scheduled|ready)$"),
        "A timer keeps its callback until it is due, needed or not: cancel the handle when the request ends.",
    ),
    Habit(
        "query log",
        _holder(r"\bqueries(_log)?\b|_recorded_queries"),
        "The database layer logs its queries: switch debug mode off in production.",
    ),
    Habit(
        "closure",
        _holder(r"<locals>"),
        "A function made per call keeps the variables that it closes over: pass what it needs, or make it once.",
    ),
    Habit(
        "default dict",
        _held_in("defaultdict"),
        "Looking something up in a defaultdict makes an entry: ask with .get() or `in`, and delete what is done with.",
        particular=False,
    ),
    Habit(
        "list",
        _held_in("list", "deque"),
        "Take entries out when they are done with, or let it forget the oldest: collections.deque(maxlen=…).",
        particular=False,
    ),
    Habit(
        "mapping",
        _held_in("dict", "OrderedDict"),
        "Delete entries when they are done with (`finally`), or bound it: a cache with maxsize and a time to live, or a "
        "WeakValueDictionary if others own the values.",
        particular=False,
    ),
    Habit(
        "set",
        _held_in("set"),
        "Discard entries when they are done with (for tasks: task.add_done_callback(tasks.discard)), or use a WeakSet.",
        particular=False,
    ),
)
"""In the order in which they are tried: the particular before the general."""


def habit(finding: Finding, holder_type: str | None) -> Habit | None:
    """Return the habit that a finding shows, ``None`` when nothing holds it or it is none of these.

    Args:
        finding: with a holder or a chain.
        holder_type: the type of the holder, where the chain tells it.
    """
    holder, chain = finding.holder or "", "\n".join(finding.chain)
    if not holder and not chain:
        return None
    return next((each for each in HABITS if each.shows(holder, holder_type or "", chain)), None)
