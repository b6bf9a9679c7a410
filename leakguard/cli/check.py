"""``leakguard check``: drive an app in the process and judge it."""

from __future__ import annotations

import dataclasses
import sys
import time
import typing
from collections.abc import Iterable
from pathlib import Path

import click

from leakguard.check import apart, failing, reproduce
from leakguard.check.board import MEASURING, PHASES
from leakguard.check.interface import Interface
from leakguard.check.plan import Plan
from leakguard.check.request import Request, parse_line
from leakguard.check.requests_file import read_requests
from leakguard.check.telling import render
from leakguard.cli.journals import Duration, chosen, open_story
from leakguard.cli.kinds import FilePath
from leakguard.cli.output import emit, look
from leakguard.config import Config
from leakguard.detection import words
from leakguard.errors import ConfigError, LeakGuardError
from leakguard.records import Finding
from leakguard.reports.escape import safe
from leakguard.reports.formats import FORMATS

EVERY = 0.2  # seconds between two lines of progress


@click.command()
@click.argument("target", metavar="TARGET")
@click.option(
    "--requests",
    "file",
    type=FilePath(),
    metavar="FILE",
    help="What to request: a JSON list of {method, path, headers, body | body_base64 | body_json}, or a HAR archive of a "
    "browser. The list is one round trip. {n} in a path, header or body is a number that rises.",
)
@click.option(
    "--path", "paths", multiple=True, metavar="PATH", help="Request '/items/{n}' or 'POST /items'; repeatable."
)
@click.option(
    "--route", "routes", multiple=True, metavar="PATTERN", help="Of the app's own routes only 'GET /items/*'."
)
@click.option("--separate", is_flag=True, help="Judge each request alone, so that the right one is blamed.")
@click.option("--loops", type=click.IntRange(1), metavar="N", help="Round trips per round: n of the rate law.")
@click.option("--concurrency", type=click.IntRange(1, 1000), default=1, show_default=True, metavar="N")
@click.option("--deadline", type=Duration(), default="60s", show_default=True, help="All of it takes no longer.")
@click.option(
    "--request-timeout", "patience", type=Duration(), default="10s", show_default=True, help="Then the app hangs."
)
@click.option(
    "--interface",
    type=click.Choice(["auto", *(each.value for each in Interface)]),
    default="auto",
    show_default=True,
    help="What the app speaks, if that cannot be told.",
)
@click.option("--factory", is_flag=True, help="TARGET is a function that returns the app.")
@click.option("--env", "variables", multiple=True, metavar="NAME=VALUE", help="Set for the app; repeatable.")
@click.option("--errors-expected", is_flag=True, help="Requests that are answered 500 every time count as measured.")
@click.option("--ignore", multiple=True, metavar="RULE", help="Accept, such as 'holder:app.cache.*'; repeatable.")
@click.option("--finding", "fingerprint", metavar="FINGERPRINT", help="Reproduce this finding; its beginning will do.")
@click.option("--journal", type=FilePath(), metavar="PATH", help="Where the finding is remembered.")
@click.option(
    "--fail-on",
    multiple=True,
    metavar="WORDS",
    help="What exit code 1 is for: any (the default), confirmed, new (no known leak), never, or kinds: leak,native …",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    default="text",
    show_default=True,
    help="; ".join(f"{each.name}: {each.purpose}" for each in FORMATS.values()) + ".",
)
def check(
    *,
    target: str,
    file: Path | None,
    paths: tuple[str, ...],
    interface: str,
    variables: tuple[str, ...],
    ignore: tuple[str, ...],
    fingerprint: str | None,
    journal: Path | None,
    fail_on: tuple[str, ...],
    form: str,
    **options: typing.Any,
) -> int:
    """Import the app TARGET (module:app), drive it in a process of its own, and say what leaks.

    Requests come from the app's own routes, unless --requests or --path name them. ASGI, WSGI and aiohttp; TARGET is found
    from the current directory, as uvicorn does, and may be a factory.

    Exit codes: 0 clean, 1 findings, 2 usage, 3 could not measure.
    """
    counted = failing.parse(fail_on)
    known = None
    if fingerprint is not None:
        fingerprint = _fingerprint(fingerprint)
        known = _remembered(fingerprint, journal)
    plan = Plan(
        target=target,
        requests=_requests(file, paths),
        interface=None if interface == "auto" else Interface(interface),
        ignore=Config.load(ignore=list(ignore) or None).ignore,
        environment=tuple(_variable(text) for text in variables),
        **options,
    )
    if plan.patience > plan.deadline / 2:
        plan = dataclasses.replace(plan, patience=plan.deadline / 2)
    with _Progress(plan.deadline) as progress:
        result = apart.check(plan, progress.show)
    if fingerprint is not None:
        result = reproduce.reproduce(result, fingerprint, known)
    emit(render(result, form, look()))
    return failing.exit_code(result, counted)


def _requests(file: Path | None, paths: Iterable[str]) -> tuple[Request, ...] | None:
    """Return the requests that are named, ``None`` for the app's own."""
    requests: list[Request] = []
    if file is not None:
        listed = read_requests(file)
        for note in listed.notes:
            click.echo(f"leakguard: {safe(note)}", err=True)
        requests += listed.requests
    for path in paths:
        try:
            requests.append(parse_line(path))
        except ValueError as error:
            raise ConfigError(
                "--path", str(error), path, "for example --path '/items/{n}' or --path 'POST /items'"
            ) from None
    return tuple(requests) or None


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or "\0" in text:
        raise ConfigError("--env", "must be NAME=VALUE", text, "for example --env DATABASE_URL=sqlite:///test.db")
    return name, value


def _fingerprint(text: str) -> str:
    lowered = text.strip().lower()
    if not reproduce.is_fingerprint(lowered):
        raise ConfigError(
            "--finding", f"must be a fingerprint or its first {reproduce.SHORTEST} digits", text, "reports print them"
        )
    return lowered


def _remembered(fingerprint: str, journal: Path | None) -> Finding | None:
    """Return what the journal knows of a finding; no journal is no reason to stop, unless one was named."""
    try:
        story = open_story(chosen(journal))
    except LeakGuardError:
        if journal is not None:
            raise
        return None
    return next((each for each in story.findings if each.fingerprint.startswith(fingerprint)), None)


class _Progress:
    """One line on stderr, on a terminal only, gone when it is done."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._began = self._next = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._write("\r\x1b[K")

    def show(self, phase: int, trips: int) -> None:
        """Show what is being done, a few times a second."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + EVERY
        made = f", {words.plural(trips, 'round trip')}" if phase >= MEASURING else ""
        self._write(f"\r\x1b[K{PHASES[phase]}{made}, {now - self._began:.0f} s of {self._deadline:.0f} s")

    def _write(self, text: str) -> None:
        if self._terminal:
            try:
                sys.stderr.write(text)
                sys.stderr.flush()
            except (OSError, ValueError):
                self._terminal = False
