"""Run the cases through ``leakguard check`` and count how often it is right.

    python -m benchmarks.accuracy --jobs 2                     # every case, on the first Python that it names
    python -m benchmarks.accuracy --python 3.13 --case 'm*'
    python -m benchmarks.accuracy --write                      # and put the table into docs/accuracy.md

Environments are made once per case and version, among the temporary files or in ``$LEAKGUARD_CASES``.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import fnmatch
import json
import os
import subprocess
import sys
import tempfile
import time
import typing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.accuracy import cases, table
from benchmarks.accuracy.cases import Case
from benchmarks.accuracy.environments import CHECKOUT, EnvironmentFailedError, environment
from benchmarks.accuracy.scoring import Score, score

DOCUMENT = CHECKOUT / "docs" / "accuracy.md"
_TIMEOUT = 150.0


@dataclass(frozen=True, slots=True)
class Job:
    """One run: a case with one version of its package on one Python."""

    case: Case
    which: str  # leaky, fixed or control
    version: str
    python: str


def main() -> int:
    """Run what the command line asks for, print the table, and return 1 when a target is missed."""
    wanted = _arguments()
    chosen = [cases.load(name) for name in cases.names() if fnmatch.fnmatch(name, wanted.case)]
    jobs = [
        Job(case, which, version, python)
        for case in chosen
        for python in _pythons(case, wanted.python)
        for which, version in case.versions()
        if wanted.which in {"all", which}
        for _ in range(wanted.repeats)
    ]
    with concurrent.futures.ThreadPoolExecutor(wanted.jobs) as pool:
        scores = []
        for done in pool.map(_run, jobs):
            scores.append(done)
            sys.stderr.write(f"{table.line(done)}\n")
    text = table.render(scores)
    print(text)
    if wanted.write:
        table.write(text, DOCUMENT)
    return 0 if table.reached(scores) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__.partition("\n")[0])
    parser.add_argument("--case", default="*", help="a shell pattern of names")
    parser.add_argument("--python", default="first", help="3.11, 3.12, 3.13, 'all', or the first that a case names")
    parser.add_argument("--which", default="all", choices=["all", "leaky", "fixed", "control"])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 2) // 2), help="runs at a time")
    parser.add_argument("--write", action="store_true", help=f"put the table into {DOCUMENT.name}")
    return parser.parse_args()


def _pythons(case: Case, wanted: str) -> tuple[str, ...]:
    if wanted == "first":
        return case.pythons[:1]
    return tuple(python for python in case.pythons if wanted in {"all", python})


def _run(job: Job) -> Score:
    try:
        python = environment(f"{job.case.name}-{job.which}", job.case.install(job.version), job.python)
    except EnvironmentFailedError as error:
        return Score(job.case.name, job.which, job.version, job.python, failed=str(error))
    with tempfile.TemporaryDirectory() as folder:
        requests = Path(folder) / "requests.json"
        job.case.write_requests(requests)
        command = [
            str(python.parent / "leakguard"), "check", job.case.target, "--requests", str(requests),
            "--concurrency", str(job.case.concurrency), "--format", "json",
        ]  # fmt: skip
        began = time.monotonic()
        try:
            done = subprocess.run(
                command,
                cwd=job.case.folder,
                env=_clean(),
                capture_output=True,
                text=True,
                timeout=_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            failed = f"no end within {_TIMEOUT:.0f} s"
            return Score(job.case.name, job.which, job.version, job.python, failed=failed)
        seconds = time.monotonic() - began
    try:
        report: dict[str, typing.Any] = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        return Score(
            job.case.name, job.which, job.version, job.python, seconds=seconds, code=done.returncode, failed=last
        )
    return score(job.case, job.which, job.version, job.python, report=report, code=done.returncode, seconds=seconds)


def _clean() -> dict[str, str]:
    """Return the environment without what would change a run: options of leakguard's and paths of Python's."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("LEAKGUARD_", "PYTHON"))} | {
        "PYTHONDONTWRITEBYTECODE": "1"
    }
