"""``leakguard check``: drive an app in the process and judge it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from leakguard.check import apart
from leakguard.check.interface import Interface
from leakguard.check.plan import Plan
from leakguard.check.request import Request, parse_line
from leakguard.check.requests_file import read_requests
from leakguard.check.telling import render
from leakguard.cli.output import emit, look


@click.command()
@click.argument("target")
@click.option("--requests", "file", type=click.Path(path_type=Path), help="JSON list of requests, or a HAR archive.")
@click.option("--path", "paths", multiple=True, help="A path to request, or 'POST /path'; may be given again.")
@click.option("--interface", type=click.Choice(["auto", *Interface]), default="auto", show_default=True)
@click.option("--factory", is_flag=True, help="The attribute is a function that returns the app.")
@click.option("--loops", type=click.IntRange(1), help="Round trips per round (n of the rate law).")
@click.option("--concurrency", type=click.IntRange(1, 1000), default=1, show_default=True)
@click.option("--deadline", type=float, default=60.0, show_default=True)
@click.option("--separate", is_flag=True, help="Judge each request alone.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def check(
    *,
    target: str,
    file: Path | None,
    paths: tuple[str, ...],
    interface: str,
    factory: bool,
    loops: int | None,
    concurrency: int,
    deadline: float,
    separate: bool,
    form: str,
) -> int:
    """Drive the app TARGET (module:app) in this process and judge whether it leaks."""
    requests: tuple[Request, ...] = ()
    if file is not None:
        listed = read_requests(file)
        for note in listed.notes:
            click.echo(f"leakguard: {note}", err=True)
        requests = listed.requests
    requests += tuple(parse_line(path) for path in paths)
    plan = Plan(
        target=target,
        requests=requests or None,
        interface=None if interface == "auto" else Interface(interface),
        factory=factory,
        loops=loops,
        concurrency=concurrency,
        deadline=deadline,
        separate=separate,
    )
    result = apart.check(plan, lambda _phase, _trips: None)
    emit(render(result, form, look()))
    sys.stdout.flush()
    return 1 if result.fresh else 3 if result.verdict.kind == "unknown" else 0
