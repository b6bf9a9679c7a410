"""Findings: what is joined in, how they are told apart, and what is forgiven."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard.detection.finding import blur, compose, fingerprint, join
from leakguard.detection.forgiveness import Forgiveness, KnownLeak, fits, in_range, installed_version, known_leaks
from leakguard.detection.suspicion import Suspicion
from leakguard.records import Explanation, Failure, Finding, Kind, Site, Status, decode, encode

NOTHING = Forgiveness(known=())
FAILURE = Failure("feed", "KeyError", Site("game.py", 91, "ingest"), "POST /telemetry", count=1204)
KEPT = Suspicion(
    Kind.RETAINED_REQUESTS, Status.CONFIRMED, "POST /telemetry", "POST /telemetry", 1.0, count=1204,
    route="POST /telemetry", failure="feed", failed=True, reasons=("kept",),
)  # fmt: skip
CONTAINER = Suspicion(
    Kind.LEAK, Status.CONFIRMED, 4711, "game.pending", 1.0, count=1204, route="POST /telemetry", holder="game.pending",
    reasons=("grew",),
)  # fmt: skip
TOLD = Explanation(
    holder="game.pending", chain=("module game", "dict game.pending"), type="dict", also_types=("str",),
    site=Site("game.py", 88, "ingest"), bytes_each=12288, size_method="pympler asizeof, sample of 20 newest",
)  # fmt: skip


def test_a_finding_tells_the_whole_story() -> None:
    """Route, rate, holder, line, bytes and the failure come together."""
    found = compose(KEPT, TOLD, {"feed": FAILURE}, NOTHING)
    assert (found.kind, found.route, found.holder, found.site) == (
        Kind.RETAINED_REQUESTS, "POST /telemetry", "game.pending", Site("game.py", 88, "ingest"),
    )  # fmt: skip
    assert found.error == "KeyError at game.py:91"
    assert found.bytes_per_request == 12288
    assert found.retained_bytes == 12288 * 1204
    assert "they ended in KeyError at game.py:91 (raised 1 204 times)" in found.reasons
    assert decode(Finding, encode(found)) == found


def test_without_a_look_nothing_is_invented() -> None:
    """What was not looked at is null."""
    found = compose(KEPT, None, {}, NOTHING)
    assert (found.holder, found.type, found.site, found.retained_bytes, found.error) == (None,) * 5


def test_the_kept_request_and_its_container_become_one_finding() -> None:
    """One leak seen twice is one finding: the nearest to the cause, with what only the other knew."""
    kept = compose(KEPT, Explanation(holder="game.pending"), {"feed": FAILURE}, NOTHING)
    container = compose(CONTAINER, TOLD, {}, NOTHING)
    for order in ([kept, container], [container, kept]):
        (only,) = join(order)
        assert only.kind is Kind.RETAINED_REQUESTS
        assert (only.site, only.error) == (TOLD.site, "KeyError at game.py:91")
        assert set(only.reasons) == {*kept.reasons, *container.reasons}


def test_two_leaks_stay_two() -> None:
    """Different holders are different leaks."""
    one = compose(CONTAINER, TOLD, {}, NOTHING)
    other = compose(CONTAINER, Explanation(holder="game.other"), {}, NOTHING)
    assert len(join([one, other])) == 2


def test_a_lost_reference_is_said_to_be_one() -> None:
    """Nothing in Python refers to it: that is a finding too, with the line of the call."""
    lost = Suspicion(Kind.LEAK, Status.CONFIRMED, "blocks", "allocated blocks", 1.0)
    told = Explanation(holder="outside Python", type="bytes", site=Site("app.py", 7, "event"), bytes_each=461)
    found = compose(lost, told, {}, NOTHING)
    assert any(
        "reference lost in a C extension, last seen from app.py:7 in event" in reason for reason in found.reasons
    )


def test_what_something_in_python_holds_is_no_native_leak() -> None:
    """Large bytes lie in the C heap, but a list that holds them is a leak of Python objects."""
    heap = Suspicion(Kind.NATIVE, Status.CONFIRMED, "heap", "C heap", 6000.0, bytes_per_request=6000.0)
    assert compose(heap, Explanation(holder="app.bodies", type="bytes", bytes_each=3000), {}, NOTHING).kind is Kind.LEAK
    native = compose(heap, Explanation(holder="outside Python", site=Site("app.py", 3, "order")), {}, NOTHING)
    assert (native.kind, native.per_request, native.bytes_per_request) == (Kind.NATIVE, None, 6000.0)


def test_what_only_a_cycle_keeps_is_a_debt() -> None:
    """Garbage that waits for the collector is not a leak."""
    assert compose(CONTAINER, Explanation(garbage=True), {}, NOTHING).kind is Kind.GC_DEBT


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_fingerprints_do_not_depend_on_indexes(one: int, other: int) -> None:
    """The same holder has the same fingerprint whatever index, address, thread number, line or type is met in it."""
    first = fingerprint(Kind.LEAK, holder=f"app.BUS.subs[{one}].queue-{one}", type="dict", site=Site("a.py", one, "f"))
    second = fingerprint(Kind.RETAINED_REQUESTS, holder=f"app.BUS.subs['{other}'].queue-{other}", type="str")
    assert first == second
    assert len(first) == 12


def test_fingerprints_tell_leaks_apart() -> None:
    """Holder, then the place of what C code lost, then type and site, then kind, route and name."""
    site, other = Site("app.py", 1, "f"), Site("app.py", 9, "g")
    prints = {
        fingerprint(Kind.LEAK, holder="a.b"),
        fingerprint(Kind.LEAK, holder="a.c"),
        fingerprint(Kind.LEAK, holder="outside Python", type="bytes", site=site),
        fingerprint(Kind.LEAK, holder="outside Python", type="bytes", site=other),
        fingerprint(Kind.NATIVE, name="C heap in use"),
        fingerprint(Kind.NATIVE, name="C heap in use", route="GET /a"),
        fingerprint(Kind.TASKS, name="asyncio tasks"),
    }
    assert len(prints) == 7


def test_blurring_keeps_what_names_the_holder() -> None:
    """Names that only contain digits of their own stay."""
    assert blur("app.v2.Store._rows['k'][0]") == "app.v2.Store._rows[…][…]"


def finding(**changes: object) -> Finding:
    base = {"kind": Kind.LEAK, "status": Status.CONFIRMED, "fingerprint": "f"}
    return Finding(**{**base, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rule", "match"),
    [
        ("type:app.Session", {"type": "app.Session"}),
        ("type:app.Session", {"type": "dict", "also_types": ("app.Session",)}),
        ("holder:app.cache.*", {"holder": "app.cache.Store._rows"}),
        ("holder:app.BUS.subs[…]", {"holder": "app.BUS.subs[…]"}),
        ("route:GET /health", {"route": "GET /health"}),
        ("site:vendor/*", {"site": Site("vendor/x.py", 3, "f")}),
        ("site:app.py:3", {"site": Site("app.py", 3, "f")}),
    ],
)
def test_a_rule_forgives_what_it_names_and_nothing_else(rule: str, match: dict[str, object]) -> None:
    """Each kind of rule matches its own field."""
    forgiveness = Forgiveness([rule], known=())
    assert forgiveness.reason(finding(**match)) == f"ignored by the rule {rule}"
    assert forgiveness.reason(finding(type="other", holder="other", route="other")) is None
    assert forgiveness.reason(finding()) is None


def test_every_known_leak_can_be_matched_and_is_bounded_by_its_version() -> None:
    """Each entry of the data file has a reason, a reference and a pattern, and is gone with the fixed release."""
    leaks = known_leaks()
    assert len(leaks) >= 12
    assert len({leak.name for leak in leaks}) == len(leaks)
    for leak in leaks:
        assert leak.kind or leak.holder or leak.type or leak.site, leak.name
        assert leak.reason, leak.name
        assert leak.reference, leak.name
        assert not leak.kind or leak.kind in set(Kind), leak.name


def test_a_known_leak_is_known_only_in_its_versions() -> None:
    """The leaky release is known, the fixed one is new, a package that is not there is not blamed."""
    locks = finding(holder="structlog._output.WRITE_LOCKS")
    assert "26.1.0" in (Forgiveness(version_of=lambda _: "25.5.0").reason(locks) or "")
    assert Forgiveness(version_of=lambda _: "26.1.0").reason(locks) is None
    assert Forgiveness(version_of=lambda _: None).reason(locks) is None
    assert Forgiveness(version_of=lambda _: "25.5.0").reason(finding(holder="app.WRITE_LOCKS")) is None


def test_all_patterns_of_a_known_leak_must_fit() -> None:
    """A kind alone does not make a site match."""
    leak = KnownLeak("x", "pip", "r", "ref", kind="tasks", site="lib/*.py")
    forgiveness = Forgiveness(version_of=lambda _: "1", known=[leak])
    assert forgiveness.reason(finding(kind=Kind.TASKS, site=Site("lib/a.py", 1, "f"))) == "pip 1: r (ref)"
    assert forgiveness.reason(finding(kind=Kind.TASKS)) is None
    assert forgiveness.reason(finding(site=Site("lib/a.py", 1, "f"))) is None


@pytest.mark.parametrize(
    ("version", "versions", "inside"),
    [
        ("3.9.0", ">=3.8.12,<3.9.1", True),
        ("3.9.1", ">=3.8.12,<3.9.1", False),
        ("3.8.9", ">=3.8.12,<3.9.1", False),
        ("0.49b2", "<0.50b0", True),
        ("0.50b0", "<0.50b0", False),
        ("0.50", "<0.50b0", False),
        ("2.0rc1", "<2.0", True),
        ("2.0.post1", ">2.0", True),
        ("1.0", "==1.0.0", True),
        ("1.10", ">1.9", True),
        ("1.0+local", "<=1.0", True),
        ("anything", "", True),
        ("1.0", "~=1.0", False),
    ],
)
def test_version_ranges(version: str, versions: str, inside: bool) -> None:
    """Releases and pre-releases compare as packages do."""
    assert in_range(version, versions) is inside


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_version_text_raises(version: str, versions: str) -> None:
    """A broken version in somebody's metadata is no reason to fail."""
    assert in_range(version, versions) in {True, False}


def test_versions_are_looked_up() -> None:
    """Of distributions and of the interpreter; what is not installed has none."""
    assert installed_version("pytest")
    assert (installed_version("python") or "").startswith("3.")
    assert installed_version("no-such-package-anywhere") is None


def test_brackets_in_a_pattern_are_plain() -> None:
    """A holder's brackets are not a character class."""
    assert fits("app.x[…]", "app.x[…]")
    assert not fits("app.xa", "app.x[a]")


def test_large_lost_blocks_are_native_and_small_ones_are_objects() -> None:
    """A buffer that C code lost is one block of Python's allocator too: its size tells it from a small object."""
    blocks = Suspicion(
        Kind.LEAK, Status.CONFIRMED, "blocks", "allocated blocks", 1.0, route="POST /job", growth=9, requests=9
    )
    lost = Explanation(holder="outside Python", site=Site("shop.py", 32, "job"), bytes_each=6001)
    native = compose(blocks, lost, {}, NOTHING)
    assert (native.kind, native.bytes_per_request) == (Kind.NATIVE, 6001.0)
    heap = dataclasses.replace(blocks, kind=Kind.NATIVE, key="heap", name="C heap in use", bytes_per_request=6016.0)
    assert compose(heap, lost, {}, NOTHING).fingerprint == native.fingerprint
    small = compose(blocks, dataclasses.replace(lost, bytes_each=64), {}, NOTHING)
    assert small.kind is Kind.LEAK
