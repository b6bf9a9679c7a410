"""What real requests feel of the looks: the slowest in a thousand with and without, the pages copied, the time to a finding."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.cost.apps import OBJECTS
from benchmarks.cost.server import serving, wrk
from benchmarks.cost.table import QUICK, Scale, Table, spread

SIZES = (160_000, 760_000, 6_000_000)
LEVELS = {
    "off": "no looks",
    "watch": "the default: looks while they can tell something",
    "census": "looks all the time",
}
LONGEST = 120.0  # seconds that a finding may take
MIB = 1024 * 1024


class Copies:
    """Watches a server's forked copies from outside: how many there were, and the most memory that one had for itself."""

    def __init__(self, server: int) -> None:
        self.seen: set[int] = set()
        self.most = 0
        self._server = psutil.Process(server)
        self._over = threading.Event()

    @contextlib.contextmanager
    def watching(self) -> Iterator[Copies]:
        """Watch while the block runs, fifty times a second."""
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            for copy in self._server.children():
                with contextlib.suppress(psutil.Error):
                    self.most = max(self.most, copy.memory_full_info().uss)
                    self.seen.add(copy.pid)


def run(scale: Scale) -> Table:
    """Load a worker that writes all over its heap, at each level in turn, for each size; then let another one leak."""
    rows = []
    for size in (size for size in SIZES if size <= scale.largest):
        for level, said in LEVELS.items():
            with serving("guarded", **{OBJECTS: str(size), "LEAKGUARD_LEVEL": level}) as (port, server):
                wrk(port, "/writing", scale.seconds / 4)
                with Copies(server.pid).watching() as copies:
                    loads = [wrk(port, "/writing", scale.seconds) for _ in range(max(scale.rounds // 3, 1))]
            rows.append(
                (
                    f"{size / 1e6:.2f} million",
                    f"`{level}`: {said}",
                    str(len(copies.seen)),
                    spread([load.p99 for load in loads]),
                    spread([load.p999 for load in loads]),
                    f"{copies.most / MIB:.0f} MiB" if copies.seen else "",
                )
            )
    stretches = max(scale.rounds // 3, 1)
    text = (
        "uvicorn with one worker, `wrk -t1 -c16` at a handler that writes 200 objects all over the heap; "
        f"{stretches} stretches of {scale.seconds:.0f} s; latency in milliseconds, median and range. A page that is written "
        "while a copy lives is copied: *copied* is the most memory that one copy had for itself, its own work included."
    )
    columns = ("tracked objects", "level", "looks", "p99 ms", "p99.9 ms", "copied")
    notes = () if scale is QUICK else (_time_to_finding(),)
    return Table("Requests beside looks", text, columns, tuple(rows), notes)


def _time_to_finding() -> str:
    """Leak one request per request on a fifth of the traffic, and return after how long the report names route and holder."""
    with serving("guarded") as (port, server):
        journal = Path(psutil.Process(server.pid).environ()["LEAKGUARD_JOURNAL"])
        began, over = time.monotonic(), threading.Event()
        load = threading.Thread(target=_mixed, args=(port, over))
        load.start()
        try:
            while time.monotonic() - began < LONGEST:
                time.sleep(0.5)
                found = _finding(journal)
                if found is not None:
                    took = time.monotonic() - began
                    return (
                        f"A request kept by every `GET /leaking`, a fifth of the traffic: confirmed, with route and holder "
                        f"({found}), {took:.0f} s after the first request."
                    )
        finally:
            over.set()
            load.join()
    return f"A request kept by every `GET /leaking`, a fifth of the traffic: not found within {LONGEST:.0f} s."


def _mixed(port: int, over: threading.Event) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    while not over.is_set():
        for path in (*["/hello/you"] * 4, "/leaking"):
            connection.request("GET", path)
            connection.getresponse().read()
    connection.close()


def _finding(journal: Path) -> str | None:
    command = [sys.executable, "-m", "leakguard", "report", "--format", "json", "--journal", str(journal)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        findings = json.loads(ran.stdout)["findings"]
    except (json.JSONDecodeError, KeyError):
        return None
    for finding in findings:
        if finding["status"] == "confirmed" and finding["holder"] and finding["route"]:
            return str(finding["holder"])
    return None
