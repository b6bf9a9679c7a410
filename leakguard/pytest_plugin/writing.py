"""The reports that a run of pytest writes, in the formats of ``leakguard report``."""

from __future__ import annotations

import typing
from pathlib import Path

import pytest

if typing.TYPE_CHECKING:
    from collections.abc import Sequence

    from leakguard.records import Finding
    from leakguard.reports.model import Report

_ON_TERMINAL = frozenset({"github", "text", "markdown"})
_IN_JUNITXML = "junit"


def targets(config: pytest.Config) -> list[tuple[str, Path | None]]:
    """Return the formats that are asked for, each with its file; ``None`` stands for the terminal, or for ``--junitxml``.

    Raises:
        UsageError: a format that there is not, or one without the file that it needs.
    """
    from leakguard.reports.formats import FORMATS

    found: list[tuple[str, Path | None]] = []
    for wanted in config.getoption("--leakguard-report"):
        name, _, file = wanted.partition("=")
        if name not in FORMATS:
            raise pytest.UsageError(
                f"leakguard: '--leakguard-report' must be one of {', '.join(sorted(FORMATS))} (got {wanted!r}); "
                "for example --leakguard-report json=leaks.json"
            )
        if not file and name == _IN_JUNITXML and not config.getoption("xmlpath", None):
            raise pytest.UsageError(
                "leakguard: '--leakguard-report junit' needs --junitxml=FILE, into which it writes properties; for a file of "
                "its own: --leakguard-report junit=FILE"
            )
        if not file and name not in _ON_TERMINAL | {_IN_JUNITXML}:
            raise pytest.UsageError(
                f"leakguard: '--leakguard-report {name}' needs a file; --leakguard-report {name}=leaks.{name}"
            )
        found.append((name, Path(file) if file else None))
    return found


def write(config: pytest.Config, found: Sequence[tuple[str, Finding]], calls: int) -> list[str]:
    """Write the reports and return a line for each that went to a file, or the text of those for the terminal."""
    from leakguard.reports.formats import FORMATS, Look

    report = reported(found, calls)
    lines: list[str] = []
    for name, path in targets(config):
        if path is None:
            if name != _IN_JUNITXML:
                lines.append(FORMATS[name].render(report, Look()))
            continue
        text = FORMATS[name].render(report, Look())
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
            lines.append(f"wrote {path}")
        except OSError as error:
            lines.append(f"could not write {path}: {error.strerror}")
    return lines


def reported(found: Sequence[tuple[str, Finding]], calls: int) -> Report:
    """Return the report of a test run. A finding's route is the test that found it; one that several tests found is one.

    Args:
        found: test and finding.
        calls: how many calls were judged; with none, the verdict is ``unknown``.
    """
    import dataclasses

    from leakguard.detection.finding import join
    from leakguard.records import Kind, Verdict
    from leakguard.reports.model import of_findings

    findings = join(dataclasses.replace(finding, route=test) for test, finding in found)
    verdict = None
    if all(finding.accepted for finding in findings) and calls:
        verdict = Verdict(Kind.STEADY, ("no leak test of this run found a leak that is not accepted",))
    return of_findings(findings, verdict, target="pytest", requests=calls)
