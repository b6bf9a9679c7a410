"""The judge on whole apps: each leak once, by its best evidence, and the properties that hold for any history."""

from __future__ import annotations

import dataclasses

import pytest
from detection_histories import App
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leakguard.detection.judge import judge
from leakguard.detection.suspicion import History, Suspicion
from leakguard.records import (
    Census,
    Container,
    Kind,
    LoopLoad,
    Pauses,
    Reading,
    RouteCount,
    Site,
    Status,
    Stuck,
    Window,
)

TELEMETRY = "POST /telemetry"
BANS = "GET /bans"


def only(history: History) -> Suspicion:
    found = judge(history)
    assert len(found) == 1, found
    return found[0]


def test_an_empty_history_gives_nothing() -> None:
    """No windows, no opinion."""
    assert judge(History()) == ()


def test_a_growing_container_is_the_one_finding() -> None:
    """One entry kept per request makes blocks, heap and RSS grow too; it comes out as one confirmed leak with its route."""
    found = only(App(leaky=TELEMETRY, per_entry=1, per_blocks=6, per_heap=200, per_rss=900).history())
    assert (found.kind, found.status, found.key, found.route) == (Kind.LEAK, Status.CONFIRMED, 4711, TELEMETRY)
    assert found.per_request == pytest.approx(1.0, rel=0.02)
    assert found.reasons[0].startswith(
        "app.STORE (builtins.dict) grew in 7 of 7 looks, +1.00 per POST /telemetry, now "
    )


def test_a_container_with_a_known_bound_is_acquitted() -> None:
    """A cache that fills is no leak, nor are the blocks that it takes while it fills."""
    assert judge(App(leaky=TELEMETRY, per_entry=1, per_blocks=6, per_heap=200, bound=100_000).history()) == ()


def test_a_container_beyond_its_bound_is_not_acquitted() -> None:
    """A bound that is not kept is none."""
    found = only(App(leaky=TELEMETRY, per_entry=1, bound=10).history())
    assert any("beyond its stated bound" in reason for reason in found.reasons)


def test_three_looks_make_a_suspect_and_later_ones_confirm() -> None:
    """Suspect after three looks, confirmed when two later ones agree."""
    history = App(leaky=TELEMETRY, per_entry=1, windows=60, looks=8).history()
    early = dataclasses.replace(history, censuses=history.censuses[:3])
    assert only(early).status is Status.SUSPECT
    assert judge(dataclasses.replace(history, censuses=history.censuses[:2])) == ()
    assert only(dataclasses.replace(history, censuses=history.censuses[:4])).status is Status.SUSPECT
    assert only(dataclasses.replace(history, censuses=history.censuses[:5])).status is Status.CONFIRMED
    assert only(history).status is Status.CONFIRMED


def test_what_nobody_can_name_must_grow_for_longer() -> None:
    """An event loop's list of timers grows for seconds before it is swept: without a path, five looks are not enough."""
    history = App(leaky=TELEMETRY, per_entry=1, path="?", windows=120, looks=12).history()
    assert judge(dataclasses.replace(history, censuses=history.censuses[:7])) == ()
    assert only(history).status is Status.CONFIRMED


def test_lists_of_passing_requests_at_one_address_are_no_leak() -> None:
    """In an element of another container the next list takes the address of the one before: five rising lengths are chance."""
    lengths = (20, 31, 45, 58, 70, 79)
    censuses = tuple(
        Census(
            at=i,
            requests=400 * (i + 1),
            types={},
            containers=(Container(7, "app.at_work[…].events", "list", n),),
            objects=1,
        )
        for i, n in enumerate(lengths)
    )
    assert judge(History(censuses=censuses)) == ()
    long = App(leaky=TELEMETRY, per_entry=1, path="app.listeners[…]", windows=120, looks=12).history()
    assert only(long).status is Status.CONFIRMED


def test_tables_of_the_interpreter_fill_by_late_imports() -> None:
    """Compiled expressions within their bound and modules imported in three handfuls are nobody's leak."""
    for path, lengths in (("re._cache", (40, 90, 130, 151)), ("sys.modules", (400, 430, 455, 480))):
        censuses = tuple(
            Census(at=i, requests=100 * (i + 1), types={}, containers=(Container(7, path, "dict", n),), objects=1)
            for i, n in enumerate(lengths)
        )
        assert judge(History(censuses=censuses)) == ()


def test_a_container_that_was_swept_once_is_not_suspect_again() -> None:
    """A sawtooth: what fell by as much as it now grew is acquitted, however steadily it grows in between."""
    lengths = (20, 60, 100, 140, 30, 70, 110, 150)
    censuses = tuple(
        Census(at=i, requests=100 * (i + 1), types={}, containers=(Container(7, "app.c", "list", n),), objects=1)
        for i, n in enumerate(lengths)
    )
    assert only(History(censuses=censuses[:4])).status is Status.SUSPECT
    assert judge(History(censuses=censuses)) == ()


def test_one_late_import_does_not_hide_a_native_leak() -> None:
    """A step in the middle, as our own first look may cause, delays a finding for some windows and no more."""
    history = App(leaky=TELEMETRY, per_heap=6016, windows=80).history()
    windows = tuple(
        dataclasses.replace(
            w, reading=dataclasses.replace(w.reading, heap=(w.reading.heap or 0) + (i > 30) * 2_000_000)
        )
        for i, w in enumerate(history.windows)
    )
    found = only(dataclasses.replace(history, windows=windows))
    assert (found.kind, found.status) == (Kind.NATIVE, Status.CONFIRMED)
    assert found.total_rate == pytest.approx(6016 * 0.6, rel=0.25)


def test_a_cache_of_unknown_bound_that_slows_down_is_not_confirmed() -> None:
    """Random keys out of 2 000 fill a dict ever more slowly: a suspect at most."""
    lengths = [round(2000 * (1 - 0.9995**requests)) for requests in (200, 400, 800, 1600)]
    censuses = tuple(
        Census(at=i, requests=r, types={}, containers=(Container(7, "app.c", "dict", n),), objects=1)
        for i, (r, n) in enumerate(zip((200, 400, 800, 1600), lengths, strict=True))
    )
    assert all(s.status is Status.SUSPECT for s in judge(History(censuses=censuses)))


def test_the_story() -> None:
    """Requests kept after an error, held in a dict: one request per failed one, the failure, and the holder in step."""
    app = App(
        leaky=TELEMETRY, failing={TELEMETRY: 0.12}, failed_only=True, retained=1, per_entry=1, per_blocks=60,
        per_heap=12288, per_rss=14000, path="game.pending",
    )  # fmt: skip
    found = judge(app.history())
    assert [s.kind for s in found] == [Kind.RETAINED_REQUESTS, Kind.LEAK]
    kept, container = found
    assert (kept.status, kept.route, kept.failure, kept.holder) == (Status.CONFIRMED, TELEMETRY, "feed", "game.pending")
    assert kept.per_request == pytest.approx(1.0, rel=0.05)
    assert kept.failed
    assert container.holder == kept.holder


@pytest.mark.parametrize("blocks", [0.0, 1.0])
def test_c_memory_is_native_growth(blocks: float) -> None:
    """A lost C buffer is native growth, even where each is one block of Python's allocator as well."""
    found = only(App(leaky=TELEMETRY, per_heap=6016, per_blocks=blocks, per_rss=6016).history())
    assert (found.kind, found.status, found.route) == (Kind.NATIVE, Status.CONFIRMED, TELEMETRY)
    assert found.bytes_per_request == pytest.approx(6016, rel=0.05)


def test_lost_references_show_in_the_blocks_alone() -> None:
    """Objects that no container holds and the collector does not track still make a leak."""
    found = only(App(leaky=TELEMETRY, per_blocks=5, windows=80).history())
    assert (found.kind, found.key, found.status) == (Kind.LEAK, "blocks", Status.CONFIRMED)


def test_a_telling_type_says_the_growing_blocks_better() -> None:
    """When a type grows with the blocks, it is named; it would not have raised an alarm alone."""
    history = App(leaky=TELEMETRY, per_blocks=5, windows=80).history()
    censuses = tuple(
        dataclasses.replace(c, types={**c.types, "lib.Span": round(0.6 * c.requests), "dict": 2 * c.requests})
        for c in history.censuses
    )
    found = only(dataclasses.replace(history, censuses=censuses))
    assert (found.key, found.type, found.status) == ("lib.Span", "lib.Span", Status.CONFIRMED)
    quiet = dataclasses.replace(App(windows=80).history(), censuses=censuses)
    assert judge(quiet) == ()


def test_growing_blocks_wait_for_the_census() -> None:
    """Without enough looks, growth without a container is a suspect that says so."""
    app = App(leaky=TELEMETRY, per_blocks=120, windows=36, looks=2)
    found = only(app.history())
    assert found.needs_census
    assert found.status is Status.SUSPECT
    enough = only(dataclasses.replace(app, looks=6).history())
    assert not enough.needs_census
    assert enough.status is Status.CONFIRMED


def test_resident_memory_alone_is_the_allocator() -> None:
    """RSS up, Python and the C heap flat: fragmentation, with the remedy."""
    found = only(App(leaky=TELEMETRY, per_rss=8000, windows=90).history())
    assert (found.kind, found.status) == (Kind.ALLOCATOR, Status.CONFIRMED)
    assert any("MALLOC_ARENA_MAX" in reason for reason in found.reasons)


def test_without_a_readable_heap_rss_is_never_confirmed() -> None:
    """Where the C heap cannot be read, native growth and fragmentation look the same: only a suspect."""
    found = only(App(leaky=TELEMETRY, per_rss=8000, windows=90, heap_known=False).history())
    assert (found.kind, found.status) == (Kind.NATIVE, Status.SUSPECT)


def test_tasks_explain_the_containers_of_the_loop() -> None:
    """Tasks that never end make the loop's own lists grow: one finding, with the line where they hang."""
    history = App(leaky=TELEMETRY, per_task=1, per_blocks=23, per_entry=1, path="asyncio.tasks._all_tasks").history()
    stuck = Stuck(TELEMETRY, 30.0, Site("app.py", 12, "watch"), "task", 40)
    windows = (*history.windows[:-1], dataclasses.replace(history.windows[-1], stuck=(stuck,)))
    found = only(dataclasses.replace(history, windows=windows))
    assert (found.kind, found.route, found.site) == (Kind.TASKS, TELEMETRY, Site("app.py", 12, "watch"))


def test_a_thread_that_never_ends_explains_its_descriptor() -> None:
    """Threads and the descriptors that they hold are one leak."""
    found = only(App(leaky=BANS, per_thread=1, per_fd=1, per_blocks=48, per_heap=18000).history())
    assert (found.kind, found.route) == (Kind.THREADS, BANS)


def test_what_our_own_records_may_cause_is_not_blamed_on_a_quiet_app() -> None:
    """At three requests per window, ten blocks per window would be three per request: nobody is accused."""
    assert judge(App(requests=3, windows=120, per_blocks=3, noise=2).history()) == ()


def test_descriptors_alone() -> None:
    """Files that are not closed."""
    assert only(App(leaky=BANS, per_fd=1).history()).kind is Kind.DESCRIPTORS


def test_requests_freed_only_by_the_collector_are_a_debt() -> None:
    """A cycle through the request is GC debt, not a leak."""
    found = only(App(leaky=BANS, debt=1).history())
    assert (found.kind, found.route, found.per_request) == (Kind.GC_DEBT, BANS, 1.0)


def test_idle_connections_do_not_make_kept_requests() -> None:
    """A server keeps the last request of each idle connection: as many descriptors opened, no suspicion."""
    assert all(s.kind is not Kind.RETAINED_REQUESTS for s in judge(App(leaky=BANS, retained=1, per_fd=1).history()))


def test_kept_requests_that_come_and_go_are_not_suspect() -> None:
    """Kept requests that fall back are a server's habit."""
    history = App(windows=60).history()
    wave = (0, 8, 16, 24, 16, 8)
    windows = tuple(
        dataclasses.replace(w, routes=tuple(dataclasses.replace(r, retained=wave[i % 6]) for r in w.routes))
        for i, w in enumerate(history.windows)
    )
    assert judge(dataclasses.replace(history, windows=windows)) == ()


def test_a_short_life_is_enough_for_a_strong_leak() -> None:
    """Windows of 0.4 s in a worker that lives ten seconds: memory that grows by a third is confirmed."""
    app = App(
        leaky=TELEMETRY, per_heap=120_000, per_rss=120_000, windows=26, cold=3, interval=0.4, requests=16, looks=4
    )
    assert only(app.history()).status is Status.CONFIRMED


def test_routes_that_move_together_are_not_told_apart() -> None:
    """Two routes with one traffic: neither is accused."""
    history = App(per_blocks=1.2, windows=90, mix={"GET /a": 0.5, "GET /b": 0.5}, noise=300).history()
    windows = tuple(
        dataclasses.replace(
            w, routes=tuple(dataclasses.replace(r, count=max(sum(x.count for x in w.routes) // 2, 1)) for r in w.routes)
        )
        for w in history.windows
    )
    found = only(dataclasses.replace(history, windows=windows))
    assert found.route is None
    assert any("cannot separate" in reason for reason in found.reasons)


# ------------------------------------------------------------------------------------------------- any history

counts = st.integers(min_value=0, max_value=2**40)
moments = st.floats(min_value=-1e12, max_value=1e12, allow_nan=False)
routes = st.sampled_from(["GET /a", "GET /b", "", "(other)"])
maybe = st.none() | counts
readings = st.builds(
    Reading, at=moments, rss=counts, uss=maybe, heap=maybe, blocks=counts, threads=counts, fds=maybe, tasks=maybe,
    cpu=moments,
)  # fmt: skip
route_counts = st.builds(
    RouteCount, route=routes, count=counts, errors=counts, retained=counts, gc_debt=counts,
    retained_by_failure=st.dictionaries(st.sampled_from(["f1", "f2"]), counts, max_size=2),
)  # fmt: skip
stuck = st.builds(Stuck, route=routes, age=moments, where=st.none(), kind=st.sampled_from(["task", "request"]))
windows = st.builds(
    Window, opened=moments, closed=moments, reading=readings, requests=counts, in_flight=counts,
    routes=st.lists(route_counts, max_size=4).map(tuple), pauses=st.builds(Pauses, total=moments),
    loop=st.none() | st.builds(LoopLoad, lag=moments), blocks_low=counts, warm=st.booleans(),
    stuck=st.lists(stuck, max_size=2).map(tuple),
)  # fmt: skip
containers = st.builds(
    Container, key=st.integers(0, 3), path=st.sampled_from(["app.a", "app.b[…]", "asyncio.tasks"]),
    type=st.sampled_from(["dict", "list"]), length=counts, bound=maybe,
)  # fmt: skip
censuses = st.builds(
    Census, at=moments, requests=counts, types=st.dictionaries(st.sampled_from(["dict", "app.T"]), counts, max_size=2),
    containers=st.lists(containers, max_size=3).map(tuple), objects=counts,
)  # fmt: skip
histories = st.builds(
    History, windows=st.lists(windows, max_size=30).map(tuple), censuses=st.lists(censuses, max_size=6).map(tuple),
    sizes=st.dictionaries(st.integers(0, 3), counts, max_size=2),
)  # fmt: skip


@given(histories)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_no_history_makes_the_judge_raise(history: History) -> None:
    """Whatever the numbers, odd clocks and counters that fall included, the judge answers."""
    judge(history)


LEAKS = [
    {},
    {"leaky": TELEMETRY, "per_entry": 1.0, "per_blocks": 6.0},
    {"leaky": BANS, "per_heap": 6016.0},
    {"leaky": BANS, "per_blocks": 5.0},
    {"leaky": TELEMETRY, "failing": {TELEMETRY: 0.2}, "failed_only": True, "retained": 1.0},
    {"leaky": BANS, "per_thread": 1.0},
]
apps = st.builds(lambda seed, leak: App(seed=seed, **leak), st.integers(0, 10_000), st.sampled_from(LEAKS))
few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def told(found: tuple[Suspicion, ...]) -> set[tuple[object, ...]]:
    return {(s.kind, s.status, s.key, s.route, round(s.per_request, 6), s.failure) for s in found}


@given(apps, st.sampled_from([0.25, 2.0, 64.0, 3600.0]))
@few
def test_time_does_not_matter(app: App, factor: float) -> None:
    """Judging counts requests, not seconds: a history twice as slow gives the same answer."""
    history = app.history()
    slower = dataclasses.replace(
        history,
        windows=tuple(
            dataclasses.replace(
                w, opened=w.opened * factor, closed=w.closed * factor,
                reading=dataclasses.replace(w.reading, at=w.reading.at * factor),
            )
            for w in history.windows
        ),
        censuses=tuple(dataclasses.replace(c, at=c.at * factor) for c in history.censuses),
    )  # fmt: skip
    assert told(judge(slower)) == told(judge(history))


@given(apps, st.permutations([TELEMETRY, BANS, "POST /daily"]))
@few
def test_permuting_the_routes_permutes_the_answer(app: App, names: list[str]) -> None:
    """No route is accused for its name or its place in the list."""
    history = app.history()
    other = dict(zip([TELEMETRY, BANS, "POST /daily"], names, strict=True))
    renamed = dataclasses.replace(
        history,
        windows=tuple(
            dataclasses.replace(
                w, routes=tuple(dataclasses.replace(r, route=other[r.route]) for r in reversed(w.routes))
            )
            for w in history.windows
        ),
    )
    expected = {
        (kind, status, other.get(key, key) if isinstance(key, str) else key, other.get(route), rate, failure)
        for kind, status, key, route, rate, failure in told(judge(history))
    }
    assert told(judge(renamed)) == expected


@given(st.integers(1, 2**40), st.integers(1, 2**40), st.integers(13, 100), st.integers(1, 1000))
@few
def test_a_flat_history_is_never_suspected(level: int, blocks: int, number: int, per_window: int) -> None:
    """What does not move raises nothing, however large it is."""
    reading = Reading(at=0, rss=level, heap=level // 2, blocks=blocks, threads=9, fds=40, tasks=7)
    flat = tuple(
        Window(i, i + 1, reading, (i + 1) * per_window, 1, (RouteCount("GET /a", per_window, retained=9),), warm=True)
        for i in range(number)
    )
    looks = tuple(
        Census(i, (i + 1) * per_window, {"dict": 10}, (Container(1, "app.a", "dict", level),), 10)
        for i in range(number)
    )
    assert judge(History(flat, looks)) == ()


@given(st.floats(0.3, 50), st.integers(20, 120), st.integers(80, 120), st.integers(0, 1000))
@few
def test_a_constant_leak_above_the_floor_is_found_and_confirmed(
    rate: float, per_window: int, number: int, seed: int
) -> None:
    """A constant rate per request, well above the noise, is confirmed at that rate."""
    noise = rate * per_window * number / 50  # the leak drifts by fifty deviations
    history = App(
        seed=seed, windows=number, requests=per_window, per_blocks=rate, noise=min(noise, 200), looks=6
    ).history()
    gained = rate * (history.windows[-1].requests - history.windows[5].requests)
    if gained < 800 or rate * per_window < 40:
        return  # below the floor: rightly nothing
    found = only(history)
    assert (found.key, found.status) == ("blocks", Status.CONFIRMED)
    assert found.per_request == pytest.approx(rate, rel=0.25)


def jittered(history: History) -> History:
    """Return a history whose low-water marks were read anywhere in their windows, as they are under a real load."""
    windows, before = [], None
    for number, window in enumerate(history.windows):
        if before is not None:
            part = (number * 7 % 10) / 10
            low = round(before.blocks_low + part * (window.blocks_low - before.blocks_low))
            at = round(before.requests + part * (window.requests - before.requests))
            windows.append(dataclasses.replace(window, blocks_low=low, low_at=at))
        before = window
    return dataclasses.replace(history, windows=tuple(windows))


def test_a_mark_counts_at_the_requests_at_which_it_was_read() -> None:
    """Where in its window a growing level was read is no noise: the rate of each third is that of the leak."""
    app = App(leaky=TELEMETRY, per_blocks=40, per_rss=3000, noise=5, requests=300, windows=80)
    history = jittered(app.history())
    (found,) = judge(history)
    assert (found.key, found.status, found.route) == ("blocks", Status.CONFIRMED, TELEMETRY)
    assert found.per_request == pytest.approx(40, rel=0.03)


def test_a_type_too_rare_to_be_what_grows_does_not_make_it_doubtful() -> None:
    """A few tuples in hundreds of requests are not what two blocks per request are made of: the level is told as it is."""
    history = App(leaky=TELEMETRY, per_blocks=10, windows=80, looks=4).history()
    looks = tuple(
        dataclasses.replace(look, types={**look.types, "builtins.tuple": 1000 + look.requests // 50})
        for look in history.censuses
    )
    (found,) = judge(dataclasses.replace(history, censuses=looks))
    assert (found.key, found.status) == ("blocks", Status.CONFIRMED)


def test_few_tracked_objects_are_not_the_garbage_behind_many_blocks() -> None:
    """Without a full collection, growth is confirmed all the same when the objects that could be cycles are far too few."""
    history = App(leaky=TELEMETRY, per_blocks=10, windows=80, looks=6, full_every=10_000).history()
    few = tuple(dataclasses.replace(look, objects=50_000 + look.requests // 60) for look in history.censuses)
    many = tuple(dataclasses.replace(look, objects=50_000 + look.requests) for look in history.censuses)
    assert judge(dataclasses.replace(history, censuses=few))[0].status is Status.CONFIRMED
    (waiting,) = judge(dataclasses.replace(history, censuses=many))
    assert (waiting.status, waiting.needs_collection) == (Status.SUSPECT, True)
