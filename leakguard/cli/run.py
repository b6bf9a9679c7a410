"""``leakguard run``: any server command with leakguard in it, and a single process replaced without a gap."""

from __future__ import annotations

import os
import sys
import typing

import click

from leakguard.config import OPTIONS, Config

NOT_FOUND, NOT_RUNNABLE = 127, 126  # as env(1) and shells have it


def _with_options(function: typing.Callable[..., int]) -> typing.Callable[..., int]:
    for option in reversed(OPTIONS):
        name = f"--{option.name.replace('_', '-')}"
        function = click.option(name, option.name, metavar="VALUE", help=option.help)(function)
    return function


@click.command(context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False})
@_with_options
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(command: tuple[str, ...], **given: str | None) -> int:
    """Run a server COMMAND with leakguard around its app, without touching the app's source.

    \b
      leakguard run -- uvicorn app:app --port 8000
      leakguard run --ceiling '384 MiB' -- waitress-serve --listen 127.0.0.1:8000 app:application
      leakguard run -- gunicorn app:app -w 2

    A server that is a single process (uvicorn, waitress, daphne, hypercorn) gets a small supervisor that keeps the
    listening socket: at the ceiling, and at SIGHUP, its successor is ready before it leaves. SIGTERM drains. Servers
    with a parent of their own (gunicorn, granian, uvicorn --workers N) take this process's place and replace their
    workers as ever. The exit code is the command's.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from leakguard.supervisor import command as commands

    config = Config.load(**given)  # a wrong option is said here, before anything runs
    options = {option.variable: value for option in OPTIONS if (value := given[option.name]) is not None}
    environment = commands.environment_for(os.environ, options)
    sys.stdout.flush()
    try:
        if commands.replaces_itself(command) or not commands.can_supervise():
            os.execvpe(command[0], list(command), environment)  # noqa: S606 - that is what was asked for
        return _supervise(command, environment, config.drain)
    except OSError as error:
        click.echo(f"leakguard: {command[0]} cannot be run: {error.strerror}", err=True)
        return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_RUNNABLE


def _supervise(command: tuple[str, ...], environment: dict[str, str], drain: float) -> int:
    from leakguard.supervisor.signals import die_like
    from leakguard.supervisor.sockets import Kept
    from leakguard.supervisor.supervisor import Supervisor

    kept = Kept.passed(environment)
    return die_like(Supervisor(command, environment, kept, drain=drain).run())
