"""The end of a run: what leaks, the largest first; what was forgiven, and by which rule; what it cost. Then the reports."""

from __future__ import annotations

import typing

import pytest

from leakguard.pytest_plugin import memray, options, outcome

if typing.TYPE_CHECKING:
    from leakguard.pytest_plugin.outcome import Outcome
    from leakguard.records import Finding


class Summary:
    """Collects the outcomes that come with the reports; in a worker of pytest-xdist the controller's does it."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.outcomes: dict[str, list[Outcome]] = {}
        self._tests = 0
        self._idle = 0.0
        self._wrote: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what a report brings. A test that is run again starts anew."""
        brought = getattr(report, "leakguard", None)
        if report.when == "setup":
            self.outcomes.pop(report.nodeid, None)
        if brought is None:
            return
        self._idle += brought.get("idle", 0.0)
        self._tests += "idle" in brought
        if brought["outcomes"]:
            self.outcomes.setdefault(report.nodeid, []).extend(brought["outcomes"])

    def found(self) -> list[tuple[str, Finding]]:
        """Return every finding with its test, the largest first, forgiven ones included."""
        if not self.outcomes:  # every run of pytest comes by here: nothing is imported for nothing
            return []
        from leakguard.records import Finding, decode

        found = [
            (test, decode(Finding, encoded))
            for test, outcomes in self.outcomes.items()
            for told in outcomes
            for encoded in told["findings"]
        ]
        return sorted(found, key=lambda each: (-(each[1].bytes_per_request or 0), -(each[1].per_request or 0), each[0]))

    def pytest_sessionfinish(self) -> None:
        """Write the reports that are asked for, once, where all outcomes come together."""
        if hasattr(self._config, "workerinput") or not self._config.getoption("--leakguard-report"):
            return
        from leakguard.pytest_plugin import writing

        calls = sum(told["calls"] for outcomes in self.outcomes.values() for told in outcomes)
        self._wrote = writing.write(self._config, self.found(), max(calls, self._tests))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Tell it."""
        write = terminalreporter.write_line
        found = self.found()
        leaks = [(test, finding) for test, finding in found if finding.known is None]
        lines = [*self._leaks(leaks), *self._forgiven(found), *self._unjudged(), *self._wrote]
        if not lines and not options.judges_all(self._config):
            return
        terminalreporter.section("leakguard", sep="=")
        for test, outcomes in self.outcomes.items():
            for told in outcomes:
                if told["message"]:
                    write(f"{test} passed, and leaks:\n\n{told['message']}\n")
        for line in lines:
            write(line)
        write(self._cost(leaks))
        if memray.measures(self._config) and any(told["calls"] for each in self.outcomes.values() for told in each):
            write(memray.SET_ASIDE)

    def _leaks(self, leaks: list[tuple[str, Finding]]) -> list[str]:
        if not leaks:
            return []
        from leakguard.testing.message import sentence

        most = options.most(self._config)
        lines = [f"{test}: {sentence(finding)}" for test, finding in leaks[:most]]
        if len(leaks) > most:
            lines.append(f"…and {len(leaks) - most} more (leakguard_most = {len(leaks)} tells all)")
        return lines

    def _forgiven(self, found: list[tuple[str, Finding]]) -> list[str]:
        lines = [
            f"forgiven in {test}: {finding.fingerprint} {finding.type or finding.holder or finding.kind}, {finding.known}"
            for test, finding in found
            if finding.known is not None
        ]
        everywhere: dict[str, bool] = {}
        for test, outcomes in self.outcomes.items():
            here: dict[str, bool] = {}
            for told in outcomes:
                for rule in told["rules"]:
                    here[rule] = here.get(rule, False) or rule in told["used"]
            for rule, used in here.items():
                if rule in self._run_rules:
                    everywhere[rule] = everywhere.get(rule, False) or used
                elif not used:
                    lines.append(f"no longer matches anything: {rule} in {test}")
        lines += [
            f"no longer matches anything: {rule} of the run's options" for rule, used in everywhere.items() if not used
        ]
        return lines

    @property
    def _run_rules(self) -> frozenset[str]:
        from leakguard.testing.fixture import joined

        return frozenset(joined(options.usual(self._config), {}).rules)

    def _unjudged(self) -> list[str]:
        return [
            f"suspected, not judged: {test}: {told['unjudged']}"
            for test, outcomes in self.outcomes.items()
            for told in outcomes
            if told.get("unjudged")
        ]

    def _cost(self, leaks: list[tuple[str, Finding]]) -> str:
        told = [told for outcomes in self.outcomes.values() for told in outcomes]
        repeated = sum(1 for each in told if each["calls"])
        parts = [f"{len(leaks)} leak{'' if len(leaks) == 1 else 's'}"]
        if self._tests:
            parts.append(
                f"{self._tests} tests judged in {self._idle:.2f} s ({self._idle / self._tests * 1e3:.2f} ms each)"
            )
        parts.append(f"{repeated} repeated in {sum(each['seconds'] for each in told):.1f} s")
        return "; ".join(parts)


def hooks(config: pytest.Config) -> Summary:
    """Return the summary of a run."""
    return typing.cast("Summary", config.pluginmanager.get_plugin("leakguard-summary"))


__all__ = ["Summary", "hooks", "outcome"]
