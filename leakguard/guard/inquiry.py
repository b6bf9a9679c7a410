"""Inquiry: from suspicion to finding. When to look, what to ask, and what the answers make of a suspicion.

The ladder (RESIN, OSDI'22: spend the dear capture only after a cheap verdict): cheap signals every window; a census now and
then; a suspicion that a second, disjoint window confirms; then one burst of tracemalloc and one deep look; then the finding.
"""

from __future__ import annotations

import dataclasses
import functools
import gc
import math
import os
import time
import typing
from collections.abc import Callable, Sequence

from leakguard.config import Config, Level
from leakguard.detection.attribution import accounts_for
from leakguard.detection.footprint import slim, slim_census
from leakguard.detection.judge import judge
from leakguard.detection.suspicion import History, Suspicion
from leakguard.guard.blame import Blame
from leakguard.guard.fence import log
from leakguard.guard.imports import LateImports
from leakguard.guard.past import Past
from leakguard.guard.schedule import CensusSchedule
from leakguard.guard.told import Told
from leakguard.journal.ladder import merge
from leakguard.observer import Burst, Observer, Question, prepare
from leakguard.records import Census, Explanation, Failure, Finding, Kind, Status, Window

if typing.TYPE_CHECKING:
    from leakguard.detection.forgiveness import Forgiveness
    from leakguard.probes.requests import RequestTable

MAX_WINDOWS = 360  # an hour at the default interval: what judging looks back on
MAX_CENSUSES = 40
MAX_EXPLAINED = 200
TURNS = 8  # process ids of siblings are neighbours: so many of them wait for different times
# Tracing costs 7 to 15 times per request at one frame and more at twelve: no longer than it takes to see the leak happen.
BURST_FRAMES = 12  # deep enough to reach the endpoint from a library's allocation
BURST_SHORTEST, BURST_LONGEST = 1.0, 10.0  # seconds
BURST_LEAKS, BURST_REQUESTS = 5, 50  # enough of them in a burst
EXPLAIN_AGAIN = 1800.0  # seconds before the same suspicion is looked at deeply once more
COLLECT_AGAIN = 300.0  # seconds between two collections of ours
MAX_QUESTIONS = 4
LAST_ANSWER = 2.0  # seconds that the end of a worker waits for a look which has been asked already
LAST_LOOK = 4.0  # seconds that a worker which must leave spends on a last look; memory goes on rising meanwhile


class Inquiry:
    """Looks, judges and explains, one step at a time; lives in the guard's thread.

    Args:
        config: interval, level, ignore rules.
        requests: the worker's requests, for their routes and survivors.
        observer: takes the looks.
        recall: returns what the workers of this journal have confirmed.
        siblings: returns how many workers the server has.
        collect: has the cyclic collector run once.
    """

    def __init__(
        self,
        config: Config,
        requests: RequestTable,
        observer: Observer,
        *,
        recall: Callable[[], Sequence[Finding]] = tuple,
        siblings: Callable[[], int] = lambda: 1,
        collect: Callable[[], object] = gc.collect,
    ) -> None:
        self.config = config
        self._recall = recall
        self._siblings = siblings
        self._collect = collect
        self._collected = -math.inf
        self._collected_warm = False
        self._imports = LateImports()
        self._sure_since: float | None = None
        self.windows = Past[Window](MAX_WINDOWS)
        self.censuses = Past[Census](MAX_CENSUSES)
        self.told = Told()
        self.suspicions: tuple[Suspicion, ...] = ()
        self.observer = observer
        self.burst = Burst()
        self._requests = requests
        self._asked: tuple[Suspicion, ...] = ()
        self._answered: tuple[Suspicion, ...] = ()
        self._burst_for: tuple[Suspicion, ...] = ()
        self._burst_began = 0.0
        self._burst_requests = 0
        self._asked_requests = 0
        self._explained: dict[tuple[Kind, int | str], tuple[float, Explanation | None]] = {}
        self._others: tuple[Finding, ...] = ()
        self._blame = Blame(requests)
        self._held: Window | None = None
        self._schedule = CensusSchedule(config)

    def remember(self) -> None:
        """Take over what other workers found out, so that each leak costs one burst and not one per worker."""
        self._others = tuple(self._recall())

    @property
    def own_blocks(self) -> int:
        """How many of the allocated blocks are the past's and late imports of ours: not growth of the host's."""
        return self.windows.room + self.censuses.room + self._imports.blocks

    def note_window(self, window: Window) -> None:
        """Remember one more window; those of a burst as one, for tracing swells the C heap while it lasts."""
        if self._held is not None:
            window = merge(self._held, window)
        self._held = window if self.burst.active else None
        if self._held is not None:
            return
        usual = max((s.total_rate for s in self.suspicions if s.key == "blocks"), default=0.0)
        window = self._imports.without(window, len(self.windows.records), self.windows.last, usual)
        self.windows.add(slim(window))

    def judge(self, failures: dict[str, Failure], *, leaving: bool = False) -> tuple[Finding, ...]:
        """Judge what is remembered and return the findings as they stand now.

        What a deep look may still explain is held back, for its name comes from what it finds; a worker that is
        ``leaving`` says what it knows.
        """
        self.suspicions = judge(
            History(self.windows.records, self.censuses.records, sizes=self._sizes(), collects=gc.isenabled())
        )
        # What was confirmed and is now explained is told, even if the burst and the look have blurred the level meanwhile.
        now = {(suspicion.kind, suspicion.key) for suspicion in self.suspicions}
        self.suspicions += tuple(s for s in self._answered if (s.kind, s.key) not in now)
        self._answered = ()
        with self._imports.short():
            return self._compose(failures, leaving=leaving)

    def step(self, now: float, requests: int) -> None:
        """Take the next step, if one is due: read an answer, end a burst, start a look. Never waits.

        Args:
            now: monotonic seconds.
            requests: handled by this worker so far.
        """
        if self.observer.busy:
            self._read_answer(now)
        elif self.burst.active:
            self._end_burst(now, requests)
        else:
            if self._owes_collection(now):
                self._collect()
                return
            unexplained = self._unexplained(now)
            if self._blame.sampling:
                if self._blame.end(now) and unexplained:
                    self._begin_burst(unexplained, now, requests)
            elif unexplained and self._is_turn(now):
                if not self._blame.begin(unexplained, now):
                    self._begin_burst(unexplained, now, requests)
            elif self._at_window(requests) and self._schedule.due(
                now, requests, self.windows.last, wanted=any(map(_wants_looks, self.suspicions))
            ):
                self._start_census(now, requests)

    def last_look(self, now: float, requests: int) -> None:
        """Look at what is not explained yet, before the worker leaves and takes the evidence with it. Waits a little."""
        if self.observer.busy:
            self._take_answer(self.observer.wait(LAST_LOOK), now)
            return
        self._burst_for = self._burst_for or self._unexplained(now)
        if self._burst_for:
            self._ask(now, requests)
            self.burst.stop()
            self._take_answer(self.observer.wait(LAST_LOOK), now)

    def last_answer(self, now: float) -> None:
        """Wait a little for the deep look that is under way: the worker ends, and this is what it has found out."""
        if self._asked:
            self._take_answer(self.observer.wait(LAST_ANSWER), now)

    def close(self) -> None:
        """End a burst and a look that are under way."""
        self._blame.close()
        self.burst.stop()
        self.observer.close()

    def _owes_collection(self, now: float) -> bool:
        """Say whether to ask the collector, before anything else is blamed, if what grows is garbage that waits for it.

        A full collection takes 0.1 s per million objects, as the interpreter's own do; a burst would take more. The first comes
        with the end of the warm-up, so that the garbage of imports is not taken for that of requests.
        """
        latest = self.windows.last
        if not gc.isenabled() or latest is None or not latest.warm:
            return False
        if not self._collected_warm:
            self._collected_warm = True
            return True
        wanted = any(suspicion.needs_collection for suspicion in self.suspicions)
        if wanted and now - self._collected > COLLECT_AGAIN:
            self._collected = now
            return True
        return False

    # ------------------------------------------------------------------------------------------------ the census

    def _start_census(self, now: float, requests: int) -> None:
        tracked = {int(s.key) for s in self.suspicions if isinstance(s.key, int)}
        tracked.update(container.key for census in self.censuses.records[-3:] for container in census.containers)
        self._schedule.looked(now, requests)
        self.observer.start_census(requests, tracked)

    def _at_window(self, requests: int) -> bool:
        """Say whether a window has just closed: then a look's lengths and the counts per route are of the same moment."""
        latest = self.windows.last
        return latest is not None and latest.requests == requests

    def _read_answer(self, now: float) -> None:
        self._take_answer(self.observer.poll(), now)

    def _take_answer(self, answer: Census | tuple[Explanation | None, ...] | None, now: float) -> None:
        if isinstance(answer, Census):
            self._schedule.took(answer.cpu or answer.took)
            self.censuses.add(slim_census(answer))
        elif answer is not None or not self.observer.busy:
            if answer is None:
                log.debug("leakguard: a look failed: %s", self.observer.why)
            self._note_explanations(answer or (), now)

    def _note_explanations(self, answers: Sequence[Explanation | None], now: float) -> None:
        """Note what was found out about each suspicion asked about; a look that failed found out nothing, for a while."""
        for number, suspicion in enumerate(self._asked):
            explanation = answers[number] if number < len(answers) else None
            # The traffic of a burst is not that of the whole life: half of the half will do.
            if explanation and not accounts_for(
                explanation, suspicion, suspicion.total_rate * self._asked_requests / 2
            ):
                explanation = None
            self._explained.pop((suspicion.kind, suspicion.key), None)  # back in as the newest
            self._explained[suspicion.kind, suspicion.key] = (now, self._with_recalled_site(suspicion, explanation))
        self._answered = tuple(
            s for s in self._asked if s.status is Status.CONFIRMED and self._explained[s.kind, s.key][1] is not None
        )
        self._asked = ()
        while len(self._explained) > MAX_EXPLAINED:
            kind, key = next(iter(self._explained))
            del self._explained[kind, key]

    # -------------------------------------------------------------------------------------------- the deep look

    def _unexplained(self, now: float) -> tuple[Suspicion, ...]:
        def due(suspicion: Suspicion) -> bool:
            seen = self._explained.get((suspicion.kind, suspicion.key))
            return seen is None or now - seen[0] > EXPLAIN_AGAIN

        eager = self.config.level in {Level.TRACE, Level.PARANOID}

        # Where memory surely grows, the containers that are suspect of it are measured in the same look.
        proven = any(s.status is Status.CONFIRMED and s.key in {"blocks", "heap"} for s in self.suspicions)

        def sure(suspicion: Suspicion) -> bool:
            if suspicion.status is Status.CONFIRMED or (proven and isinstance(suspicion.key, int)):
                return True
            return eager or self._known_elsewhere(suspicion) is not None

        return tuple(s for s in self.suspicions if _question_kind(s) is not None and sure(s) and due(s))[:MAX_QUESTIONS]

    def _is_turn(self, now: float) -> bool:
        """Say whether to dig now: workers that come to suspect the same at the same time do so one after the other."""
        if self._sure_since is None:
            self._sure_since = now
        wait = 0.0 if self._siblings() <= 1 else (os.getpid() % TURNS) * self.config.interval
        return now - self._sure_since >= wait

    def _begin_burst(self, suspicions: tuple[Suspicion, ...], now: float, requests: int) -> None:
        self._burst_for, self._burst_began, self._burst_requests = suspicions, now, requests
        log.debug("leakguard: a burst for %s", [suspicion.name for suspicion in suspicions])
        self._sure_since = None
        self.remember()
        prepare()  # what the deep look imports must not be what the burst sees, nor a step in the host's level
        self._imports.deep(len(self.windows.records))
        known = [self._known_elsewhere(s) for s in suspicions]
        if all(f is not None and f.site is not None for f in known) or not self.burst.start(BURST_FRAMES):
            self._ask(now, requests)  # without a burst: the holder and the size, but no line of our own

    def _end_burst(self, now: float, requests: int) -> None:
        lasted = now - self._burst_began
        handled = requests - self._burst_requests
        expected = min((s.total_rate * handled for s in self._burst_for), default=0.0)
        enough = expected >= BURST_LEAKS and handled >= BURST_REQUESTS
        if (lasted >= BURST_SHORTEST and enough) or lasted >= BURST_LONGEST:
            self._ask(now, requests)
            self.burst.stop()

    def _ask(self, now: float, requests: int) -> None:
        self._asked, self._burst_for = self._burst_for, ()
        log.debug("leakguard: asking about %s", [suspicion.name for suspicion in self._asked])
        self._asked_requests = handled = requests - self._burst_requests
        if not self.observer.start_explain([self._question(s, handled) for s in self._asked]):
            self._note_explanations((), now)

    def _question(self, suspicion: Suspicion, handled: int) -> Question:
        kind = _question_kind(suspicion) or "allocations"
        if kind == "request":
            survivors = [s for s in self._requests.retained(time.perf_counter()) if s.route == suspicion.route]
            # The newest were allocated during the burst; the oldest of them are surely not in flight any more.
            return Question(kind="request", refs=tuple(s.ref for s in survivors[-40:-5] or survivors))
        key = suspicion.key if isinstance(suspicion.key, int) else 0
        return Question(kind=kind, key=key, name=suspicion.name, requests=handled)

    # ---------------------------------------------------------------------------------------------- the finding

    def _sizes(self) -> dict[int | str, int]:
        return {
            key: explanation.bytes_each
            for (_, key), (_, explanation) in self._explained.items()
            if explanation is not None and explanation.bytes_each is not None
        }

    @functools.cached_property
    def _forgiveness(self) -> Forgiveness:
        from leakguard.detection.forgiveness import Forgiveness

        return Forgiveness(self.config.ignore)

    def _compose(self, failures: dict[str, Failure], *, leaving: bool) -> tuple[Finding, ...]:
        # A worker that leaves tells what is sure, though without the name that a look would have given it.
        told = [s for s in self.suspicions if (leaving and s.status is Status.CONFIRMED) or self._is_told(s)]
        current: dict[str, Finding] = {}
        if told:  # most workers never have a finding: what only findings need comes with the first one
            from leakguard.detection.finding import compose
        for suspicion in told:
            explanation = self._explanation(suspicion)
            finding = compose(
                self._blame.routed(suspicion, explanation, self.windows.records),
                explanation,
                failures,
                self._forgiveness,
            )
            current.setdefault(finding.fingerprint, self.told.as_sure_as_before(finding))
        self.told.window(current.values(), self._requests.total)
        return tuple(current.values())

    def _explanation(self, suspicion: Suspicion) -> Explanation | None:
        key = suspicion.kind, suspicion.key
        if suspicion.kind is Kind.THREADS and key not in self._explained:
            from leakguard.observer import threads  # no copy is needed: the interpreter lists them

            self._explained[key] = time.monotonic(), threads.explain()
        return self._explained.get(key, (0.0, None))[1]

    def _is_told(self, suspicion: Suspicion) -> bool:
        """Say whether the finding already has its lasting name: a container has its path, others wait for the look."""
        asked = (suspicion.kind, suspicion.key) in self._explained
        return asked or isinstance(suspicion.key, int) or _question_kind(suspicion) is None

    def _known_elsewhere(self, suspicion: Suspicion) -> Finding | None:
        """Return the same leak as another worker of this journal confirmed it: reason enough to look at a mere suspect.

        Workers that are recycled every few minutes might never live to confirm anything; together they do.
        """
        for finding in self._others:
            same = suspicion.name == finding.holder if suspicion.kind is Kind.LEAK else suspicion.route == finding.route
            if same and finding.kind is suspicion.kind:
                return finding
        return None

    def _with_recalled_site(self, suspicion: Suspicion, explanation: Explanation | None) -> Explanation | None:
        """Return the explanation with the line that another worker's burst found, if it blames the same holder."""
        if explanation is None or explanation.site is not None:
            return explanation
        finding = self._known_elsewhere(suspicion)
        if finding is None or finding.holder != explanation.holder:
            return explanation
        return dataclasses.replace(explanation, site=finding.site)


def _wants_looks(suspicion: Suspicion) -> bool:
    """Say whether more looks at the containers would settle a suspicion."""
    suspect = suspicion.status is Status.SUSPECT and isinstance(suspicion.key, int)
    return suspicion.needs_census or suspect


def _question_kind(suspicion: Suspicion) -> str | None:
    if suspicion.kind is Kind.RETAINED_REQUESTS:
        return "request"
    if suspicion.kind is Kind.LEAK:
        return "container" if isinstance(suspicion.key, int) else "allocations" if suspicion.key == "blocks" else "type"
    if suspicion.kind is Kind.NATIVE:
        return "allocations"
    return None
