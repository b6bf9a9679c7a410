"""``leakguard doctor``: what there is to work with here, what recycling will do, and which hypotheses hold."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from pathlib import Path

import click

from leakguard.cli.journals import chosen, journal_option, open_story, part_of, since_option
from leakguard.cli.output import emit, look
from leakguard.config import Config
from leakguard.errors import ConfigError, LeakGuardError
from leakguard.probes import heap
from leakguard.probes.limits import find_limit
from leakguard.reports.beside import beside
from leakguard.reports.escape import safe
from leakguard.reports.model import Report, WorkerState, build
from leakguard.reports.style import Style, wrap
from leakguard.reports.text import doctor as hypotheses
from leakguard.reports.text import lay_out
from leakguard.units import format_size

_ALONE = "a single process is replaced under `leakguard run -- …`, else left alone"
SERVERS = {
    "gunicorn": "workers are replaced one at a time, without losing a request (docs/recycling.md)",
    "uvicorn": f"workers of --workers N are replaced one at a time; {_ALONE}",
    "hypercorn": f"workers of -w N are replaced one at a time; {_ALONE}",
    "granian": "workers are replaced one at a time, best with --respawn-failed-workers",
    "uwsgi": "workers are replaced one at a time, with --master and --enable-threads",
    "waitress": _ALONE,
    "daphne": _ALONE,
}
"""What recycling does under each server, by distribution; the strategies say it in full once a worker runs."""


@click.command()
@journal_option
@since_option
def doctor(path: Path | None, since: float | None) -> None:
    """Say what recycling will do here, and hold the usual hypotheses against what the workers wrote down.

    A leak, too little memory, slow logic, a starving collector, orphaned errors, the allocator: each is held up or ruled out
    with its evidence, beside how response time goes with memory. Without a journal only the machine is described; a journal
    that is named must be there.
    """
    seen = look()
    style = Style(seen.colour)
    lines = [style.paint("This machine", "bold"), *_machine(seen.width)]
    trouble: LeakGuardError | None = None
    try:
        made = build(open_story(chosen(path), part_of(since)))
    except ConfigError:
        raise
    except LeakGuardError as error:
        trouble = error
        lines += ["", style.paint("Recycling", "bold"), *_expected(seen.width)]
    else:
        lines += ["", style.paint("Recycling", "bold"), *_recycling(made, seen.width)]
        lines += ["", *lay_out(beside(made), style, seen.width)]
        lines += ["", style.paint("Hypotheses", "bold"), *hypotheses(made.doctor, style, seen.width)]
    emit("\n".join(lines))
    if trouble is not None:
        if path is not None:
            raise trouble
        click.echo(f"leakguard: {safe(str(trouble))}", err=True)


def _machine(width: int) -> list[str]:
    """Return the interpreter, the limits and what the looks can do, one sentence each."""
    limit = find_limit()
    size = "unknown" if limit.size is None else format_size(limit.size)
    room = "" if limit.available is None else f", {format_size(limit.available)} of it can still be taken"
    said = [
        f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} {platform.machine()}",
        f"memory limit {size} ({limit.source}){room}",
        "the C heap can be read"
        if heap.in_use() is not None
        else "the C heap cannot be read: native growth will not be found",
        _looks(),
    ]
    ceiling = Config.load().ceiling
    if ceiling is not None:
        mark = ceiling.of(limit.size)
        here = "" if mark is None or ceiling.size is not None else f", {format_size(mark)} here"
        said.append(
            f"ceiling {ceiling}{here} (from the environment; arguments of the middleware are known to the app only)"
        )
        if mark is not None and limit.size is not None and mark > limit.size:
            said.append(
                f"that is above the limit: the kernel will kill the worker at {size} before leakguard recycles it"
            )
    if (3, 14, 0) <= sys.version_info[:3] <= (3, 14, 4):
        said.append(
            "this interpreter collects incrementally (3.14.0 to 3.14.4): garbage waits longer, GC debt looks larger"
        )
    return [line for sentence in said for line in wrap(safe(sentence), width, "  - ")]


def _looks() -> str:
    if hasattr(os, "fork") and sys.platform == "linux":
        return "looks are taken in a forked copy while there is memory for one, else in slices"
    return "looks are taken in slices inside the worker: there is no safe fork here"


def _recycling(report: Report, width: int) -> list[str]:
    """Return what recycling will do, in the words of the workers themselves, each once, and what it did."""
    told: dict[str, list[int]] = {}
    states = {state.pid: state for state in report.workers}
    for each in report.story.workers:
        told.setdefault(each.worker.strategy or "did not say what recycling will do", []).append(each.worker.pid)
    lines: list[str] = []
    for strategy, pids in told.items():
        who = ", ".join(_worker(states[pid]) for pid in pids[-4:])
        more = f" and {len(pids) - 4} before" if len(pids) > 4 else ""
        lines += wrap(f"{safe(strategy)} (worker {who}{more})", width, "  - ")
    lost = sum(recycle.lost for recycle in report.story.recycles)
    lines.append(f"  - so far: {len(report.story.recycles)} recycles, {lost} requests lost")
    return lines


def _expected(width: int) -> list[str]:
    """Return what recycling would do under each server that is installed here, before any worker could say it itself."""
    config = Config.load()
    if config.ceiling is None:
        first = "no ceiling is set: leakguard never recycles; LEAKGUARD_CEILING='384 MiB' or '80%' sets one"
    else:
        first = f"at {config.ceiling} a worker is relieved, and replaced if that does not help"
    said = [first]
    for name, promise in SERVERS.items():
        version = _version(name)
        if version is not None:
            said.append(f"{name} {version}: {promise}")
    if len(said) == 1:
        said.append("no server that is known is installed in this environment")
    return [line for sentence in said for line in wrap(safe(sentence), width, "  - ")]


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _worker(state: WorkerState) -> str:
    return f"{state.pid} {state.state}"
