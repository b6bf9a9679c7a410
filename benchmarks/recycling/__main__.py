"""``python -m benchmarks.recycling [NAME ...]``: run the rows (whose name contains a NAME), keep each, write the table."""

from __future__ import annotations

import argparse
import sys

from benchmarks.recycling.measuring import measure
from benchmarks.recycling.rows import ROWS
from benchmarks.recycling.table import add, keep, kept, table, write


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recycling", description=__doc__)
    parser.add_argument("names", nargs="*", help="run the rows whose name contains one of these; none: all")
    parser.add_argument("--list", action="store_true", help="say the names of the rows and what was kept")
    parser.add_argument("--table", action="store_true", help="write the table of what was kept, run nothing")
    parser.add_argument("--add", action="store_true", help="add to what was kept of a row instead of replacing it")
    parser.add_argument("--missing", action="store_true", help="run only rows that were not kept yet")
    chosen = parser.parse_args()
    have = {each.name for each in kept()}
    rows = [row for row in ROWS if not chosen.names or any(name in row.name for name in chosen.names)]
    if chosen.list:
        print("\n".join(f"{'*' if row.name in have else ' '} {row.name}" for row in rows))
        return
    for row in [] if chosen.table else rows:
        if chosen.missing and row.name in have:
            continue
        try:
            result = measure(row)
        except (RuntimeError, OSError) as error:
            print(f"{row.name}: {error}", file=sys.stderr)
            continue
        if chosen.add:
            result = add(result)
        else:
            keep(result)
        print(table([result]).splitlines()[-1], flush=True)
    write()


main()
