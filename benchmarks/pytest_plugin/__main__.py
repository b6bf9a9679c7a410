"""The error rates of leak tests: clean and leaky callables, each in fresh processes, judged by leakguard and by its peers.

    python -m benchmarks.pytest_plugin [--runs 20] [--memray-runs 3] [--jobs 2]

Prints a table in Markdown (docs/pytest.md has it) and every verdict that is wrong. Takes about a quarter of an hour.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import importlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TESTS = ROOT / "tests" / "pytest_plugin"
sys.path.insert(0, str(TESTS))
callables = importlib.import_module("callables")

SETS = {
    "15 clean, n = 100": (callables.CLEAN, False, 100),
    "10 leaky, n = 100": (callables.LEAKY, True, 100),
    "4 harder clean, n = 500": (callables.HARD_CLEAN, False, 500),
    "5 harder leaky, n = 500": (callables.HARD_LEAKY, True, 500),
}
MEMRAY = "pytest-memray limit_leaks(10 KB)"
RULES = ("leakguard", "psleak's rule", "regrtest 3:3", "regrtest 3:3 of 100", MEMRAY)

_MEMRAY_TEST = """
import sys
sys.path.insert(0, {tests!r})
import callables, pytest

@pytest.mark.limit_leaks("10 KB")
def test_it():
    call = callables.{name}()
    for _ in range(300):
        call()
"""


def one(name: str, n: int, whole: bool) -> dict[str, bool]:
    """Judge one callable in a fresh process."""
    command = [sys.executable, str(HERE / "one.py"), name, str(n), "whole" if whole else "measured"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=900)
    verdicts: dict[str, bool] = json.loads(done.stdout.splitlines()[-1])
    return verdicts


def memray(name: str) -> bool:
    """Judge one callable by pytest-memray, 300 calls under a limit per line, in a fresh pytest."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "test_it.py"
        file.write_text(_MEMRAY_TEST.format(tests=str(TESTS), name=name))
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:leakguard",
            "--memray",
            str(file),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=directory, timeout=900)
        return done.returncode == 1


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--memray-runs", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    chosen = parser.parse_args()
    tasks = [
        (title, maker.__name__, n, leaky, turn)
        for title, (makers, leaky, n) in SETS.items()
        for maker in makers
        for turn in range(chosen.runs)
    ]
    right: dict[tuple[str, str], list[bool]] = collections.defaultdict(list)
    wrong: collections.Counter[tuple[str, str]] = collections.Counter()

    def note(title: str, rule: str, name: str, leaky: bool, accused: bool) -> None:
        right[title, rule].append(accused == leaky)
        if accused != leaky:
            wrong[name, rule] += 1

    with concurrent.futures.ThreadPoolExecutor(chosen.jobs) as pool:
        # A leak is explained in its first run, which costs seconds; whether it is found shows in the measuring.
        judged = [(task, pool.submit(one, task[1], task[2], not task[3] or task[4] == 0)) for task in tasks]
        for (title, name, _, leaky, _), verdicts in judged:
            for rule, accused in verdicts.result().items():
                note(title, rule, name, leaky, accused)
        if importlib.util.find_spec("pytest_memray"):
            traced = [(task, pool.submit(memray, task[1])) for task in tasks if task[4] < chosen.memray_runs]
            for (title, name, _, leaky, _), verdict in traced:
                note(title, MEMRAY, name, leaky, verdict.result())
    print(f"| rule | {' | '.join(f'{title}: right' for title in SETS)} |")
    print(f"| --- |{' --- |' * len(SETS)}")
    for rule in RULES:
        cells = [f"{sum(right[title, rule])} of {len(right[title, rule])}" for title in SETS]
        print(f"| {rule} | {' | '.join(cells)} |")
    print()
    for (name, rule), times in sorted(wrong.items(), key=lambda item: (item[0][1], item[0][0])):
        print(f"wrong {times} times by {rule}: {name}")


if __name__ == "__main__":
    main()
