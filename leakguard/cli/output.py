"""What goes to stdout: as wide and as colourful as the place it is printed to, and no harm if nobody reads to the end."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
from pathlib import Path

import click

from leakguard.cli.kinds import FilePath
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


output_option = click.option(
    "-o",
    "--output",
    type=FilePath(),
    metavar="FILE",
    help="Write to a file instead of stdout. A file that is there already is kept, unless --force is given.",
)
force_option = click.option("--force", is_flag=True, help="Let --output replace a file.")


def free(path: Path | None, force: bool) -> None:
    """See to it, before any work is done, that a file can be written.

    Raises:
        click.UsageError: when it is there already and ``force`` is not set, or its folder is not there.
    """
    if path is None:
        return
    if path.is_dir():
        raise click.UsageError(f"--output {path} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise click.UsageError(f"--output {path}: there is no folder {path.parent}; make it first")
    if path.is_file() and not force:
        raise click.UsageError(f"--output {path} is there already; --force replaces it")


def save(text: str, path: Path, force: bool) -> None:
    """Write a text into a file, whole or not at all, and say so on stderr.

    Raises:
        click.UsageError: when it cannot be written, or meanwhile appeared and ``force`` is not set.
    """
    data = (text + "\n").encode()
    try:
        if path.exists() and not path.is_file():  # a pipe, /dev/stdout
            path.write_bytes(data)
        else:
            _put(data, path, force)
    except FileExistsError as error:
        raise click.UsageError(f"--output {path} is there already; --force replaces it") from error
    except OSError as error:
        raise click.UsageError(f"--output {path} cannot be written ({error.strerror})") from error
    click.echo(f"Wrote {path}", err=True)


def _put(data: bytes, path: Path, force: bool) -> None:
    making = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if force:
            making.replace(path)
            return
        try:
            os.link(making, path)  # unlike a rename, it never takes the place of a file
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            with path.open("xb") as file:
                file.write(data)
    finally:
        with contextlib.suppress(FileNotFoundError):
            making.unlink()
