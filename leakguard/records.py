"""The words of leakguard as frozen records: what one layer hands to the next.

Every record is immutable and holds only names, numbers and other records: no live object of the host, no value out of a
request. ``encode`` and ``decode`` turn any of them into JSON and back, for the journal and the reports.

Units: bytes, seconds (``*_ms`` are milliseconds), counts. ``at``, ``opened`` and ``closed`` are seconds since the epoch.
``None`` means "could not be known", never zero.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field

SCHEMA = 1
"""The version of the report schema (``docs/report-schema.md``)."""


class Kind(enum.StrEnum):
    """What a verdict or a finding says; one word per thing (see ``docs/design.md``)."""

    LEAK = "leak"
    NATIVE = "native"
    RETAINED_REQUESTS = "retained-requests"
    GC_DEBT = "gc-debt"
    ALLOCATOR = "allocator"
    TASKS = "tasks"
    THREADS = "threads"
    DESCRIPTORS = "descriptors"
    STEADY = "steady"
    UNKNOWN = "unknown"


class Status(enum.StrEnum):
    """How sure a finding is: ``suspect`` grew in every window, ``confirmed`` when a disjoint window agrees."""

    SUSPECT = "suspect"
    CONFIRMED = "confirmed"


@dataclass(frozen=True, slots=True)
class Site:
    """A place in the code: shortened file name, line and function."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Reading:
    """One sample of process memory and vitals.

    ``heap`` is what C code holds through malloc (in use, including mapped chunks), ``blocks`` the allocated blocks of
    Python's own allocator, ``cpu`` the processor seconds used since the process started.
    """

    at: float
    rss: int
    uss: int | None = None
    heap: int | None = None
    blocks: int = 0
    threads: int = 0
    fds: int | None = None
    tasks: int | None = None
    cpu: float = 0.0


@dataclass(frozen=True, slots=True)
class Sketch:
    """A latency sketch: how many requests fell into each bucket (``probes.latency`` knows the bucket borders)."""

    buckets: Mapping[int, int] = field(default_factory=dict)
    max_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class RouteCount:
    """What one route did in one window.

    ``retained`` is the number of its requests alive *now* though their response ended before the last full collection;
    ``gc_debt`` how many outlived their response in this window and were freed only by the cyclic collector.
    ``retained_by_failure`` splits ``retained`` by the fingerprint of the failure that ended the request.
    """

    route: str
    count: int = 0
    errors: int = 0
    sketch: Sketch = field(default_factory=Sketch)
    retained: int = 0
    gc_debt: int = 0
    retained_by_failure: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pauses:
    """What the cyclic collector cost in one window: number of pauses, their sum and the longest, full ones apart."""

    count: int = 0
    full: int = 0
    total: float = 0.0
    longest: float = 0.0


@dataclass(frozen=True, slots=True)
class LoopLoad:
    """How the event loop did in one window: the longest lag of a heartbeat, and the share of its thread's time busy."""

    lag: float = 0.0
    busy: float | None = None


@dataclass(frozen=True, slots=True)
class Stuck:
    """A request without an answer for longer than ``stuck_after``, or a task that outlived its request."""

    route: str
    age: float
    where: Site | None
    kind: str  # "request" or "task"
    count: int = 1


@dataclass(frozen=True, slots=True)
class Window:
    """One closed window: what the guard's thread writes down every interval."""

    opened: float
    closed: float
    reading: Reading
    requests: int  # handled by this worker since it started
    in_flight: int
    routes: tuple[RouteCount, ...] = ()
    pauses: Pauses = field(default_factory=Pauses)
    loop: LoopLoad | None = None
    stuck: tuple[Stuck, ...] = ()
    blocks_low: int = 0  # the lowest number of allocated blocks seen in the window
    low_at: int = 0  # requests handled by then: what grows is lowest at the beginning; 0 where that is not known
    websockets: int = 0
    warm: bool = False  # closed after the warm-up
    forgotten: int = 0  # kinds of failures that the worker forgot since it started, to make room for others

    @property
    def requests_at_low(self) -> int:
        """Requests handled when ``blocks_low`` was read; at the window's end where that is not known."""
        return self.low_at or self.requests


@dataclass(frozen=True, slots=True)
class Failure:
    """One kind of unhandled exception: type, own code's site and route, counted."""

    fingerprint: str
    type: str
    site: Site | None
    route: str
    count: int = 1
    retained: int = 0
    source: str = "request"  # request, task, thread, unraisable, process

    def __str__(self) -> str:
        return f"{self.type} at {self.site}" if self.site else self.type


ELEMENT = "[…]"
"""The step of a path from a container to one of its elements: an index or a key is a value, so it is blurred."""


@dataclass(frozen=True, slots=True)
class Container:
    """One container of the host as the census saw it: identity, length and the path that leads to it.

    ``bound`` is the length that it cannot exceed (``maxlen``, ``maxsize``), ``None`` when no bound is known. ``before`` is its
    length at the look before, ``None`` when it was not there.
    """

    key: int
    path: str
    type: str
    length: int
    bound: int | None = None
    before: int | None = None


@dataclass(frozen=True, slots=True)
class Census:
    """Counts per type and the lengths of containers at one moment, from one look.

    ``how`` is ``fork`` or ``sliced``; ``stall`` the longest time the host could not run because of the look, as far as the
    observer can tell (the fork call itself, or the longest slice); ``took`` the time until the answer was there, ``cpu`` the
    processor time of the copy.
    """

    at: float
    requests: int
    types: Mapping[str, int]
    containers: tuple[Container, ...]
    objects: int
    how: str = "fork"
    stall: float = 0.0
    took: float = 0.0
    cpu: float = 0.0


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a deep look found out about one suspect: who holds it, from where, how big.

    ``holder`` is a dotted name such as ``game.pending``, ``None`` if none was found, or ``outside Python`` when nothing in
    Python refers to the object. ``chain`` leads from the root to the object, one named edge per entry.
    """

    holder: str | None = None
    chain: tuple[str, ...] = ()
    type: str | None = None
    also_types: tuple[str, ...] = ()
    site: Site | None = None
    frames: tuple[Site, ...] = ()  # own code first: the traceback of the allocation, for the route
    bytes_each: int | None = None
    retained_bytes: int | None = None
    size_method: str | None = None
    garbage: bool = False  # only reachable from itself: a cycle that the collector will free
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One leak: what leaks on which route, where it was allocated, who holds it, and why we say so (schema version 1)."""

    kind: Kind
    status: Status
    fingerprint: str
    route: str | None = None
    type: str | None = None
    also_types: tuple[str, ...] = ()
    site: Site | None = None
    holder: str | None = None
    chain: tuple[str, ...] = ()
    per_request: float | None = None
    bytes_per_request: float | None = None
    retained_bytes: int | None = None
    size_method: str | None = None
    error: str | None = None
    known: str | None = None
    reasons: tuple[str, ...] = ()
    new: bool = True
    accepted: bool = False  # by an ignore rule of the user's: mentioned, but not part of the verdict
    count: int | None = None  # objects, requests, tasks ... alive because of it
    failed: bool = False  # ``per_request`` counts per failed request of the route


@dataclass(frozen=True, slots=True)
class Verdict:
    """What we conclude about a process, with reasons; never a bare bool."""

    kind: Kind
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One of the doctor's hypotheses: held up (True), ruled out (False) or not judged (None), with its evidence."""

    hypothesis: str
    holds: bool | None
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Relief:
    """What relief gave back: shed callbacks run, collection, trimming; bytes of RSS before and after."""

    at: float
    rss_before: int
    rss_after: int
    shed: int
    collected: int
    trimmed: bool


@dataclass(frozen=True, slots=True)
class Recycle:
    """One worker replaced: why, how big it was, what was in flight, what was lost, and how long nobody answered.

    ``lost`` are requests that were still in flight when the worker left. ``gap_ms`` is the time between the worker's
    last answer and its successor's first readiness, 0 with an overlap, ``None`` when the successor is not known.
    """

    at: float
    pid: int
    reason: str
    rss_before: int
    in_flight: int
    lost: int
    gap_ms: float | None = None
    strategy: str = ""
    waited: float = 0.0


@dataclass(frozen=True, slots=True)
class Cost:
    """What leakguard itself cost: time per request on the hot path, longest stall by a look, share of one core."""

    hot_path_us: float | None = None
    stall_ms_max: float | None = None
    share_of_cpu: float | None = None


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker process, as it introduces itself to the journal."""

    pid: int
    boot: str  # a random id: process ids are used again
    started: float
    parent: int
    python: str
    server: str
    target: str | None
    version: str
    ceiling: int | None = None
    hard_ceiling: int | None = None
    strategy: str = ""
    limit: int | None = None  # what the kernel enforces


Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


def encode(value: object) -> Json:
    """Return ``value``, a record or a container of records, as plain JSON types.

    Raises:
        TypeError: for anything that is not a record, a container of them or a JSON type, so that no foreign object slips in.
    """
    kind: typing.Any = type(value)
    if kind in _PLAIN:
        return typing.cast("Json", value)
    if isinstance(value, bool | int | float | str):
        return value.value if isinstance(value, enum.Enum) else value
    names = _names(kind)
    if names is not None:
        return {name: encode(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        # A sketch: most of a journal is counts, and these are done at the speed of C.
        if set(map(type, value)) | set(map(type, value.values())) == {int}:
            return dict(zip(map(str, value), value.values(), strict=True))
        return {_key(key): encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    raise TypeError(f"{type(value).__name__} is not a record")


_PLAIN = frozenset({type(None), bool, int, float, str})


def _key(key: object) -> str:
    if not isinstance(key, str | int):
        raise TypeError("a key is neither text nor a number")
    return str(key)


@functools.lru_cache(maxsize=64)
def _names(kind: typing.Any) -> tuple[str, ...] | None:
    """Return the names of a record type's fields, ``None`` for any other type."""
    return tuple(field.name for field in dataclasses.fields(kind)) if dataclasses.is_dataclass(kind) else None


_Record = typing.TypeVar("_Record")


def decode(cls: type[_Record], data: object) -> _Record:
    """Return the record of type ``cls`` that ``data``, made by ``encode``, describes.

    Keys that this version does not know are ignored and missing ones take their defaults, so that a newer and an older
    worker can share a journal.

    Raises:
        ValueError: when a required key is missing or ``data`` has the wrong shape.
    """
    try:
        return typing.cast("_Record", _decoder(typing.cast("typing.Hashable", cls))(data))
    except (TypeError, KeyError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"not a {cls.__name__}: {error}") from error


def _counts(data: typing.Any) -> dict[int, int]:
    """Return the counts of a sketch, checked at the speed of C: most of a journal is counts."""
    counts = {int(name): count for name, count in data.items()}
    if not set(map(type, counts.values())) <= {int, bool}:
        raise TypeError("a count is not a whole number")
    return counts


@functools.cache
def _decoder(hint: typing.Any) -> typing.Callable[[typing.Any], object]:
    """Return the function that decodes values of one type; made once, for a journal holds millions of them."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        fields = [(f.name, _decoder(hints[f.name])) for f in dataclasses.fields(hint)]
        record = typing.cast("type", hint)

        def build(data: object) -> object:
            if not isinstance(data, dict):
                raise TypeError("not an object with keys")
            return record(**{name: make(data[name]) for name, make in fields if name in data})

        return build
    if origin in {typing.Union, types.UnionType}:
        some = _decoder(next(a for a in arguments if a is not type(None)))
        return lambda data: None if data is None else some(data)
    if origin is tuple:
        item = _decoder(arguments[0])

        def gather(data: object) -> object:
            if not isinstance(data, list | tuple):
                raise TypeError("not a list")
            return tuple(map(item, data))

        return gather
    if origin is Mapping:
        if arguments == (int, int):
            return _counts
        key, value = arguments[0], _decoder(arguments[1])
        return lambda data: {key(name): value(item) for name, item in data.items()}
    if hint is float or (isinstance(hint, type) and issubclass(hint, enum.Enum)):
        return typing.cast("typing.Callable[[object], object]", hint)

    def plain(data: object) -> object:
        if not isinstance(data, hint):
            raise TypeError(f"{data!r} is not {hint.__name__}")
        return data

    return plain
