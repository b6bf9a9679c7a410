"""Measure what leakguard costs, against its peers in the same run, and write docs/performance.md.

    python -m benchmarks                    everything (about an hour), into the page
    python -m benchmarks --quick            a minute or two: only that it runs; prints, writes nothing
    python -m benchmarks requests looks     these sections only

Run from the root of a checkout, on a machine that does nothing else, with the packages of the ``benchmarks`` extra and
Debian's wrk and valgrind. What is missing is named in the table, not left out silently.
"""

from __future__ import annotations

import argparse
import importlib
import time

from benchmarks.cost import machine, page
from benchmarks.cost.table import FULL, QUICK

SECTIONS = {
    "requests": "benchmarks.cost.requests",
    "instructions": "benchmarks.cost.instructions",
    "throughput": "benchmarks.cost.throughput",
    "looks": "benchmarks.cost.looks",
    "forks": "benchmarks.cost.forks",
    "beside": "benchmarks.cost.beside",
    "background": "benchmarks.cost.background",
    "growth": "benchmarks.cost.growth",
    "endurance": "benchmarks.cost.endurance",
}


def main() -> None:
    """Run the sections that were asked for, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="small and short; prints, and writes nothing")
    parser.add_argument("--print", dest="only_print", action="store_true", help="full size, but leave the page alone")
    arguments = parser.parse_args()
    if wrong := set(arguments.sections) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(wrong))}; there are {', '.join(SECTIONS)}")
    scale = QUICK if arguments.quick else FULL
    for name in arguments.sections or SECTIONS:
        begun = time.monotonic()
        where = machine.describe()
        table = importlib.import_module(SECTIONS[name]).run(scale)
        text = f"{table.markdown()}\n\n{where}"
        print(f"{text}\n\n({name}: {time.monotonic() - begun:.0f} s)\n", flush=True)
        if scale is FULL and not arguments.only_print:
            page.write(name, text)


if __name__ == "__main__":
    main()
