"""What there is at one moment beside memory: threads, tasks, descriptors, child processes, temporary files."""

from __future__ import annotations

import asyncio
import collections
import threading
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field

from leakguard.detection.suspicion import Suspicion
from leakguard.probes.tasks import where_task, where_thread
from leakguard.records import Kind, Site, Status
from leakguard.testing import resources
from leakguard.testing.tempfiles import FILES

_NOUNS = {
    "threads": (Kind.THREADS, "thread", "did not end"),
    "tasks": (Kind.TASKS, "asyncio task", "did not end"),
    "descriptors": (Kind.DESCRIPTORS, "descriptor", "was left open"),
    "processes": (Kind.LEAK, "child process", "was not waited for"),
    "files": (Kind.LEAK, "temporary file", "was not removed"),
}


@dataclass(frozen=True, slots=True)
class Left:
    """What of one kind was there later and not before: how many, what they are, and where most of them hang or were made."""

    kind: str
    count: int
    noun: str
    site: Site | None = None

    @property
    def sentence(self) -> str:
        """Say it: ``2 threads did not end, waiting at app.py:12 in poll``."""
        said = _NOUNS[self.kind][2]
        said = said.replace("was", "were") if self.count > 1 else said
        noun = self.noun if self.count == 1 else "child processes" if self.kind == "processes" else f"{self.noun}s"
        verb = "made" if self.kind == "files" else "waiting"
        place = f", {verb} at {self.site} in {self.site.function}" if self.site else ""
        return f"{self.count} {noun} {said}{place}"

    def suspicion(self, calls: int = 1) -> Suspicion:
        """Return it as the suspicion that a finding is made of, seen in so many calls."""
        kind = _NOUNS[self.kind][0]
        return Suspicion(
            kind=kind,
            status=Status.CONFIRMED,
            key=self.kind,
            name=self.noun,
            type=self.noun if kind is Kind.LEAK else None,
            per_request=self.count / calls,
            count=self.count,
            reasons=(self.sentence,),
            site=self.site,
            growth=self.count,
            requests=calls,
        )


@dataclass(frozen=True, slots=True)
class Scene:
    """Who and what is there at one moment, by identity. ``tasks`` are those of the running asyncio loop."""

    threads: frozenset[int]
    descriptors: dict[int, tuple[int, int]]
    processes: frozenset[int]
    files: frozenset[str]
    tasks: weakref.WeakSet[asyncio.Task[object]] = field(default_factory=weakref.WeakSet)

    @staticmethod
    def now() -> Scene:
        """Return the present. Costs some ten microseconds, one system call per descriptor and two per thread."""
        return Scene(
            threads=frozenset(thread.ident for thread in threading.enumerate() if thread.ident is not None),
            descriptors=resources.descriptors(),
            processes=resources.children(),
            files=FILES.names(),
            tasks=weakref.WeakSet(_tasks()),
        )

    def left_since(self, before: Scene) -> tuple[Left, ...]:
        """Return what is here and was not in ``before``."""
        threads = self.threads - before.threads
        processes = self.processes - before.processes
        files = self.files - before.files
        tasks = [task for task in self.tasks if task not in before.tasks and task is not _current()]
        surplus = max(0, len(self.descriptors) - len(before.descriptors))
        new = [fd for fd, leads_to in self.descriptors.items() if before.descriptors.get(fd) != leads_to]
        nouns = collections.Counter(map(resources.noun, new[-surplus:] if surplus else ()))
        left = [Left("tasks", len(tasks), "asyncio task", _commonest(map(where_task, tasks)))]
        left.append(Left("threads", len(threads), "thread", _commonest(map(where_thread, threads))))
        left += [Left("descriptors", count, noun) for noun, count in nouns.items()]
        left.append(Left("processes", len(processes), "child process"))
        left.append(Left("files", len(files), "temporary file", _commonest(FILES.places(files))))
        return tuple(each for each in left if each.count)


def _tasks() -> Iterable[asyncio.Task[object]]:
    try:
        return asyncio.all_tasks()
    except RuntimeError:  # no loop of asyncio runs
        return ()


def _current() -> asyncio.Task[object] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _commonest(sites: Iterable[Site | None]) -> Site | None:
    counted = collections.Counter(site for site in sites if site is not None)
    return counted.most_common(1)[0][0] if counted else None
