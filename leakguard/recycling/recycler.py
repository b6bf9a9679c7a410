"""The conductor of recycling in one worker: reads memory, decides, relieves, and starts the handover."""

from __future__ import annotations

import functools
import os
import threading
import time
import typing
from collections import deque
from collections.abc import Callable

from leakguard.config import Config
from leakguard.probes.limits import Limit
from leakguard.records import Recycle, Relief
from leakguard.recycling import ceiling, link, relief, servers
from leakguard.recycling.ceiling import Decision, Situation, Step
from leakguard.recycling.drain import Drain
from leakguard.recycling.gauge import Gauge, Marks
from leakguard.recycling.strategies.base import Strategy
from leakguard.recycling.strategies.choice import choose
from leakguard.recycling.strategies.none import NoStrategy
from leakguard.recycling.strategies.supervised import SupervisedStrategy
from leakguard.recycling.term import Term
from leakguard.units import format_duration, format_size

if typing.TYPE_CHECKING:
    from leakguard.recycling.handover import Handover, Leaving
    from leakguard.recycling.succession import Succession
    from leakguard.recycling.turn import Group

MARKS_PAUSE = 60.0  # the kernel's limit may change under a running container; reading it costs half a millisecond
MOST_NOTES = 64  # different notes told per worker; a rule repeats itself once per change, not per tick


class Recycler:
    """Replaces this worker when its memory passes the ceiling. Made anywhere, awake only in a worker after ``ready``.

    Nothing is opened, looked up or started before ``ready``, so it may be made before a fork. No method raises.

    Args:
        config: ``ceiling``, ``hard_ceiling``, ``min_lifetime``, ``cool_down``, ``daily_cap``, ``drain``, ``recycle``.
        in_flight: counts the requests that have begun and not ended.
        rss: reads this process's memory in bytes.
        uss: reads what only this process has; ``None`` where that cannot be known.
        limit: finds the limit that the kernel enforces.
        on_relief: told after every relief.
        on_recycle: told once, just before this worker ends.
        on_note: told what the journal should know, in sentences.
        evidence: called while the successor boots and before the worker leaves: everything is still there to be looked at.
    """

    def __init__(
        self,
        config: Config,
        *,
        in_flight: Callable[[], int],
        rss: Callable[[], int],
        limit: Callable[[], Limit],
        on_relief: Callable[[Relief], None],
        on_recycle: Callable[[Recycle], None],
        on_note: Callable[[str], None],
        evidence: Callable[[], None],
        uss: Callable[[], int | None] = lambda: None,
    ) -> None:
        self.drain = Drain()
        self.term = Term()
        self._config = config
        self._in_flight = in_flight
        self._gauge = Gauge(config, rss, uss, limit)
        self._limit = limit
        self._on_relief = on_relief
        self._on_recycle = on_recycle
        self._on_note = on_note
        self._evidence = evidence
        self._pid: int | None = None
        self._born = 0.0
        self._strategy: Strategy | None = None
        self._group: Group | None = None
        self._marks_read: float | None = None
        self._relieved: float | None = None
        self._handover: Handover | Succession | None = None
        self._leading = threading.Lock()  # the supervisor's orders come in a thread of their own
        self._not_before = 0.0
        self._unsucceeded = 0
        self._told: deque[str] = deque(maxlen=MOST_NOTES)

    @property
    def marks(self) -> Marks | None:
        """The ceilings in bytes, as last worked out; ``None`` without a ceiling or before ``ready``."""
        return self._gauge.marks

    @property
    def baseline(self) -> int | None:
        """This worker's memory when it began to serve; ``None`` before."""
        return self._gauge.baseline

    @property
    def strategy(self) -> str:
        """The name of the strategy: ``gunicorn``, ``uvicorn``, ... or ``none``; empty before ``ready``."""
        return "" if self._strategy is None else self._strategy.name

    @property
    def server(self) -> servers.Server:
        """The server that runs this process, looked at now: a worker that still boots may look like another later."""
        return servers.detect()

    @property
    def serving(self) -> bool:
        """Whether this worker was found booted, after ``ready``, and its siblings were told."""
        return self._gauge.baseline is not None

    def ready(self) -> None:
        """Say that this worker serves, or is about to: call it at lifespan start-up, at the middleware's making in a
        booting WSGI worker (``servers.in_worker``), or at the first request; again is harmless.

        The siblings are told at the first ``tick`` that finds the server booted, not before.
        """
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._born = time.monotonic()

    def meet_main_thread(self) -> None:
        """Hold SIGTERM back until the close was announced; called where a worker boots, which is the main thread's business.

        Anywhere else nothing is done, and without a ceiling only under a supervisor, which drains at any SIGTERM. With
        ``drain_on_term`` off only where a recycle needs it: granian tells its workers to leave before their successors
        serve.
        """
        wanted = self._config.ceiling is not None or link.current() is not None
        if not wanted or self._config.recycle == "none" or self.term.installed:
            return
        try:
            server = servers.detect()
            if server.name == "granian" and server.kind == "wsgi":
                self.term.invite(self._say_farewell)
            elif self._config.drain_on_term or server.name == "granian":
                self.term.install(self._say_farewell, servers.on_term(server))
        except Exception as error:
            self._note(f"SIGTERM is not announced: {type(error).__name__}: {error}", "term")

    def tick(self) -> None:
        """Look and act; for the guard's thread, every 0.1 to 1 s. Costs microseconds below the ceiling.

        A relief runs right here (up to some 100 ms); a recycle runs in a thread of its own.
        """
        try:
            self._tick()
        except Exception as error:
            self._note(f"recycling is blind for a moment: {type(error).__name__}: {error}", error.__class__.__name__)

    def describe(self) -> tuple[str, ...]:
        """Return what recycling will do here, in sentences, without doing anything of it."""
        try:
            strategy = self._strategy or choose(self._config.recycle, servers.detect())
            marks = self._gauge.work_out(strategy.workers)
        except Exception as error:
            return (f"recycling cannot be described: {type(error).__name__}: {error}",)
        if self._config.ceiling is None:
            return ("No ceiling is set: leakguard never recycles.", *strategy.describe())
        if marks is None:
            return (f"The ceiling is {self._config.ceiling} of a limit that is not known here: it cannot be watched.",)
        figures = f"Ceiling {format_size(marks.soft)}, hard ceiling {format_size(marks.hard)} per worker (RSS)."
        return (figures, *strategy.describe())

    def close(self) -> None:
        """Withdraw from the siblings; a handover under way goes on."""
        if self._group is not None and self._handover is None and self._pid == os.getpid():
            try:
                self._group.close()
            except OSError:
                pass
        self._pid = None

    def _tick(self) -> None:
        if self._pid != os.getpid():
            return  # not said to serve yet, or a child that somebody forked from a worker
        now = time.monotonic()
        if self._strategy is None:
            self._strategy = self._begin()
        if self._strategy is None:
            return
        if self._handover is not None and self._handover.committed:
            self._check_hurry()
            return
        if self._marks_read is None or now - self._marks_read >= MARKS_PAUSE:
            self._gauge.work_out(self._strategy.workers)
            self._marks_read = now
            self._look_after_group()
        if self._gauge.marks is not None:
            self._act(self._judge(now, self._gauge.marks), now)

    def _begin(self) -> Strategy | None:
        # Looked at anew until it has booted: under gunicorn the uvicorn server appears only then.
        strategy = choose(self._config.recycle, servers.detect())
        if not strategy.serving():
            return None
        if strategy.acts:
            # Not at the end: by then the files may be those of the release that this worker is to leave for.
            from leakguard.recycling import farewell, handover, succession, turn  # noqa: F401
        if strategy.acts and self._config.ceiling is not None:
            try:
                self._group = turn.Group.of_parent(
                    parent=strategy.link.supervisor if isinstance(strategy, SupervisedStrategy) else None
                )
                self._group.announce()
            except OSError as error:
                why = f"workers cannot take turns ({error}), and without turns all would leave at once"
                strategy = NoStrategy(why, strategy.workers)
        self.term.call()
        self._gauge.begin(strategy.workers)
        self.drain.ready = True
        if isinstance(strategy, SupervisedStrategy):
            strategy.link.obey(functools.partial(self._obey, strategy))
        return strategy

    def _judge(self, now: float, marks: Marks) -> Decision:
        size = self._gauge.watch(marks)
        today, since = 0, None
        if self._gauge.above >= ceiling.READINGS and self._group is not None:
            today, since = self._group.recent(time.time())
        return ceiling.decide(
            Situation(
                rss=size,
                shared=self._gauge.shared,
                baseline=self._gauge.baseline or size,
                soft=marks.soft,
                hard=marks.hard,
                above=self._gauge.above,
                above_hard=self._gauge.above_hard,
                age=now - self._born,
                min_lifetime=self._config.min_lifetime,
                since_relief=None if self._relieved is None else now - self._relieved,
                since_recycle=since,
                cool_down=self._config.cool_down,
                today=today,
                daily_cap=self._config.daily_cap,
            )
        )

    def _act(self, decision: Decision, now: float) -> None:
        if decision.rule:
            self._note(decision.reason, decision.rule)
        if decision.step is Step.RELIEVE:
            self._relieved = now
            self._gauge.start_over()
            self._on_relief(relief.relieve(time.time(), self._gauge.read))
        elif decision.step in {Step.RECYCLE, Step.LEAVE}:
            self._recycle(decision)
        elif self._gauge.above == 0:
            self._forget_wish()

    def _recycle(self, decision: Decision) -> None:
        strategy = self._strategy
        if strategy is None or self._group is None or not strategy.acts:
            # The siblings of a pod leak alike: not ready at the soft mark would take all of them out of service at once.
            if decision.step is Step.LEAVE:
                self.drain.refuse()
            why = strategy.describe()[0] if strategy is not None else ""
            self._note(f"{decision.reason}. {why}", "left alone")
            return
        if self._handover is None or not self._handover.running:
            if time.monotonic() < self._not_before:
                return
            with self._leading:
                self._handover = self._lead_out(strategy, decision.reason)
                self._handover.start()
            if decision.step is Step.LEAVE:
                self._handover.hurry()
            self._fenced(self._evidence)  # while the successor boots: memory rises meanwhile in any case
            self._handover.release()
        elif decision.step is Step.LEAVE:
            self._handover.hurry()

    def _lead_out(self, strategy: Strategy, reason: str) -> Handover | Succession:
        from leakguard.recycling.handover import Handover
        from leakguard.recycling.succession import Succession

        on_leaving = functools.partial(self._report, reason, self._gauge.read())
        if isinstance(strategy, SupervisedStrategy):
            return Succession(
                strategy,
                self.drain,
                self.term,
                in_flight=self._in_flight,
                deadline=self._config.drain,
                roomy=self._roomy,
                on_leaving=on_leaving,
                on_lost=self._put_off,
                on_note=self._note,
            )
        assert self._group is not None
        return Handover(
            strategy,
            self._group,
            self.drain,
            self.term,
            in_flight=self._in_flight,
            deadline=self._config.drain,
            roomy=self._roomy,
            on_leaving=on_leaving,
            on_note=self._note,
        )

    def _obey(self, strategy: SupervisedStrategy, word: str, why: str) -> None:
        """Do what the supervisor says: ``retire`` for good, or be succeeded (``replace``); called in the link's thread."""
        with self._leading:
            if self._handover is not None and self._handover.running:
                if word == "retire":
                    self._handover.hurry()
                return
            self._handover = self._lead_out(strategy, why)
            self._handover.start()
        self._handover.release()

    def _put_off(self, why: str) -> None:
        from leakguard.recycling.succession import pause_after

        pause = pause_after(self._unsucceeded)
        self._unsucceeded += 1
        self._not_before = time.monotonic() + pause
        self._note(f"{why}. This process goes on serving; the next try in {format_duration(pause)} at the earliest")

    def _say_farewell(self) -> None:
        strategy = self._strategy
        if isinstance(strategy, SupervisedStrategy):  # told past the supervisor: by systemd to the whole control group
            strategy.link.order("retire", "told to end by SIGTERM")
            return
        if self._handover is not None and self._handover.running and self._handover.committed:
            # It asked for this signal and leads the worker out, or it is about to do so and need not wait any longer.
            if strategy is not None and not strategy.told:
                self._handover.hurry()
            return
        if self._handover is not None:
            self._handover.give_up()
        if strategy is None or self._pid != os.getpid():
            self.term.pass_on()
            return
        from leakguard.recycling.farewell import Farewell

        Farewell(strategy, self._group, self.drain, self.term).say()

    def _check_hurry(self) -> None:
        marks = self._gauge.marks
        if marks is not None and self._handover is not None:
            self._gauge.watch(marks)
            if self._gauge.above_hard >= ceiling.READINGS:
                self._handover.hurry()

    def _forget_wish(self) -> None:
        if self._handover is not None and self._handover.running:
            self._handover.give_up()
        if self.serving and (self._handover is None or not self._handover.running):
            self.drain.ready = True

    def _look_after_group(self) -> None:
        if self._group is None:
            return
        self._group.keep()
        if self._group.is_owed() and self._group.is_oldest():
            reason = "a worker died after it had called its successor, so there is one worker too many"
            self._recycle(Decision(Step.RECYCLE, reason))

    def _roomy(self) -> bool:
        available = self._limit().available
        baseline = self._gauge.baseline or 0
        return available is None or available >= baseline + ceiling.room(baseline)

    def _report(self, reason: str, rss_before: int, leaving: Leaving) -> None:
        if isinstance(self._strategy, SupervisedStrategy) and self._strategy.link.retiring:
            if leaving.lost:
                self._note(f"{reason}: {leaving.lost} requests were cut at the drain deadline")
            return
        if self._group is not None:
            self._group.remember(time.time())
        self._on_recycle(
            Recycle(
                at=time.time(),
                pid=os.getpid(),
                reason=reason,
                rss_before=rss_before,
                in_flight=leaving.in_flight,
                lost=leaving.lost,
                gap_ms=0.0 if leaving.overlapped else None,
                strategy=self.strategy,
                waited=leaving.waited,
            )
        )

    def _note(self, text: str, rule: str | None = None) -> None:
        key = rule or text
        if key in self._told:
            return
        self._told.append(key)
        self._fenced(functools.partial(self._on_note, text))

    def _fenced(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:  # the guard's own callbacks; a recycle must not hang on a note
            pass
