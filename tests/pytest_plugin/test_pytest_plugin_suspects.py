"""From measured attempts and looks to suspicions, and from findings to the message: pure, so whole texts are compared."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from leakguard.detection.attribution import accounts_for
from leakguard.detection.finding import OUTSIDE
from leakguard.detection.rate_law import Attempt
from leakguard.records import Census, Container, Explanation, Finding, Kind, Site, Status
from leakguard.testing import outside
from leakguard.testing.measuring import QUANTITIES, Measurement
from leakguard.testing.message import sentence, tell
from leakguard.testing.suspects import Looks, filling, relate, suspect


def measurement(**per_call: float) -> Measurement:
    attempts = {
        q.name: Attempt(100, (round(100 * per_call.get(q.name, 0)),) * 5, round(200 * per_call.get(q.name, 0)),
                        round(400 * per_call.get(q.name, 0)))
        for q in QUANTITIES
    }  # fmt: skip
    return Measurement(100, 1200, attempts, tuple(per_call))


def looks(
    *lengths: Mapping[str, int], bounds: Mapping[str, int] | None = None, types: Mapping[str, int] | None = None
) -> Looks:
    """Three looks, 100 calls apart: the containers of the second and third, and types growing from look to look."""
    bounds, types = bounds or {}, types or {}
    return Looks(
        tuple(
            Census(
                at=0.0,
                requests=100 * index,
                types={name: 1000 + 100 * index * rate for name, rate in types.items()},
                containers=tuple(
                    Container(hash(path), path, "list", length, bounds.get(path)) for path, length in seen.items()
                ),
                objects=0,
            )
            for index, seen in enumerate(({}, *lengths))
        )
    )


def test_growing_container_is_the_leak() -> None:
    """The container that grows with the calls is suspected by its name, not the blocks that grow with it."""
    (found,) = suspect(
        measurement(blocks=2), looks({"app.ROWS": 100, "app.OTHER": 7}, {"app.ROWS": 200, "app.OTHER": 7})
    )
    assert (found.kind, found.name, found.per_request) == (Kind.LEAK, "app.ROWS", 1.0)


def test_bounded_container_is_filled_first() -> None:
    """A container of known bound costs the calls that fill it; beside an endless one it costs none."""
    only = looks({"app.RING": 100}, {"app.RING": 200}, bounds={"app.RING": 500})
    assert filling(measurement(blocks=1), only) == 301
    beside = looks({"app.RING": 100, "app.ROWS": 9}, {"app.RING": 200, "app.ROWS": 18}, bounds={"app.RING": 500})
    assert filling(measurement(blocks=1), beside) == 0
    assert filling(measurement(fds=1), only) == 0
    assert filling(measurement(blocks=1), Looks()) == 0
    assert [s.name for s in suspect(measurement(blocks=1), beside)] == ["app.ROWS"]


def test_container_past_its_bound_is_no_excuse() -> None:
    """A bound that does not hold acquits nobody."""
    past = looks({"app.RING": 600}, {"app.RING": 700}, bounds={"app.RING": 500})
    assert filling(measurement(blocks=1), past) == 0
    assert [s.name for s in suspect(measurement(blocks=1), past)] == ["app.RING"]


def test_threads_get_their_holder_and_lose_what_grows_along() -> None:
    """Threads that never end are the leak, held by the application's list; the interpreter's list and locks are reasons."""
    seen = looks(
        {"threading._active": 100, "app.WORKERS": 100, "app.EVENT._waiters": 100, "app.CACHE": 50},
        {"threading._active": 200, "app.WORKERS": 200, "app.EVENT._waiters": 200, "app.CACHE": 90},
    )
    suspicions = suspect(measurement(blocks=30, threads=1), seen)
    elements = {
        "threading._active": "threading.Thread",
        "app.WORKERS": "app.Worker",
        "app.EVENT._waiters": "_thread.lock",
    }
    explanations = [
        Explanation(
            type=elements.get(s.name, "str"), also_types=("threading.Thread",) if s.name == "app.WORKERS" else ()
        )
        for s in suspicions
    ]
    found = relate(suspicions, explanations)
    assert [(s.kind, s.name) for s, _ in found] == [
        (Kind.THREADS, "threads"),
        (Kind.LEAK, "app.WORKERS"),
        (Kind.LEAK, "app.CACHE"),
    ]
    threads = found[0][0]
    assert threads.holder == "app.WORKERS"
    assert "app.EVENT._waiters (list) grew +1.00 per call" in threads.reasons
    assert not any("app.WORKERS" in reason for reason in threads.reasons)


def test_descriptors_are_held_by_the_container_that_grows_in_step() -> None:
    """Sockets, files and bare numbers all stand for descriptors."""
    suspicions = suspect(measurement(fds=1), looks({"app.PIPES": 100}, {"app.PIPES": 200}))
    found = relate(suspicions, (None,) * len(suspicions))
    assert [(s.kind, s.holder) for s, _ in found] == [(Kind.DESCRIPTORS, "app.PIPES"), (Kind.LEAK, "app.PIPES")]


def test_descriptors_held_by_tasks_are_the_lesser_news() -> None:
    """Of a task that never ends and its socket, the task is told."""
    assert [s.kind for s in suspect(measurement(tasks=1, fds=1), Looks())] == [Kind.TASKS]
    assert [s.kind for s in suspect(measurement(fds=1), Looks())] == [Kind.DESCRIPTORS]


@pytest.mark.parametrize(
    ("per_call", "kind"),
    [
        ({"heap": 200.0}, Kind.NATIVE),
        ({"heap": 6000.0, "blocks": 1.0}, Kind.NATIVE),
        ({"heap": 500.0, "blocks": 1.0}, Kind.LEAK),
        ({"blocks": 1.0}, Kind.LEAK),
    ],
)
def test_without_a_container_the_heap_decides_the_kind(per_call: dict[str, float], kind: Kind) -> None:
    """More C heap than the blocks could hold is native; else Python objects leak."""
    (found,) = suspect(measurement(**per_call), Looks())
    assert found.kind is kind


def test_without_a_container_the_most_telling_type_is_named() -> None:
    """The application's type is named before the dicts and lists that it is made of."""
    seen = looks({}, {}, types={"builtins.dict": 3, "app.Node": 1, "app.Config": 0})
    (found,) = suspect(measurement(blocks=2), seen)
    assert (found.name, found.per_request) == ("app.Node", 1.0)


def test_allocations_must_account_for_the_growth() -> None:
    """What the burst saw explains a level only if it is half of what leaks: an import that happened then is not it."""
    (native,) = suspect(measurement(heap=200.0), Looks())
    assert not accounts_for(Explanation(bytes_each=56, retained_bytes=280), native, 100 * native.per_request)
    assert accounts_for(Explanation(bytes_each=200, retained_bytes=20_000), native, 100 * native.per_request)
    (blocks,) = suspect(measurement(blocks=2.0), Looks())
    assert not accounts_for(Explanation(bytes_each=56, retained_bytes=56 * 99), blocks, 200)
    assert accounts_for(Explanation(bytes_each=56, retained_bytes=56 * 100), blocks, 200)
    assert accounts_for(Explanation(holder="app.ROWS"), blocks, 200)


def test_table_of_atexit_holds_what_seems_lost() -> None:
    """What nothing in Python refers to is not lost in C where a callback is registered with atexit in every call."""
    (blocks,) = suspect(measurement(blocks=4.0), Looks())
    lost = Explanation(holder=OUTSIDE, type="function", note="probably held by its Parser")
    suspicion, seen = outside.at_exit((blocks, lost), 1.0)
    assert seen is not None
    assert (seen.holder, seen.type, seen.note) == ("atexit callbacks", "function", None)
    assert suspicion.reasons[-1] == "+1.00 callbacks registered with atexit per call"
    assert outside.at_exit((blocks, lost), 0.0) == (blocks, lost)
    held = Explanation(holder="app.ROWS")
    assert outside.at_exit((blocks, held), 1.0) == (blocks, held)


FINDING = Finding(
    kind=Kind.LEAK,
    status=Status.CONFIRMED,
    fingerprint="3f9c1a2b4d5e",
    type="dict",
    also_types=("str",),
    site=Site("game.py", 88, "ingest"),
    holder="game.pending",
    chain=("module game", "dict game.pending", "dict"),
    per_request=1.0,
    bytes_per_request=12288,
    reasons=("game.pending (dict) grew +1.00 per call",),
)


def test_message_is_the_whole_story() -> None:
    """One sentence; then the chain, what was measured, what n means, and how to forgive it by name."""
    assert tell(measurement(blocks=3), [FINDING]) == (
        "leak: 1.00 dict per call, held by game.pending, allocated at game.py:88 in ingest, 12.0 KiB each\n"
        "  module game\n"
        "    └ dict game.pending\n"
        "      └ dict\n"
        "  with it: str\n"
        "  game.pending (dict) grew +1.00 per call\n"
        "  fingerprint 3f9c1a2b4d5e\n"
        "\n"
        "measured growth:\n"
        "  Python blocks: +300 +300 +300 +300 +300 in 5 rounds of 100 calls, +600 in 200, +1200 in 400: +3.00 per call\n"
        "\n"
        "n = 100 separates caches up to about 1 000 entries (10 n) from leaks down to about 1 in 100 calls (1/n per call); "
        "1 200 calls were made\n"
        "\n"
        'if it is meant to stay, forgive it by name: assert_no_leaks(..., ignore=["holder:game.pending"])'
    )


def test_message_admits_what_it_does_not_know() -> None:
    """Without a holder the reason is said, and nothing is invented."""
    finding = Finding(Kind.LEAK, Status.CONFIRMED, "0" * 12, per_request=2.0)
    text = tell(measurement(blocks=2), [finding], why="no memory to fork")
    assert text.startswith(
        "leak: 2.00 allocated blocks per call\n  holder not found\n  not all could be looked at: no memory to fork\n"
    )
    assert "forgive" not in text


def test_message_without_a_deep_look_names_the_container() -> None:
    """What the census alone knows is told: so many entries per call, held by the container."""
    finding = Finding(Kind.LEAK, Status.CONFIRMED, "0" * 12, per_request=2.0, holder="app.ROWS")
    text = tell(measurement(blocks=2), [finding], why="the deadline passed")
    assert text.startswith(
        "leak: 2.00 entries per call, held by app.ROWS\n  not all could be looked at: the deadline passed\n"
    )


def test_message_is_bounded() -> None:
    """Of many findings three are told and the rest counted."""
    text = tell(measurement(blocks=2), [FINDING] * 5)
    assert text.count("held by game.pending") == 3
    assert "...and 2 findings more" in text


@pytest.mark.parametrize(
    ("finding", "expected"),
    [
        (
            Finding(Kind.NATIVE, Status.CONFIRMED, "", per_request=208.0, bytes_per_request=208.0),
            "native: 208 B of C heap, outside Python, per call",
        ),
        (
            Finding(Kind.LEAK, Status.CONFIRMED, "", type="app.Node", per_request=1.0, holder="outside Python"),
            "leak: 1.00 app.Node per call, held outside Python",
        ),
        (
            Finding(Kind.TASKS, Status.CONFIRMED, "", per_request=1.0, site=Site("app.py", 9, "wait")),
            "tasks: 1.00 asyncio tasks that never end per call, waiting at app.py:9 in wait",
        ),
        (
            Finding(Kind.DESCRIPTORS, Status.CONFIRMED, "", per_request=0.5, holder="app.PIPES"),
            "descriptors: 0.50 open descriptors per call, held by app.PIPES",
        ),
    ],
)
def test_sentence_for_each_kind(finding: Finding, expected: str) -> None:
    """Each kind is told in its own words."""
    assert sentence(finding) == expected
