"""What was told and no longer holds is taken back, neither too early nor twice."""

from __future__ import annotations

from leakguard.guard.told import MAX_FINDINGS, WITHDRAW_REQUESTS, WITHDRAW_WINDOWS, Told
from leakguard.records import Finding, Kind, Status


def finding(key: str, holder: str | None = "app.cache", status: Status = Status.CONFIRMED) -> Finding:
    return Finding(Kind.LEAK, status, key, holder=holder)


def test_what_was_confirmed_stays_confirmed() -> None:
    """A leak that chance makes look slower for a window is no less a leak; another is what it is."""
    told = Told()
    told.window([finding("a")], 100)
    assert told.as_sure_as_before(finding("a", status=Status.SUSPECT)).status is Status.CONFIRMED
    assert told.as_sure_as_before(finding("b", status=Status.SUSPECT)).status is Status.SUSPECT


def test_quiet_nights_withdraw_nothing_but_growth_that_ended_does() -> None:
    """Windows without requests do not count, and requests in too few windows do not either."""
    told = Told()
    told.window([finding("a")], 100)
    for _ in range(10 * WITHDRAW_WINDOWS):
        told.window([], 100)
    assert told.take_withdrawn() == ()
    told.window([], 100 + WITHDRAW_REQUESTS)
    assert told.take_withdrawn() == ("a",)
    assert told.take_withdrawn() == ()


def test_a_level_gives_way_at_once_to_the_holder_that_explains_it() -> None:
    """Growing C memory is old news once the container that holds it is known; a holder is not, and a lone level stays."""
    told = Told()
    told.window([finding("native", holder="outside Python"), finding("other")], 100)
    told.window([], 200)
    assert told.take_withdrawn() == ()
    told.window([finding("container", holder="app.rows")], 300)
    assert told.take_withdrawn() == ("native",)
    assert set(told.findings) == {"other", "container"}


def test_findings_are_bounded() -> None:
    """However many there are, so many are remembered and no more."""
    told = Told()
    told.window([finding(str(number)) for number in range(3 * MAX_FINDINGS)], 100)
    assert len(told.findings) == MAX_FINDINGS
