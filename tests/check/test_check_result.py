"""What a result comes to: the verdict, what fails the build, and whether a finding came again."""

from __future__ import annotations

import pytest

from leakguard.check.failing import exit_code, parse
from leakguard.check.judging import Outcome
from leakguard.check.plan import Plan
from leakguard.check.reproduce import is_fingerprint, reproduce
from leakguard.check.request import Request
from leakguard.check.result import Asked, Result
from leakguard.check.served import blocked, remarks
from leakguard.errors import ConfigError
from leakguard.records import Finding, Kind, Status, Verdict

LEAK = Finding(Kind.LEAK, Status.CONFIRMED, "aaaa1111", route="GET /a", holder="app.KEPT", reasons=("it grew",))
THREADS = Finding(Kind.THREADS, Status.SUSPECT, "bbbb2222", route="GET /b", reasons=("more threads",))
KNOWN = Finding(Kind.NATIVE, Status.CONFIRMED, "cccc3333", known="ujson 5.11.0: fixed in 5.12.0", reasons=("C heap",))
ACCEPTED = Finding(Kind.LEAK, Status.CONFIRMED, "dddd4444", accepted=True, known="ignored by the rule holder:app.X")


def result(*findings: Finding, unknown: str | None = None, blocked: tuple[str, ...] = (), asked=("GET /a",)) -> Result:
    fresh = [finding for finding in findings if not finding.accepted]
    kind = fresh[0].kind if fresh else Kind.UNKNOWN if unknown else Kind.STEADY
    reasons = tuple(f.reasons[0] for f in fresh) or ((unknown,) if unknown else ("nothing grows",))
    outcome = Outcome(("GET /a",), Verdict(kind, reasons), tuple(findings), n=10, calls=60)
    return Result("app:app", "asgi", tuple(Asked(name, {200: 60}) for name in asked), (outcome,), blocked)


@pytest.mark.parametrize(
    ("words", "findings", "code"),
    [
        ([], [], 0),
        ([], [LEAK], 1),
        ([], [ACCEPTED], 0),
        ([], [THREADS], 1),
        (["any"], [KNOWN], 1),
        (["never"], [LEAK], 0),
        (["confirmed"], [THREADS], 0),
        (["confirmed"], [THREADS, LEAK], 1),
        (["new"], [KNOWN], 0),
        (["new"], [KNOWN, LEAK], 1),
        (["leak"], [THREADS], 0),
        (["threads,leak"], [THREADS], 1),
        (["threads", "confirmed"], [THREADS], 0),
    ],
)
def test_which_findings_fail_the_build(words, findings, code):
    """Any that no rule accepts by default; else those that are confirmed, new, or of the kinds that are named."""
    assert exit_code(result(*findings), parse(words)) == code


def test_what_was_not_measured_is_never_clean():
    """Unknown, blocked or without any outcome: exit code 3, unless a finding counts."""
    anything = parse([])
    assert exit_code(result(unknown="too slow"), anything) == 3
    assert exit_code(result(blocked=("GET /a answered 500 every time",)), anything) == 3
    assert exit_code(result(LEAK, blocked=("GET /b answered 500 every time",)), anything) == 1
    assert exit_code(result(LEAK, blocked=("GET /b answered 500 every time",)), parse(["never"])) == 3
    assert exit_code(Result("app:app", "asgi", (), ()), anything) == 3
    assert result(blocked=("x",)).verdict == Verdict(Kind.UNKNOWN, ("x",))
    assert result(LEAK, blocked=("x",)).verdict.kind is Kind.LEAK


@pytest.mark.parametrize("words", [["leek"], ["never", "leak"], ["any,"], []])
def test_words_that_are_none(words):
    """A word that is none is refused by name; nothing said means any."""
    if words in (["any,"], []):
        assert parse(words) == {"any"}
    else:
        with pytest.raises(ConfigError, match="--fail-on"):
            parse(words)


def test_a_finding_that_came_again():
    """Only it is left of the findings; the others are mentioned with their fingerprints."""
    again = reproduce(result(LEAK, THREADS), "bbbb", None)
    assert again.findings == (THREADS,)
    assert again.verdict.kind is Kind.THREADS
    assert any("leak of app.KEPT on GET /a, fingerprint aaaa1111" in note for note in again.notes)
    assert exit_code(again, parse([])) == 1


def test_a_finding_that_did_not_come_again():
    """It is said in clear words; with its route requested that is clean, without it nothing was measured."""
    gone = reproduce(result(LEAK), "bbbb2222", THREADS)
    assert exit_code(gone, parse([])) == 3
    assert "its route GET /b was not requested" in " ".join(gone.verdict.reasons)
    asked = reproduce(result(LEAK, asked=("GET /a", "GET /b")), "bbbb2222", THREADS)
    assert exit_code(asked, parse([])) == 0
    assert "did not come again in 60 round trips" in asked.verdict.reasons[0]
    assert exit_code(reproduce(result(unknown="too slow"), "bbbb", None), parse([])) == 3


def test_what_a_fingerprint_is():
    """Hexadecimal digits, at least four."""
    assert is_fingerprint("3f9c1a")
    for text in ("3f9", "xyzw", "", "3F9C1A"):
        assert not is_fingerprint(text)


def test_requests_that_were_not_served():
    """Always 500 is named, unless that is expected; 503 and the like are remarks."""
    ok, boom = Asked("GET /ok", {200: 9}), Asked("GET /boom", {500: 9}, "KeyError at app.py:3 in boom")
    some, away = Asked("GET /some", {200: 5, 500: 4}), Asked("GET /away", {503: 9})
    plain = (Request("GET", "/x"),)
    plan = Plan("app", plain)
    assert blocked([ok, some, away], plain, plan) == []
    (said,) = blocked([ok, boom], plain, plan)
    assert said.startswith("GET /boom answered 500 every time (KeyError at app.py:3 in boom)")
    assert blocked([boom], plain, Plan("app", plain, errors_expected=True)) == []
    assert remarks([ok, boom, some, away]) == ["GET /away was answered 503 every time"]


@pytest.mark.parametrize(
    ("statuses", "path", "own", "words"),
    [
        ([404, 404], "/x", False, "wrong path"),
        ([404, 405], "/x", False, "404 or 405"),
        ([404, 200], "/x", False, None),
        ([404], "/.env-{n}", False, None),
        ([404], "/items/{n}", True, "wrong path"),
        ([401, 403], "/x", False, "401 or 403"),
        ([401], "/{n}", True, "lets them in"),
        ([400], "/x", False, None),
        ([422, 400], "/x", True, "does not take the values"),
        ([422, 200], "/x", True, None),
    ],
)
def test_answers_that_mean_nothing_was_measured(statuses, path, own, words):
    """All refused, all leading nowhere, or all our own values not taken: not clean. A scan, or one that is served, is."""
    requests = (Request("GET", path),)
    asked = [Asked(f"GET /{number}", {status: 9}) for number, status in enumerate(statuses)]
    said = blocked(asked, requests, Plan("app", None if own else requests))
    assert (words in said[0]) if words else said == []
