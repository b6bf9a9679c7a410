"""The options: one frozen, validated record; keyword arguments over ``LEAKGUARD_*`` over defaults.

Every option is one row of ``OPTIONS``: its name, how a text becomes a value, its default and what it is for. The
environment variable is ``LEAKGUARD_`` and the name in capitals. ``leakguard config`` prints this table with each value and
where it came from.
"""

from __future__ import annotations

import enum
import os
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from leakguard.errors import ConfigError
from leakguard.units import format_duration, format_size, parse_duration, parse_share, parse_size

PREFIX = "LEAKGUARD_"
HIDDEN = "a secret, not shown"
SHORTEST_TOKEN = 16  # characters: beyond guessing
STRATEGIES = ("auto", "none", "gunicorn", "uvicorn", "hypercorn", "granian", "uwsgi", "waitress", "daphne", "exit")


class Level(enum.StrEnum):
    """How much we pay to look."""

    OFF = "off"
    WATCH = "watch"
    CENSUS = "census"
    TRACE = "trace"
    PARANOID = "paranoid"


@dataclass(frozen=True, slots=True)
class Amount:
    """A memory mark: so many bytes, or a share of the limit that the kernel enforces."""

    size: int | None = None
    share: float | None = None

    def of(self, limit: int | None) -> int | None:
        """Return the mark in bytes given the ``limit`` in bytes; ``None`` when it is a share of an unknown limit."""
        if self.size is not None:
            return self.size
        return None if limit is None or self.share is None else int(limit * self.share)

    def __str__(self) -> str:
        return format_size(self.size) if self.size is not None else f"{(self.share or 0) * 100:g}%"


class Option(typing.NamedTuple):
    """One option: how to read it, its default (as a user would write it) and its help."""

    name: str
    parse: Callable[[typing.Any], object]
    default: str | None
    rule: str
    example: str
    help: str
    secret: bool = False  # its value is never shown

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + self.name.upper()


def _level(value: str) -> Level:
    return Level(str(value).strip().lower())


def _amount(value: str | int) -> Amount:
    if isinstance(value, str) and value.strip().endswith("%"):
        return Amount(share=parse_share(value))
    return Amount(size=parse_size(value))


def _positive(value: str | float) -> float:
    seconds = parse_duration(value)
    if not 0 < seconds < 10 * 365 * 86400:
        raise ValueError("not greater than zero")
    return seconds


def _interval(value: str | float) -> float:
    seconds = _positive(value)
    if seconds < 0.05:
        raise ValueError("too short")
    return seconds


def _strategy(value: str) -> str:
    name = str(value).strip().lower()
    if name not in STRATEGIES:
        raise ValueError("not a strategy")
    return name


def _switch(value: str | bool) -> bool:
    if isinstance(value, bool):
        return value
    return {"on": True, "off": False}[str(value).strip().lower()]


def _path(value: str) -> str | None:
    text = str(value).strip()
    if text.lower() == "off":
        return None
    if not text.startswith("/") or any(mark in text for mark in "?#{} "):
        raise ValueError("not a path")
    return text


def _journal(value: str | os.PathLike[str]) -> Path | None:
    text = os.fspath(value)
    if not text.strip() or "\0" in text:
        raise ValueError("not a path")
    return None if text.strip().lower() == "off" else Path(text).expanduser()


def _count(value: str | int) -> int:
    number = int(value)
    if number < 1 or isinstance(value, bool | float):
        raise ValueError("less than one")
    return number


def _token(value: object) -> str:
    token = value.strip() if isinstance(value, str) else ""
    if len(token) < SHORTEST_TOKEN or not token.isprintable():
        raise ValueError("too short")
    return token


def _rules(value: str | typing.Iterable[str]) -> tuple[str, ...]:
    rules = value.split(",") if isinstance(value, str) else list(value)
    cleaned = tuple(rule.strip() for rule in rules if rule.strip())
    for rule in cleaned:
        if rule.partition(":")[0] not in {"type", "holder", "route", "site"} or not rule.partition(":")[2]:
            raise ValueError("not a rule")
    return cleaned


_DURATION = "must be a duration"

OPTIONS: tuple[Option, ...] = (
    Option(
        "level",
        _level,
        "watch",
        "must be one of off, watch, census, trace, paranoid",
        "level='watch'",
        "How much to pay. off: nothing at all; watch: microseconds per request, a forked look now and then; census: a "
        "look every few windows; trace: digs at mere suspects too, each time with a burst of tracemalloc (7 "
        "to 15 times per request for some seconds); paranoid: a look in every window.",
    ),
    Option(
        "interval",
        _interval,
        "10s",
        "must be a duration of at least 50ms",
        "interval='10s'",
        "Length of a window; with many requests windows are shorter while a worker is young. Shorter finds sooner and costs "
        "more.",
    ),
    Option(
        "warmup",
        parse_duration,
        "60s",
        _DURATION,
        "warmup='60s'",
        "What happens in a worker's first seconds, or its first 2 000 requests if they come sooner, is not judged: imports, "
        "caches and pools fill. A longer one counts as more requests: 10m as 20 000.",
    ),
    Option(
        "ceiling",
        _amount,
        None,
        "must be a size such as '384 MiB' or a share of the limit such as '80%'",
        "ceiling='384 MiB'",
        "Memory (RSS) at which relief, then a drain and a recycle begin. Unset: leakguard never recycles.",
    ),
    Option(
        "hard_ceiling",
        _amount,
        None,
        "must be a size such as '448 MiB' or a share of the limit such as '95%'",
        "hard_ceiling='448 MiB'",
        "Memory at which the worker stops waiting for its turn and leaves. Unset: a fifth above the ceiling.",
    ),
    Option(
        "min_lifetime",
        parse_duration,
        "2m",
        _DURATION,
        "min_lifetime='2m'",
        "A worker younger than this is never recycled, so that recycling cannot loop.",
    ),
    Option(
        "cool_down",
        parse_duration,
        None,
        _DURATION,
        "cool_down='10s'",
        "Time between two recycles of one server's workers. Unset: a tenth of min_lifetime.",
    ),
    Option(
        "daily_cap",
        _count,
        "500",
        "must be a whole number of at least 1",
        "daily_cap=500",
        "Most recycles of one server's workers in a day; beyond it leakguard only reports.",
    ),
    Option(
        "drain",
        _positive,
        "30s",
        "must be a duration greater than zero",
        "drain='30s'",
        "How long a leaving worker waits for requests in flight; what is cut then is counted as lost.",
    ),
    Option(
        "recycle",
        _strategy,
        "auto",
        f"must be one of {', '.join(STRATEGIES)}",
        "recycle='auto'",
        "Who replaces the worker. auto: found out at run time (`leakguard doctor` says what it found); none: report only; "
        "exit: where no server is known that would start the process again, end it all the same: something outside does.",
    ),
    Option(
        "drain_on_term",
        _switch,
        "on",
        "must be on or off",
        "drain_on_term='on'",
        "With a ceiling set: when the server is told to end this worker (SIGTERM: a deploy, a reload), answer with Connection: "
        "close for up to a second before the server's own handler closes connections.",
    ),
    Option(
        "readiness_path",
        _path,
        None,
        "must be a path such as '/_leakguard/ready' or 'off'",
        "readiness_path='/_leakguard/ready'",
        "Where the middleware answers 200 while this worker wants requests and 503 while it leaves or is over its hard "
        "ceiling; such requests are not counted. Unset: nowhere.",
    ),
    Option(
        "journal",
        _journal,
        None,
        "must be a path or 'off'",
        "journal='/var/lib/app/leakguard.sqlite3'",
        "Where windows, findings and recycles are remembered. Unset: leakguard/journal.sqlite3 in the user's state "
        "directory.",
    ),
    Option(
        "ignore",
        _rules,
        "",
        "must be rules such as 'type:app.Session', 'holder:app.cache.*', 'route:GET /health' or 'site:vendor/*'",
        "ignore=['holder:app.cache.*']",
        "What is known and accepted: findings that match are reported apart, never as new leaks.",
    ),
    Option(
        "stuck_after",
        _positive,
        "60s",
        "must be a duration greater than zero",
        "stuck_after='60s'",
        "A request without an answer for longer is reported with the line where it hangs.",
    ),
    Option(
        "abandon_after",
        _positive,
        None,
        "must be a duration greater than zero",
        "abandon_after='5m'",
        "An ASGI request without an answer for longer is cancelled and answered 504. Unset: never.",
    ),
    Option(
        "page_token",
        _token,
        None,
        f"must be a secret of at least {SHORTEST_TOKEN} characters",
        "page_token='a-long-random-secret'",
        "What a visitor of the page must know. Given to the ASGI middleware, it turns on the page at `/_leakguard`; `leakguard "
        "serve` asks for it, too. Unset: there is no page.",
        secret=True,
    ),
)


class Options(typing.TypedDict, total=False):
    """The keyword arguments of a middleware, as a user writes them; see ``OPTIONS`` for what each one means."""

    level: str
    interval: str | float
    warmup: str | float
    ceiling: str | int
    hard_ceiling: str | int
    min_lifetime: str | float
    cool_down: str | float
    daily_cap: int
    drain: str | float
    recycle: str
    drain_on_term: str | bool
    readiness_path: str
    journal: str | os.PathLike[str]
    ignore: str | Sequence[str]
    stuck_after: str | float
    abandon_after: str | float
    page_token: str


@dataclass(frozen=True, slots=True)
class Config:
    """Every option of one guard, validated. Make one with ``Config.load``; durations are seconds.

    ``sources`` says for every option where its value came from: ``argument``, ``environment LEAKGUARD_…`` or ``default``.
    """

    level: Level = Level.WATCH
    interval: float = 10.0
    warmup: float = 60.0
    ceiling: Amount | None = None
    hard_ceiling: Amount | None = None
    min_lifetime: float = 120.0
    cool_down: float = 12.0
    daily_cap: int = 500
    drain: float = 30.0
    recycle: str = "auto"
    drain_on_term: bool = True
    readiness_path: str | None = None
    journal: Path | None = None
    ignore: tuple[str, ...] = ()
    stuck_after: float = 60.0
    abandon_after: float | None = None
    page_token: str | None = field(default=None, repr=False)
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)

    @classmethod
    def load(cls, environment: Mapping[str, str] | None = None, /, **arguments: object) -> Config:
        """Return the validated options: ``arguments`` over ``environment`` (the process's by default) over defaults.

        ``None`` as an argument means "not given". ``LEAKGUARD_LEVEL=off`` wins over everything: one switch disarms all.

        Raises:
            ConfigError: naming the option, the rule, the value and the way out, for the first wrong value, for an argument
                that is no option and for marks that contradict each other. A variable that is none does not raise: it
                may belong to another version (see ``unknown_variables``).
        """
        environment = os.environ if environment is None else environment
        known = {option.name for option in OPTIONS}
        for name, given in arguments.items():
            if name not in known:
                raise ConfigError(name, "is not an option", given, f"the options are {', '.join(sorted(known))}")
        values: dict[str, typing.Any] = {}
        sources: dict[str, str] = {}
        for option in OPTIONS:
            values[option.name], sources[option.name] = _read(option, arguments.get(option.name), environment)
        if sources["journal"] == "default":
            values["journal"] = default_journal(environment)
        if values["cool_down"] is None:
            values["cool_down"] = values["min_lifetime"] / 10
        _check_marks(values["ceiling"], values["hard_ceiling"])
        return cls(**values, sources=sources)

    def hard_mark(self, limit: int | None) -> int | None:
        """Return the hard ceiling in bytes for a kernel ``limit``: as set, or a fifth above the ceiling."""
        if self.hard_ceiling is not None:
            return self.hard_ceiling.of(limit)
        soft = self.ceiling.of(limit) if self.ceiling else None
        return None if soft is None else soft + soft // 5

    def described(self) -> list[tuple[Option, str, str]]:
        """Return every option with its value as text and its source, in the order of the table."""
        return [
            (option, _shown(option.name, getattr(self, option.name)), self.sources.get(option.name, "default"))
            for option in OPTIONS
        ]


def default_journal(environment: Mapping[str, str]) -> Path | None:
    """Return where the journal lies when nobody says: the user's state directory (XDG base directory specification).

    ``None``, no journal, for a user without a home, as in a container that runs under a number without a name.
    """
    state = Path(environment.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():  # relative or unset: the specification says to ignore it
        try:
            state = Path(environment.get("HOME") or Path.home()) / ".local" / "state"
        except RuntimeError:
            return None
    return state / "leakguard" / "journal.sqlite3"


def unknown_variables(environment: Mapping[str, str]) -> dict[str, str | None]:
    """Return the ``LEAKGUARD_*`` variables that set nothing, each with the variable that was probably meant."""
    known = [option.variable for option in OPTIONS]
    strangers = sorted(name for name in environment if name.startswith(PREFIX) and name not in known)
    if not strangers:
        return {}
    import difflib

    return {name: next(iter(difflib.get_close_matches(name, known, 1, 0.8)), None) for name in strangers}


def _read(option: Option, argument: object, environment: Mapping[str, str]) -> tuple[object, str]:
    text = environment.get(option.variable)
    disarmed = option.name == "level" and text is not None and text.strip().lower() == Level.OFF
    if argument is not None and not disarmed:
        return _parsed(option, option.name, argument), "argument"
    if text is not None and text.strip():
        return _parsed(option, option.variable, text), f"environment {option.variable}"
    return (None if option.default is None else option.parse(option.default)), "default"


def _parsed(option: Option, name: str, value: object) -> object:
    if isinstance(value, Amount):
        value = value.size if value.size is not None else str(value)
    try:
        return option.parse(value)
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        RuntimeError,
    ):  # RuntimeError: no home for "~name"
        value = HIDDEN if option.secret else value
        raise ConfigError(name, option.rule, value, f"for example {option.example}") from None


def _check_marks(soft: Amount | None, hard: Amount | None) -> None:
    if hard is None:
        return
    if soft is None:
        raise ConfigError("hard_ceiling", "must come with a ceiling", str(hard), "set ceiling too")
    same_unit = (soft.size is None) == (hard.size is None)
    if same_unit and (hard.size or hard.share or 0) <= (soft.size or soft.share or 0):
        raise ConfigError(
            "hard_ceiling", f"must be above the ceiling of {soft}", str(hard), "raise it or leave it unset"
        )


def _shown(name: str, value: object) -> str:
    if name == "journal":
        return "off" if value is None else str(value)
    if value is None:
        return "unset"
    if name == "page_token":
        return "set"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return format_duration(value)
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return str(value)
