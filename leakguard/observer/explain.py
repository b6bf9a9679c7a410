"""The deep look, in the copy: who holds a suspect, what it is, where it was allocated and how big it is."""

from __future__ import annotations

import collections
import functools
import gc
import json
import time
import tracemalloc
import types
import typing
import weakref
from collections.abc import Callable, Collection, Sequence

from leakguard import records
from leakguard.observer import allocations, burst, elements, naming, outside, sizes, story
from leakguard.observer.census import own_identities
from leakguard.observer.chains import Loose, Rank, Search, Trail
from leakguard.observer.edges import container_kind
from leakguard.observer.question import Question
from leakguard.observer.roots import Roots
from leakguard.observer.story import Step
from leakguard.observer.walk import Walk
from leakguard.records import Explanation

# Sentinels (or objects of a type) that one question looks at: their chains must agree on a holder.
_MOST_TARGETS = 4
_MOST_NEWEST = 2000
_MOST_TRACED = 20_000
# A question gets an equal share of the time; a lucky one leaves its rest to the next.
_FEWEST_SECONDS = 1.0
_BURST = "tracemalloc, blocks alive at the end of a burst"


def prepare() -> None:
    """Import what the copy will need: an import in the copy would give the interpreter lock away (see ``seal``)."""
    import objgraph  # noqa: F401
    import pympler.asizeof  # noqa: F401


def answer(questions: Sequence[Question], own: Callable[[], Collection[object]], seconds: float) -> list[bytes]:
    """Answer ``questions`` within about ``seconds``; one explanation or ``None`` each, as JSON."""
    until = time.thread_time() + seconds
    burst.pause()
    look = Look(own())
    answers = []
    for number, question in enumerate(questions):
        if question.kind != "allocations":
            look.walk_names()
        now = time.thread_time()
        share = max((until - now) / (len(questions) - number), _FEWEST_SECONDS)
        answers.append(records.encode(look.explain(question, now + share)) if now < until else None)
    return [json.dumps(answers).encode()]


def read(sections: tuple[bytes, ...]) -> tuple[Explanation | None, ...]:
    """Return what ``answer`` said.

    Raises:
        ValueError: when it is not such an answer.
    """
    (text,) = sections
    return tuple(None if data is None else records.decode(Explanation, data) for data in json.loads(text))


class Look:
    """One deep look. Holds the host's objects by its walk: for the copy only."""

    def __init__(self, own: Collection[object]) -> None:
        self._ours = own_identities(own)

    def walk_names(self) -> None:
        """Do what all questions share, which may take seconds: within the first one's share it would leave that one nothing."""
        _ = self._search

    @functools.cached_property
    def _walk(self) -> Walk:
        """What can be named: half of what a look costs, and not asked for where nothing in Python holds what leaks."""
        return Walk().run(naming.modules())

    @functools.cached_property
    def _search(self) -> Search:
        return Search(self._walk, Roots(), self._ours)

    def explain(self, question: Question, until: float) -> Explanation | None:
        """Answer one question by ``until``; ``None`` when nothing can be said."""
        if question.kind == "container":
            return self._container([self._by_identity(question.key)], until)
        if question.kind == "request":
            return self._targets(_alive(question.refs), until, direct=1)
        if question.kind == "type":
            return self._targets(_newest_of(question.name), until)
        if question.kind == "object":
            return self._targets(_those(question.keys, question.name), until)
        if question.kind == "allocations":
            return self._allocations(question, until)
        return None

    def _by_identity(self, key: int) -> object | None:
        return self._walk.get(key) if key in self._walk else _tracked(key)

    def _container(self, target: list[object], until: float) -> Explanation | None:
        if target[0] is None:
            return Explanation(note="the container is gone")
        held = self._behind_weak(target[0], until)
        if held is not None:
            return held
        found = self._search.trail(target, until)
        if isinstance(found, Loose):
            return self._about(target[0], until, loose=found)
        told = story.steps(found)
        chain = story.texts(found, told, told[-1] if told else None)
        return self._about(target[0], until, holder=story.holder(found, target[0]), chain=chain, home=_home(found))

    def _behind_weak(self, container: object, until: float) -> Explanation | None:
        """Explain a container that holds its elements weakly by whoever holds them; ``None`` for any other container."""
        targets = _alive(elements.weak(container))
        told = self._targets(targets, until) if targets else None
        return told if told is not None and told.holder is not None else None

    def _targets(self, targets: list[list[object]], until: float, direct: int = 0) -> Explanation | None:
        """Explain objects that should be gone by the holder that most of their best chains share.

        ``direct`` is how many objects next to the target belong to it: a sentinel's scope is the request, not its holder.
        """
        if not targets:
            return Explanation(note="the objects are gone")
        found: list[tuple[Trail, list[Step]]] = []
        loose: list[Loose] = []
        for target in targets[-_MOST_TARGETS:]:
            result = self._search.trail(target, until)
            if isinstance(result, Loose):
                loose.append(result)
            else:
                found.append((result, story.steps(result)))
        if not found:
            return self._lonely(targets[-1][0], loose[-1], until)
        best = min(trail.rank for trail, _ in found)
        strong = [pair for pair in found if pair[0].rank == best]
        trail, told = strong[-1]
        holder = _shared_container([steps[: -1 - direct] for _, steps in strong])
        chain = story.texts(trail, told, holder)
        note = "only a server's own objects hold it" if best is Rank.SERVER else None
        if holder is None:
            return self._single(trail, told, chain, note=note, until=until)
        name = story.path_of(trail, holder)
        return self._about(holder.value, until, holder=name, chain=chain, note=note, home=_home(trail))

    def _single(
        self, trail: Trail, told: list[Step], chain: tuple[str, ...], *, note: str | None, until: float
    ) -> Explanation:
        """Explain an object that no container holds: an attribute, a variable or a task does."""
        held = story.first_held(told)
        element = [] if held is None else [elements.Element(held.value, (held.value,))]
        each, method = sizes.bytes_each(element, until)
        place, frames = elements.allocation([step.value for step in told], _home(trail))
        kind = elements.common_type(element)
        return Explanation(
            holder=trail.name or (story.path_of(trail, held) if held is not None else trail.root),
            chain=chain,
            type=kind,
            also_types=elements.also_types(element, kind),
            site=place,
            frames=frames,
            bytes_each=each,
            size_method=method,
            note=note,
        )

    def _allocations(self, question: Question, until: float) -> Explanation | None:
        """Explain what a burst left behind: what nobody refers to, or else what is held where no container grows."""
        left = allocations.left(
            question.requests, until, self._search.ignored if "_search" in vars(self) else self._ours
        )
        if question.key < len(left.lost):
            return _lost(left.lost[question.key], question.requests)
        # Held by what does not grow: a tuple or a text that is replaced by a longer one.
        for one in left.kept if question.key == 0 and not left.lost else ():
            known = next((value for value in one.way[-2::-1] if id(value) in self._walk), one.way[0])
            found = self._search.trail([known], until)
            if not isinstance(found, Loose):
                if found.rank is not Rank.SERVER:
                    return _kept(one, found)
            elif found is Loose.OUTSIDE:
                # A graph that hangs on what C code lost, or on a cycle through it.
                lonely = self._lonely(known, found, until)
                if lonely.type not in allocations.REUSED:
                    return lonely
        return None

    def _lonely(self, value: object, loose: Loose, until: float) -> Explanation:
        """Explain an object that no chain leads to. What C code lost may be another one, which holds this one."""
        note = "the search for a holder ran out of time" if loose is Loose.UNKNOWN else None
        if loose is Loose.OUTSIDE and self._search.lost:
            value = self._search.lost[0]
            if type(value) is types.MethodType:
                value = value.__self__  # a bound method is made anew with every look at it
        element = [elements.Element(value, (value,))]
        each, method = sizes.bytes_each(element, until)
        kind = naming.name_of(value)
        if loose is Loose.OUTSIDE:
            note = outside.suspects(value)
        place, frames = elements.allocation([value, *outside.parts(value)], naming.type_module(type(value)))
        return Explanation(
            holder=Loose.OUTSIDE.value if loose is Loose.OUTSIDE else None,
            type=kind,
            also_types=elements.also_types(element, kind),
            site=place,
            frames=frames,
            bytes_each=each,
            size_method=method,
            garbage=loose is Loose.GARBAGE,
            note=note,
        )

    def _about(
        self,
        container: object,
        until: float,
        *,
        holder: str | None = None,
        chain: tuple[str, ...] = (),
        loose: Loose | None = None,
        note: str | None = None,
        home: str = "",
    ) -> Explanation:
        """Explain a container by its newest elements."""
        newest = elements.telling(elements.newest(elements.inside(container)))
        kind = elements.common_type(newest)
        place, frames = elements.allocation((element.value for element in newest), home)
        if place is None:  # a value from before the burst, or one that is not traced: its key was made beside it
            place, frames = elements.allocation((part for element in newest for part in element.parts), home)
        each, method = sizes.bytes_each(newest, until, container)
        count = story.size_of(container)
        return Explanation(
            holder=holder if loose is not Loose.OUTSIDE else Loose.OUTSIDE.value,
            chain=chain,
            type=kind,
            also_types=elements.also_types(newest, kind),
            site=place,
            frames=frames,
            bytes_each=each,
            retained_bytes=None if each is None else each * count,
            size_method=None if method is None else f"{method}, times {count} elements",
            garbage=loose is Loose.GARBAGE,
            note=note,
        )


def _home(trail: Trail) -> str:
    """Return the module at the root of a chain; empty when it begins elsewhere."""
    word, _, module = trail.root.partition(" ")
    return module if word in {"module", "class"} else ""


def _shared_container(chains: list[list[Step]]) -> Step | None:
    """Return the container that the leak grows: the longest that most chains share, or the longest of the last chain."""
    growing = [[step for step in chain if _grows(step)] for chain in chains]
    votes = collections.Counter(id(step.value) for chain in growing for step in chain)
    shared = [step for step in growing[-1] if votes[id(step.value)] > len(chains) / 2]
    return max(shared or growing[-1], key=lambda step: story.size_of(step.value), default=None)


def _grows(step: Step) -> bool:
    return container_kind(type(elements.inside(step.value))) is not None


def _tracked(key: int) -> object | None:
    """Return the object that the collector tracks under an identity."""
    import objgraph

    found: object | None = objgraph.at(key)
    return found


def _alive(refs: Sequence[weakref.ref[typing.Any]]) -> list[list[object]]:
    """Return the objects that still live, each in a list of its own: a variable would be one reference too many."""
    return [target for target in [[ref()] for ref in refs] if target[0] is not None]


def _those(keys: Collection[int], name: str) -> list[list[object]]:
    """Return the objects of a type that have one of these identities and are tracked by the collector."""
    # The name as well: an object may have died since it was seen, and another have taken its place.
    return [[value] for value in gc.get_objects() if id(value) in keys and naming.name_of(value) == name]


def _newest_of(name: str) -> list[list[object]]:
    """Return some of the newest objects of a type: the collector's oldest generation keeps the order in which it got them.

    Of those that a burst saw allocated, the ones from the commonest place: what leaks with every request comes from one.
    """
    newest: collections.deque[list[object]] = collections.deque(maxlen=_MOST_NEWEST)
    places: dict[elements.Trace, list[list[object]]] = {}
    traced, tracing = 0, tracemalloc.is_tracing()
    for generation in (0, 1, 2):
        for value in gc.get_objects(generation=generation):
            if naming.name_of(value) != name:
                continue
            newest.append([value])
            trace = elements.traceback_of(value) if tracing and traced < _MOST_TRACED else None
            if trace is not None:
                traced += 1
                places.setdefault(trace, []).append([value])
    # A collection turns round the order of what hangs together as a chain: so from both ends, and not from the newest alone.
    commonest = max(places.values(), key=len, default=None)
    if commonest is None:
        return list(newest)[-_MOST_TARGETS:]
    return commonest[-_MOST_TARGETS // 2 :] + commonest[: _MOST_TARGETS // 2]


def _lost(one: allocations.Lost, requests: int) -> Explanation:
    note = f"{one.blocks} blocks in {requests} requests"
    return Explanation(
        holder=Loose.OUTSIDE.value if one.whole else None,
        type=one.type,
        site=one.site,
        frames=one.frames,
        bytes_each=one.bytes_each,
        retained_bytes=one.bytes_each * one.blocks,
        size_method=_BURST,
        note=note if one.whole else f"{note}; not all objects were asked who holds them",
    )


def _kept(one: allocations.Kept, trail: Trail) -> Explanation:
    """Explain blocks that are held by the last object on the way to them that a name leads to."""
    told = story.steps(trail)
    named = next((step for step in reversed(told) if step.label.startswith(".") and step.label != ".?"), None)
    holder = named.path if named is not None else trail.name or trail.root
    variable = story.variable_of(trail, one.way)
    if variable is not None:
        holder = f"{holder} (context variable {variable})"
    return Explanation(
        holder=holder,
        chain=story.texts(trail, told, named),
        type=naming.name_of(one.way[-1]),
        site=one.site,
        frames=one.frames,
        bytes_each=one.bytes_each,
        retained_bytes=one.bytes_each * one.blocks,
        size_method=_BURST,
    )
