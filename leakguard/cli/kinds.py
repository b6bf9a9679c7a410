"""Kinds of values on the command line, made so that every click since 7.0 takes them: the app decides which is installed."""

from __future__ import annotations

import typing
from pathlib import Path

import click

if typing.TYPE_CHECKING:
    Kind = click.ParamType[typing.Any]
else:
    Kind = click.ParamType  # no generic class before click 8.2


class FilePath(Kind):
    """A path; becomes a ``pathlib.Path``, which ``click.Path`` gives only since 8.0.

    Args:
        directory: it must be a directory that is there.
    """

    name = "path"

    def __init__(self, *, directory: bool = False) -> None:
        self._directory = directory

    def convert(self, value: typing.Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path that a text names."""
        path = Path(value)
        if self._directory and not path.is_dir():
            self.fail(f"directory {str(value)!r} does not exist", param, ctx)
        return path
