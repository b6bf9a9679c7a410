"""Was it right? One check's report against what the case expects."""

from __future__ import annotations

import fnmatch
import typing
from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.accuracy.cases import Case, Expected

Finding = dict[str, typing.Any]


@dataclass(frozen=True, slots=True)
class Score:
    """What one run came to. ``None``: nothing was expected, or nothing was found that could be right."""

    case: str
    which: str
    version: str
    python: str
    found: bool = False
    kind: bool | None = None
    holder_or_type: bool | None = None
    site: bool | None = None
    route: bool | None = None
    owner: bool | None = None
    seconds: float | None = None
    code: int | None = None
    said: str = ""
    failed: str | None = None

    @property
    def leaky(self) -> bool:
        """Whether there is something to find."""
        return self.which == "leaky"

    @property
    def right(self) -> bool:
        """Whether the leak was found, or rightly nothing."""
        return self.failed is None and self.found == self.leaky


def score(
    case: Case, which: str, version: str, python: str, *, report: dict[str, typing.Any], code: int, seconds: float
) -> Score:
    """Return the score of one run. Found means that the exit code is 1 and a finding says why."""
    findings: list[Finding] = report["findings"]
    failed = None if code in {0, 1} else f"exit code {code}: {', '.join(report['reasons'])}"
    common: dict[str, typing.Any] = {
        "case": case.name,
        "which": which,
        "version": version,
        "python": python,
        "seconds": seconds,
        "code": code,
    }
    if not findings or which != "leaky":
        return Score(**common, found=code == 1, said=report["verdict"], failed=failed)
    first = findings[0]
    return Score(
        **common,
        found=code == 1,
        kind=first["kind"] in case.expect.kinds,
        holder_or_type=_holder_or_type(first, case.expect),
        site=_fits([_place(first["site"])], case.expect.sites),
        route=_fits([first["route"]], case.expect.routes),
        owner=None if case.expect.owner is None else any(f"({case.expect.owner} " in said for said in first["reasons"]),
        said=f"{first['kind']}: {first['type'] or '-'} by {first['holder'] or '-'}",
        failed=failed,
    )


def _holder_or_type(finding: Finding, expect: Expected) -> bool | None:
    if not expect.types and not expect.holders:
        return None
    named = bool(_fits([finding["holder"]], expect.holders))
    return named or bool(_fits([finding["type"], *finding["also_types"]], expect.types))


def _place(site: dict[str, typing.Any] | None) -> str | None:
    return None if site is None else f"{site['file']}:{site['function']}"


def _fits(texts: Iterable[str | None], patterns: tuple[str, ...]) -> bool | None:
    """Say whether any of ``texts`` is as expected; ``None`` when nothing is expected."""
    if not patterns:
        return None
    return any(fnmatch.fnmatchcase(text, pattern.replace("[", "[[]")) for text in texts if text for pattern in patterns)
