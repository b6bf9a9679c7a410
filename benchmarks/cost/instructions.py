"""What a middleware adds to one request in processor instructions: a count, which a busy machine does not disturb.

valgrind's cachegrind runs the requests of ``requests.py`` and counts. Each figure is the difference between a long run and a
short one, so that imports, start-up and what is cached at the first requests fall out. leakguard's own thread does not run
here: under valgrind everything takes fifty times as long, so that it would look fifty times as often per request.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from benchmarks.cost.requests import VARIANTS, batches, beside_peers
from benchmarks.cost.table import QUICK, Scale, Table

COUNTED = ("asgi", "starlette", "wsgi", "asgi-off", "wsgi-off", "dozer", "instrumentator", "exporter")
SHORT, LONG = 1000, 4000
_SIDES = ("base", "variant")


def run(scale: Scale) -> Table:
    """Count every variant, two at a time, and return the table."""
    names = COUNTED if scale is not QUICK else COUNTED[:1]
    long = LONG if scale is not QUICK else SHORT + 200
    title, columns = "Instructions", ("middleware", "base", "added", "ratio")
    if shutil.which("valgrind") is None:
        return Table(title, "Not measured: valgrind is not installed (Debian: apt-get install valgrind).", columns, ())
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = {(name, side): pool.submit(each, name, side, long) for name in names for side in _SIDES}
        counts = {key: job.result() for key, job in jobs.items()}
    added = {name: counts[name, "variant"] - counts[name, "base"] for name in names}
    rows = [
        (
            VARIANTS[name].title,
            f"{counts[name, 'base']:,.0f}",
            f"{added[name]:,.0f}",
            f"{counts[name, 'variant'] / counts[name, 'base']:.2f}",
        )
        for name in names
    ]
    text = (
        "Processor instructions per request, counted by valgrind's cachegrind: what a busy machine does not disturb, and what "
        f"tells a change of the code from one of the machine. The difference between {long} and {SHORT} requests, with the "
        "fold and without leakguard's own thread."
    )
    return Table(title, text, columns, tuple(rows), beside_peers(added))


def each(name: str, side: str, long: int) -> float:
    """Return the instructions of one request, without (``base``) or with the variant."""
    return (_counted(name, side, long) - _counted(name, side, SHORT)) / (long - SHORT)


def _counted(name: str, side: str, requests: int) -> int:
    command = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", sys.executable]
    ran = subprocess.run(
        [*command, "-m", "benchmarks.cost.instructions", name, side, str(requests)],
        env={**os.environ, "LEAKGUARD_JOURNAL": "off", "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"I\s+refs:\s+([\d,]+)", ran.stderr)
    if found is None:
        raise RuntimeError(f"valgrind said something else than usual: {ran.stderr}")
    return int(found[1].replace(",", ""))


def main() -> None:
    """Send the requests, for valgrind to count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variant", choices=VARIANTS)
    parser.add_argument("side", choices=_SIDES)
    parser.add_argument("requests", type=int)
    arguments = parser.parse_args()
    from leakguard.guard import Guard

    Guard.start = lambda self: None  # type: ignore[method-assign]
    batch = batches(VARIANTS[arguments.variant])[_SIDES.index(arguments.side)]

    async def send() -> None:
        await batch(arguments.requests)

    asyncio.run(send())


if __name__ == "__main__":
    main()
