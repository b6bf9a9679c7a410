"""The group of all commands: imports each when it is used, and turns every way to fail into its exit code."""

from __future__ import annotations

import importlib
import sys
import traceback
import typing
from collections.abc import Mapping, Sequence

import click

from leakguard.errors import ConfigError, LeakGuardError

USAGE, NOT_MEASURED, INTERRUPTED = 2, 3, 130


class LazyGroup(click.Group):
    """A group whose commands live in modules of their own.

    Args:
        modules: by the name of the command, which the function in the module bears too.
        settings: for ``click.Group``.
    """

    def __init__(self, *, modules: Mapping[str, str], **settings: typing.Any) -> None:
        super().__init__(**settings)
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the commands in the order of the table: that of a user's questions."""
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command, imported now."""
        if cmd_name not in self._modules:
            return None
        return typing.cast("click.Command", getattr(importlib.import_module(self._modules[cmd_name]), cmd_name))

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: typing.Any,
    ) -> typing.Any:
        """Run the command line. Never ends with 1 but for findings: a script must be able to believe the exit code."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        try:
            result = super().main(args, prog_name or "leakguard", complete_var, standalone_mode=False, **extra)
        except click.ClickException as error:
            error.show()
            sys.exit(USAGE)
        except ConfigError as error:
            _say(error)
            sys.exit(USAGE)
        except LeakGuardError as error:
            _say(error)
            sys.exit(NOT_MEASURED)
        except (click.Abort, KeyboardInterrupt):
            click.echo("leakguard: interrupted", err=True)
            sys.exit(INTERRUPTED)
        except Exception:
            click.echo("leakguard: this is a mistake in leakguard, please report it:", err=True)
            click.echo(traceback.format_exc(), err=True, nl=False)
            sys.exit(NOT_MEASURED)
        sys.exit(result if isinstance(result, int) else 0)


def _say(error: LeakGuardError) -> None:
    from leakguard.reports.escape import safe

    click.echo(f"leakguard: {safe(str(error))}", err=True)
