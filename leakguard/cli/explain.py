"""``leakguard explain``: one finding in full, down to the source line."""

from __future__ import annotations

import dataclasses
import fnmatch
import glob
from pathlib import Path

import click

from leakguard.cli.journals import chosen, journal_option, open_story
from leakguard.cli.output import emit, look
from leakguard.journal.part import Part
from leakguard.journal.story import Story
from leakguard.records import Finding
from leakguard.reports.escape import safe
from leakguard.reports.explain import Subject, render
from leakguard.reports.levels import levels
from leakguard.reports.model import build

MOST_NAMED = 8


@click.command()
@click.argument("fingerprint", required=False)
@journal_option
@click.option(
    "--source",
    "roots",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="A folder with the app's code, if that is neither here nor on the import path; may be given several times.",
)
def explain(fingerprint: str | None, path: Path | None, roots: tuple[Path, ...]) -> int:
    """Tell all about one finding: who holds it, the source lines, its rate over time, what to do, a test for it.

    FINGERPRINT is what the report prints; its first digits will do. Without one, the only finding is meant.

    Exit codes: 0 told, 2 usage (no such finding, or several), 3 no journal or nothing in it.
    """
    seen = look()
    journal = chosen(path)
    story = open_story(journal)
    finding = _find(story, fingerprint)
    subject = Subject(
        finding=finding,
        report=build(story),
        levels=levels(finding, _of_route(journal, finding, story)),
        roots=roots,
        journal=None if path is None else str(path),
    )
    emit(render(subject, seen.width, seen.colour))
    return 0


def _find(story: Story, fingerprint: str | None) -> Finding:
    wanted = (fingerprint or "").strip().lower()
    found = [finding for finding in story.findings if finding.fingerprint.lower().startswith(wanted)]
    if not story.findings:
        raise click.UsageError(f"there is no finding in {story.path}")
    if len(found) == 1:
        return found[0]
    named = found or list(story.findings)
    lines = [f"  {safe(each.fingerprint)}  {safe(each.holder or each.route or each.kind.value)}" for each in named]
    more = f"\n  and {len(lines) - MOST_NAMED} more" if len(lines) > MOST_NAMED else ""
    listed = "\n".join(lines[:MOST_NAMED]) + more
    if found:
        meant = f"{safe(wanted)} is the beginning of several" if wanted else "there are several findings; name one"
        raise click.UsageError(f"{meant}:\n{listed}")
    raise click.UsageError(f"no finding begins with {safe(wanted)}; there are:\n{listed}")


def _of_route(journal: Path, finding: Finding, story: Story) -> Story:
    """Return the story again with only the finding's route, so that each window tells what that route kept."""
    if finding.route is None:
        return story
    exact = glob.escape(finding.route)
    if not any(fnmatch.fnmatchcase(route.route, exact) for route in story.routes or ()):
        return dataclasses.replace(story, workers=())
    return open_story(journal, Part(routes=(exact,)))
