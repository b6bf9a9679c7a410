"""``leakguard watch``: all workers, live: with keys on a terminal, as plain text anywhere else."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click

from leakguard.cli.journals import Duration, chosen, journal_option, open_story
from leakguard.cli.output import emit, look
from leakguard.errors import LeakGuardError
from leakguard.reports.escape import safe
from leakguard.reports.live import plain
from leakguard.reports.model import Report, build

SHARE = 0.2  # of the time, at the most, that is spent reading the journal


@click.command()
@journal_option
@click.option(
    "--since",
    type=Duration(),
    metavar="AGE",
    default="1h",
    show_default=True,
    help="How far to look back. Longer takes longer to read.",
)
@click.option("--every", type=Duration(), metavar="TIME", default="2s", show_default=True, help="How often to look.")
@click.option("--plain", "is_plain", is_flag=True, help="Plain text, without keys; as in a pipe or on a dumb terminal.")
@click.option("--once", is_flag=True, help="Plain text, once.")
def watch(path: Path | None, since: float, every: float, is_plain: bool, once: bool) -> int:
    """Watch all workers: memory against the ceiling, requests in flight, response times, findings, recycles.

    With keys when stdout is a terminal and the extra 'watch' (Textual) is installed; press ? for them. Reads the journal only:
    the workers do not notice.
    """
    journal = chosen(path)

    def report() -> Report:
        return build(open_story(journal, since))

    if once:
        _print(report())
        return 0
    if not is_plain and _has_keys():
        if importlib.util.find_spec("textual") is not None:
            from leakguard.cli.watch_screen import WatchScreen

            WatchScreen(report, every).run()
            return 0
        click.echo(
            "leakguard: plain text, for keys install the extra 'watch': pip install 'leakguard-middleware[watch]'",
            err=True,
        )
    _repeat(report, every)
    return 0


def _has_keys() -> bool:
    streams = (sys.stdin, sys.stdout, sys.stderr)  # Textual draws on stderr
    return all(stream.isatty() for stream in streams) and os.environ.get("TERM", "dumb") not in {"dumb", "unknown"}


def _repeat(report: Callable[[], Report], every: float) -> None:
    said = None
    try:
        while True:
            began = time.monotonic()
            try:
                _print(report())
                emit("")
            except LeakGuardError as error:
                if str(error) != said:  # a journal that is not there yet may come; say so once
                    click.echo(f"leakguard: {safe(str(error))}", err=True)
                said = str(error)
            time.sleep(max(every, (time.monotonic() - began) / SHARE))
    except KeyboardInterrupt:
        pass  # the ordinary end


def _print(report: Report) -> None:
    emit("\n".join(plain(report, look().width)))
