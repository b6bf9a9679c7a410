"""Judge one callable by every rule, in a process of its own, and print the verdicts as one line of JSON.

The rules of the others are written anew on ``sys.getallocatedblocks``, as their documents describe them: psleak itself
needs ``PYTHONMALLOC=malloc`` and regrtest a debug build, so that on a release build the rule is all that can be compared.
"""

from __future__ import annotations

import array
import gc
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

from leakguard.testing import quiet
from leakguard.testing.caller import Caller, drive
from leakguard.testing.checker import check
from leakguard.testing.measuring import Measurement, measure

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "pytest_plugin"))
callables = importlib.import_module("callables")

Call = Callable[[], object]


_LEVELS = array.array("q", (0, 0))  # a level kept as a number would be an allocated block itself


def _run(call: Call, calls: int) -> int:
    """Make so many calls between still points and return by how many blocks Python's memory grew."""
    quiet.settle()
    _LEVELS[0] = sys.getallocatedblocks()
    for _ in range(calls):
        call()
    quiet.settle()
    _LEVELS[1] = sys.getallocatedblocks()
    return _LEVELS[1] - _LEVELS[0]


def leakguard(call: Call, n: int, whole: bool) -> bool:
    """Say whether leakguard fails the callable; ``whole`` explains what it measured, which can acquit a cache."""

    async def quietly(caller: Caller) -> Measurement:
        with quiet.silence(), quiet.roomy():
            return await measure(caller, n)

    if not whole:
        return bool(drive(call, quietly).leaks)
    return bool(check(call, n=n).unforgiven)


def psleak(call: Call, calls: int) -> bool:
    """Ten warm-ups; rounds that grow by half of the first; a round that grows no more than the one before it acquits."""
    _run(call, 10)
    previous = _run(call, calls)
    if previous <= 0:
        return False
    for turn in range(1, 10):
        grown = _run(call, calls + turn * calls // 2)
        if grown <= previous:
            return False
        previous = grown
    return True


def regrtest(call: Call, calls: int) -> bool:
    """Three warm-ups, three rounds of so many calls; a leak when every round grew."""
    for _ in range(3):
        _run(call, calls)
    return all(_run(call, calls) >= 1 for _ in range(3))


def main() -> None:
    """Judge the callable that the command line names."""
    name, n, whole = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "whole"
    maker = getattr(callables, name)
    gc.collect()
    verdicts = {}
    rules: dict[str, Callable[[Call], bool]] = {
        "leakguard": lambda call: leakguard(call, n, whole),
        "psleak's rule": lambda call: psleak(call, 200),
        "regrtest 3:3": lambda call: regrtest(call, 1),
        "regrtest 3:3 of 100": lambda call: regrtest(call, 100),
    }
    for rule, judge in rules.items():
        callables.HOLD.reset()
        verdicts[rule] = judge(maker())
    callables.HOLD.stop.set()
    print(json.dumps(verdicts))


if __name__ == "__main__":
    main()
