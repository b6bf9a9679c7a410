"""Outcomes of leak tests as plain data: they travel with a test's report, also from a worker of pytest-xdist."""

from __future__ import annotations

import typing

import pytest

if typing.TYPE_CHECKING:
    from leakguard.testing.checker import Judged

Outcome = dict[str, typing.Any]
"""One judged test or callable: ``by`` (fixture, marker, suite), ``n``, ``calls``, ``seconds``, ``findings`` as encoded
records, ``rules`` that were in force with ``used`` among them, and ``message`` where the report itself does not show it."""

_OUTCOMES = pytest.StashKey[list[Outcome]]()
_LEAKED = pytest.StashKey[bool]()
_LEAKS = "LeaksFoundError"
CATEGORY = "leaked"


def record(item: pytest.Item, judged: Judged, by: str, message: str | None = None) -> None:
    """Keep the outcome of a check until the test's next report takes it along."""
    from leakguard.records import encode

    reasons = {finding.known for finding in judged.findings if finding.known is not None}
    add(
        item,
        {
            "by": by,
            "n": judged.demand.n,
            "calls": judged.measurement.calls,
            "seconds": judged.seconds,
            "findings": [encode(finding) for finding in judged.findings],
            "rules": list(judged.demand.rules),
            "used": [rule for rule in judged.demand.rules if f"ignored by the rule {rule}" in reasons],
            "message": message,
        },
    )


def add(item: pytest.Item, told: Outcome) -> None:
    """Keep an outcome until the test's next report takes it along."""
    item.stash.setdefault(_OUTCOMES, []).append(told)


def fail(item: pytest.Item, error: BaseException) -> typing.NoReturn:
    """Fail a test with the message of what leakguard raised, and no traceback: the frames would all be leakguard's."""
    __tracebackhide__ = True
    item.stash[_LEAKED] = type(error).__name__ == _LEAKS
    pytest.fail(str(error), pytrace=False)


def attach(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Put what was kept onto the report, as plain data."""
    outcomes = item.stash.get(_OUTCOMES, [])
    leaked = call.excinfo is not None and (
        call.excinfo.typename == _LEAKS
        or item.stash.get(_LEAKED, False)
        or (report.when == "teardown" and any(told["message"] for told in outcomes))
    )
    item.stash[_LEAKED] = False
    if outcomes or leaked:
        report.leakguard = {"outcomes": list(outcomes), "leaked": leaked}  # type: ignore[attr-defined]
        outcomes.clear()
    if "junit" in item.config.getoption("--leakguard-report"):
        for told in getattr(report, "leakguard", {}).get("outcomes", ()):
            for finding in told["findings"]:
                if finding["known"] is None:
                    # pytest writes those of the last report, which takes over what the item has.
                    named = ("leakguard", f"{finding['fingerprint']} {_headline(finding)}")
                    item.user_properties.append(named)
                    report.user_properties.append(named)


def _headline(encoded: dict[str, typing.Any]) -> str:
    from leakguard.records import Finding, decode
    from leakguard.testing.message import sentence

    return sentence(decode(Finding, encoded))


def pytest_report_teststatus(report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, str] | None:
    """Show a leak by a letter of its own: ``L``. A test that passed and leaks all the same counts as ``leaked``."""
    if report.failed and getattr(report, "leakguard", {}).get("leaked"):
        return (CATEGORY if report.when == "teardown" else "failed", "L", "LEAKED")
    return None
