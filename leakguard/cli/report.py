"""``leakguard report``: what the workers of a journal found, or what changed from one journal to another."""

from __future__ import annotations

from pathlib import Path

import click

from leakguard.cli import sides
from leakguard.cli.journals import (
    chosen,
    journal_option,
    open_story,
    part_of,
    route_option,
    since_option,
    worker_option,
)
from leakguard.cli.output import emit, force_option, free, look, output_option, save
from leakguard.journal.part import Part
from leakguard.reports.comparison import compare, side
from leakguard.reports.formats import FORMATS, Look
from leakguard.reports.model import build


@click.command()
@journal_option
@since_option
@worker_option
@route_option
@click.option(
    "--compare",
    "compared",
    nargs=2,
    metavar="BEFORE AFTER",
    help="Print what changed, such as by a deploy: response times, errors, recycles, memory, and which findings are new, "
    f"still there or gone. Each is {sides.FORMS}.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    default="text",
    show_default=True,
    help="; ".join(f"{each.name}: {each.purpose}" for each in FORMATS.values()) + ".",
)
@output_option
@force_option
def report(
    *,
    path: Path | None,
    since: float | None,
    workers: tuple[int, ...],
    routes: tuple[str, ...],
    compared: tuple[str, str] | None,
    form: str,
    output: Path | None,
    force: bool,
) -> int:
    """Print what was found: leaks with route, line and holder, memory, recycles, response times, errors.

    Safe while the workers write. Exit codes: 0 clean, 1 findings, 2 usage, 3 could not measure; with --compare they are those
    of AFTER.
    """
    free(output, force)
    # A file is for nobody's terminal: always the same text, whatever is open here.
    seen = look() if output is None else Look()
    part = part_of(since, workers, routes)
    if compared is None:
        made = build(open_story(chosen(path), part))
        text, code = FORMATS[form].render(made, seen), made.exit_code
    else:
        text, code = _compared(path, part, compared, form, seen)
    if output is None:
        emit(text)
    else:
        save(text, output, force)
    return code


def _compared(path: Path | None, part: Part, named: tuple[str, str], form: str, seen: Look) -> tuple[str, int]:
    render = FORMATS[form].compare
    if render is None:
        able = ", ".join(each.name for each in FORMATS.values() if each.compare is not None)
        raise click.UsageError(f"--compare cannot be printed as {form}; choose one of: {able}")
    if part.since is not None:
        raise click.UsageError("--compare has its own spans; leave --since out, or give it as '2h..1h'")
    operands = [sides.parse(each, part) for each in named]
    before, after = (
        side(each.name, build(open_story(chosen(path) if each.path is None else each.path, each.part)))
        for each in operands
    )
    made = compare(before, after)
    return render(made, seen), made.exit_code
