"""Every case live: a real server, mixed traffic, the middleware as it comes, and the report of its journal.

    python -m benchmarks.accuracy.live                      every case, leaky, fixed and controls
    python -m benchmarks.accuracy.live CASE ...             some of them
    python -m benchmarks.accuracy.live --document docs/accuracy.md

ASGI applications are served by uvicorn with one worker, WSGI applications by gunicorn with one worker of eight threads, both
with leakguard's options at their defaults. A fifth of the requests goes to the routes in question and the rest to four
healthy routes beside them, over eight connections at once. Applications of aiohttp's own server are left out: they are
neither ASGI nor WSGI, and there is no middleware for them.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.accuracy.cases import Case, load, names
from benchmarks.accuracy.environments import CHECKOUT, environment
from benchmarks.accuracy.live_traffic import Traffic

SERVERS = ["uvicorn[standard]==0.54.0", "gunicorn==27.0.1"]
START = 60.0
NATIVE_SERVER = ":build"  # how the factory of an aiohttp application is called in the cases

Finding = dict[str, typing.Any]


@dataclass(frozen=True, slots=True)
class Score:
    """What was said of one run. A ``None`` was not asked for."""

    case: str
    which: str
    seconds: float
    verdict: str
    found: bool | None = None
    false_alarms: int = 0
    kind: bool | None = None
    route: bool | None = None
    holder_or_type: bool | None = None
    site: bool | None = None
    share_of_core: float | None = None
    told: list[str] = field(default_factory=list)


def main() -> None:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help="names of cases; all without")
    parser.add_argument("--requests", type=int, default=20_000, help="in each run (default 20 000)")
    parser.add_argument("--share", type=float, default=0.2, help="of them to the routes in question (default a fifth)")
    parser.add_argument(
        "--pace", type=float, default=1000, help="requests a second (default 1000); 0: as fast as it goes"
    )
    parser.add_argument("--which", choices=["leaky", "fixed", "control"], action="append", help="only these versions")
    parser.add_argument(
        "--document", type=Path, help="a Markdown file whose section between the live markers is replaced"
    )
    parser.add_argument("--log", type=Path, help="a file to which each score is appended as a line of JSON")
    options = parser.parse_args()
    scores = list(run_all(options))
    table = "\n".join([*summary(scores, options), "", *rows(scores)])
    print(table)
    if options.document:
        write(options.document, table)


def run_all(options: argparse.Namespace) -> Iterator[Score]:
    """Run what was asked for, one after the other, and tell each score as it comes."""
    for name in options.cases or names():
        case = load(name)
        if case.target.endswith(NATIVE_SERVER):
            continue
        for which, version in case.versions():
            if options.which and which not in options.which:
                continue
            score = judge(case, which, *run(case, version, options))
            print(f"{name} {which}: {score.verdict} {'; '.join(score.told)}", file=sys.stderr, flush=True)
            if options.log:
                with options.log.open("a", encoding="utf-8") as log:
                    log.write(json.dumps({key: getattr(score, key) for key in Score.__slots__}) + "\n")
            yield score


def run(case: Case, version: str, options: argparse.Namespace) -> tuple[dict[str, typing.Any], float]:
    """Serve one version of a case, drive it, and return the report with the seconds that the traffic took."""
    python = environment(f"live-{case.name}", [*case.install(version), *SERVERS], case.pythons[0])
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "journal.sqlite3"
        with serving(python, case, journal) as port:
            traffic = Traffic(port, case.requests, total=options.requests, share=options.share, pace=options.pace)
            traffic.run()
        command = [sys.executable, "-m", "leakguard", "report", "--format", "json", "--journal", str(journal)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT, check=False)
    if not done.stdout:
        return {"verdict": "nothing measured", "findings": [], "cost": {}}, traffic.seconds
    return json.loads(done.stdout), traffic.seconds


@contextlib.contextmanager
def serving(python: Path, case: Case, journal: Path) -> Iterator[int]:
    """Run a case under its server; give the port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    here = {"LIVE_FOLDER": str(case.folder), "LIVE_TARGET": case.target, "LEAKGUARD_JOURNAL": str(journal)}
    plain = {name: value for name, value in os.environ.items() if not name.startswith("LEAKGUARD_")}
    command = [str(python), "-m", *server(python, here, port), "benchmarks.accuracy.live_app:app"]
    process = subprocess.Popen(command, env={**plain, **here, "PYTHONPATH": str(CHECKOUT)}, cwd=journal.parent)
    try:
        wait(process, port)
        yield port
    finally:
        process.terminate()
        process.wait(START)


def server(python: Path, here: dict[str, str], port: int) -> list[str]:
    """Return the server for an application and its options: uvicorn for ASGI, gunicorn's threads for WSGI."""
    ask = "from benchmarks.accuracy import live_app; print(type(live_app.app).__name__)"
    environment_ = {**os.environ, **here, "PYTHONPATH": str(CHECKOUT), "LEAKGUARD_LEVEL": "off"}
    done = subprocess.run([str(python), "-c", ask], env=environment_, capture_output=True, text=True, check=True)
    if done.stdout.strip().endswith("WSGI"):
        return [
            "gunicorn",
            "-k",
            "gthread",
            "-w",
            "1",
            "--threads",
            "8",
            "-b",
            f"127.0.0.1:{port}",
            "--log-level",
            "warning",
        ]
    return ["uvicorn", "--port", str(port), "--log-level", "warning", "--no-access-log"]


def wait(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait until the server listens."""
    until = time.monotonic() + START
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit("the server did not start") from None
            time.sleep(0.1)
        else:
            return


def judge(case: Case, which: str, report: dict[str, typing.Any], seconds: float) -> Score:
    """Return what a report is worth: only confirmed findings count."""
    findings = [each for each in report["findings"] if each["status"] == "confirmed"]
    base = {
        "case": case.name,
        "which": which,
        "seconds": round(seconds, 1),
        "verdict": report["verdict"],
        "share_of_core": report["cost"].get("share_of_cpu"),
        "told": [told(each) for each in findings],
    }
    # Cycles that wait for the collector are no leak while it is on, as it is here: nothing is to be found, but it may be said.
    if which != "leaky" or case.expect.kinds == ("gc-debt",):
        return Score(**base, false_alarms=sum(each["kind"] != "gc-debt" for each in findings))
    right = [each for each in findings if any_like(each["kind"], case.expect.kinds)]
    best = (right or findings or [None])[0]
    if best is None:
        return Score(**base, found=False)
    expect = case.expect
    told_of = right or findings
    held = any(any_like(each["type"], expect.types) or any_like(each["holder"], expect.holders) for each in told_of)
    return Score(
        **base,
        found=True,
        kind=bool(right),
        route=any(any_like(each["route"], expect.routes) for each in told_of),
        site=_asked(expect.sites, any(any_like(site_of(each), expect.sites) for each in told_of)),
        holder_or_type=_asked((*expect.types, *expect.holders), held),
    )


def _asked(patterns: tuple[str, ...], answer: bool) -> bool | None:
    return answer if patterns else None


def any_like(value: str | None, patterns: Iterable[str]) -> bool:
    """Say whether a value is like one of some shell patterns, in which a bracket stands for itself."""
    return value is not None and any(fnmatch.fnmatchcase(value, pattern.replace("[", "[[]")) for pattern in patterns)


def site_of(finding: Finding) -> str | None:
    """Return the file of a finding's allocation site."""
    return str(finding["site"]["file"]) if finding["site"] else None


def told(finding: Finding) -> str:
    """Return one line about a finding."""
    where = f"{finding['site']['file']}:{finding['site']['line']}" if finding["site"] else None
    return " | ".join(
        str(each) for each in (finding["kind"], finding["route"], finding["holder"], finding["type"], where)
    )


def summary(scores: list[Score], options: argparse.Namespace) -> list[str]:
    """Return the lines with the rates."""
    leaky = [score for score in scores if score.found is not None]
    clean = [score for score in scores if score.found is None]
    found = [score for score in leaky if score.found]
    lines = [
        f"{options.requests} requests in each run, {options.share:.0%} of them to the routes in question, "
        + (f"{options.pace:g} a second." if options.pace else "as fast as the server answers."),
        "",
        "| | |",
        "|---|---|",
        f"| leaks found | {_of(len(found), len(leaky))} |",
        f"| fixed releases and controls with a finding | {_of(sum(score.false_alarms > 0 for score in clean), len(clean))} |",
    ]
    for word in ("kind", "route", "holder_or_type", "site"):
        asked = [getattr(score, word) for score in found if getattr(score, word) is not None]
        lines.append(f"| {word.replace('_', ' ')} right, of those found | {_of(sum(asked), len(asked))} |")
    return lines


def _of(part: int, whole: int) -> str:
    return f"{part} of {whole}" + (f" ({part / whole:.0%})" if whole else "")


def rows(scores: list[Score]) -> list[str]:
    """Return the table of the runs."""
    lines = [
        "| case | version | found | kind | route | holder or type | site | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for score in scores:
        if score.found is None:
            found = "**false alarm**" if score.false_alarms else "clean"
        else:
            found = "yes" if score.found else "**no**"
        marks = [
            {True: "right", False: "**wrong**", None: ""}[getattr(score, word)]
            for word in ("kind", "route", "holder_or_type", "site")
        ]
        lines.append(f"| {score.case} | {score.which} | {found} | {' | '.join(marks)} | {score.seconds:.0f} |")
    return lines


BEGIN, END = "<!-- live -->", "<!-- end of live -->"


def write(document: Path, table: str) -> None:
    """Put the table between the markers of a document."""
    text = document.read_text("utf-8")
    before, rest = text.split(BEGIN, 1)
    document.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{rest.split(END, 1)[1]}", "utf-8")


if __name__ == "__main__":
    main()
