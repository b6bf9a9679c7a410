"""``leakguard config``: every option, its value, and where the value came from."""

from __future__ import annotations

import os

import click

from leakguard.cli.output import emit, look
from leakguard.config import Config, unknown_variables
from leakguard.reports.escape import safe
from leakguard.reports.style import table, wrap


@click.command()
@click.option("--explain", is_flag=True, help="Say what each option is for, too.")
def config(explain: bool) -> None:
    """Print every option, its value here, and where it came from.

    Keyword arguments of the middleware win over these; they are only known inside the app.
    """
    rows = [["option", "value", "from"]]
    described = Config.load().described()
    rows += [[option.name, safe(value), source] for option, value, source in described]
    lines = table(rows, indent="", left=3)
    if explain:
        texts = [wrap(option.help, look().width, "    ") for option, *_ in described]
        lines = [line for row, text in zip(lines[1:], texts, strict=True) for line in (row, *text, "")]
    emit("\n".join(lines).rstrip())
    for name, meant in unknown_variables(os.environ).items():
        hint = f"; did you mean {meant}?" if meant else ""
        click.echo(f"leakguard: {safe(name)} is set but is not an option{hint}", err=True)
