"""What goes to stdout: as wide and as colourful as the place it is printed to, and no harm if nobody reads to the end."""

from __future__ import annotations

import os
import shutil
import sys

import click

from leakguard.reports.formats import WIDTH, Look
from leakguard.reports.style import encodable

NARROWEST, WIDEST = 60, 140


def look() -> Look:
    """Return what stdout can show: colours on a terminal only, and never with ``NO_COLOR`` (no-color.org) or a dumb one."""
    terminal = sys.stdout.isatty()
    colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    width = shutil.get_terminal_size((WIDTH, 24)).columns if terminal else WIDTH
    return Look(width=min(max(width, NARROWEST), WIDEST), colour=colour)


def emit(text: str) -> None:
    """Print to stdout. A reader that goes away early (``| head``) is no failure: the exit code keeps its meaning."""
    try:
        click.echo(encodable(text, sys.stdout.encoding or "ascii"), color=True)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
