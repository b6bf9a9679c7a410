"""``leakguard demo``: the whole story on this machine, in about eighty seconds."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from leakguard.cli.kinds import FilePath
from leakguard.cli.output import emit, look
from leakguard.demo import output
from leakguard.demo.progress import Progress
from leakguard.demo.run import SECONDS, find_app, run


@click.command()
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object (schema 1 and the key 'demo') instead of text."
)
@click.option(
    "--app",
    "directory",
    type=FilePath(directory=True),
    help="Directory with another app.py to drive; it must have the game server's routes.",
)
@click.option(
    "--seconds",
    type=click.IntRange(5, 600),
    default=SECONDS,
    show_default=True,
    help="Length of the load on each side; much shorter and there are fewer than three recycles.",
)
def demo(as_json: bool, directory: Path | None, seconds: int) -> int:
    """Drive the story's game server under gunicorn, without leakguard and with it, and report.

    Exit codes: 0 when both sides were measured, whatever was found; 2 usage; 3 when they could not be.
    """
    result = run(find_app(directory), Progress(sys.stderr), seconds)
    emit(output.as_json(result) if as_json else output.as_text(result, look()))
    return 0
