"""The command line: ``leakguard report``, ``doctor``, ``config``, ``demo``. Data on stdout, messages on stderr.

A new command is a module with a ``click`` command of its name and a line in ``COMMANDS``; it is imported when it is used.
"""

from __future__ import annotations

import click

import leakguard
from leakguard.cli.group import LazyGroup

COMMANDS = {
    "report": "leakguard.cli.report",
    "explain": "leakguard.cli.explain",
    "watch": "leakguard.cli.watch",
    "serve": "leakguard.cli.serve",
    "doctor": "leakguard.cli.doctor",
    "config": "leakguard.cli.config",
    "check": "leakguard.cli.check",
    "run": "leakguard.cli.run",
    "demo": "leakguard.cli.demo",
}


@click.group(cls=LazyGroup, modules=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(leakguard.__version__, prog_name="leakguard", message="%(prog)s %(version)s")
def main() -> None:
    """Which route leaks what, where it was allocated and who holds it.

    Exit codes: 0 clean, 1 findings, 2 usage, 3 could not measure.
    """
