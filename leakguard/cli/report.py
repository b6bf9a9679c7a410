"""``leakguard report``: what the workers of a journal found."""

from __future__ import annotations

from pathlib import Path

import click

from leakguard.cli.journals import chosen, journal_option, open_story, since_option
from leakguard.cli.output import emit, look
from leakguard.reports.formats import FORMATS
from leakguard.reports.model import build


@click.command()
@journal_option
@since_option
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    default="text",
    show_default=True,
    help="; ".join(f"{each.name}: {each.purpose}" for each in FORMATS.values()) + ".",
)
def report(path: Path | None, since: float | None, form: str) -> int:
    """Print what was found: leaks with route, line and holder, memory, recycles, response times, errors.

    Safe while the workers write. Exit codes: 0 clean, 1 findings, 2 usage, 3 could not measure.
    """
    made = build(open_story(chosen(path), since))
    emit(FORMATS[form].render(made, look()))
    return made.exit_code
