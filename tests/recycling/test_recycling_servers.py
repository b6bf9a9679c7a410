"""Workers under real servers are replaced without a request lost, or honestly left alone."""

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from recycling_server import RunningServer
from support.needs import require

from leakguard.recycling import servers

pytestmark = [pytest.mark.server, pytest.mark.slow]

UVICORN_WORKER = "uvicorn_worker.UvicornWorker"


def gunicorn(kind, workers, app, *more):
    """Return the command line of gunicorn with that kind and number of workers.

    A native asgi worker under uvloop does not hear a SIGTERM that comes while it boots: do not wait 30 s for it at the end.
    """
    words = ["gunicorn", "-k", kind, "-w", str(workers), "-b", "127.0.0.1:PORT", "--graceful-timeout", "5"]
    return [*words, *more, f"recycling_apps:{app}"]


@pytest.fixture
def serve(tmp_path):
    """Start servers that end with the test."""
    with contextlib.ExitStack() as stack:

        def start(command, **environment):
            server = RunningServer(command, tmp_path, {"RECYCLING_LEAK": "600000", **environment})
            stack.callback(server.stop)
            return server

        yield start


def assert_nothing_lost(server, outcome, recycles=3):
    """Every request was answered in full, over at least so many recycles."""
    assert len(server.said("recycle")) >= recycles, server.said("note")
    assert outcome.lost == 0, (outcome.counts, outcome.details[:20], server.output.read_text()[-2000:])
    assert outcome.requests > 50
    for entry in server.said("recycle"):
        assert entry["value"]["lost"] == 0
        assert entry["value"]["rss_before"] >= 64 * 1024 * 1024


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(gunicorn(UVICORN_WORKER, 1, "asgi"), id="uvicorn-worker"),
        pytest.param(gunicorn("uvicorn_worker.UvicornH11Worker", 1, "asgi"), id="uvicorn-h11-worker"),
        pytest.param(gunicorn("asgi", 1, "asgi"), id="asgi"),
        pytest.param(gunicorn("gthread", 1, "wsgi", "--threads", "8"), id="gthread"),
        pytest.param(gunicorn("gthread", 1, "wsgi_wrapped", "--threads", "8"), id="gthread-wrapped"),
    ],
)
def test_a_single_gunicorn_worker_hands_over_without_a_gap(serve, command):
    """With one worker the successor serves before the old one leaves: nothing is lost and nobody waits for a boot."""
    server = serve(command, RECYCLING_BOOT="1.0", LEAKGUARD_HARD_CEILING="1 GiB")
    outcome = server.drive_recycles(3)
    assert_nothing_lost(server, outcome)
    assert {entry["value"]["gap_ms"] for entry in server.said("recycle")} == {0.0}
    began = [entry["at"] for entry in server.said("serving")]
    for number, entry in enumerate(server.said("recycle")):
        assert began[number + 1] < entry["at"], "the worker left before its successor served"
        assert entry["value"]["strategy"] == "gunicorn"


def test_a_single_sync_worker_hands_over_without_losing_a_request(serve):
    """A sync worker, one request at a time, is replaced without a loss too."""
    server = serve(gunicorn("sync", 1, "wsgi"), RECYCLING_LEAK="1500000")
    assert_nothing_lost(server, server.drive_recycles(3, users=3, pace=0.15))


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(gunicorn(UVICORN_WORKER, 2, "asgi"), id="gunicorn-uvicorn-worker"),
        pytest.param(gunicorn("gthread", 2, "wsgi", "--threads", "8"), id="gunicorn-gthread"),
        pytest.param(gunicorn("asgi", 2, "asgi"), id="gunicorn-asgi"),
        pytest.param(["uvicorn", "--workers", "2", "--port", "PORT", "recycling_apps:asgi"], id="uvicorn"),
        pytest.param(
            [
                "uvicorn",
                "--workers",
                "2",
                "--loop",
                "asyncio",
                "--http",
                "h11",
                "--port",
                "PORT",
                "recycling_apps:asgi",
            ],
            id="uvicorn-asyncio-h11",
        ),
    ],
)
def test_of_two_workers_one_at_a_time_leaves(serve, command):
    """Siblings take turns: nothing lost, and a worker leaves only while its sibling serves."""
    server = serve(command, LEAKGUARD_HARD_CEILING="1 GiB")  # over it a worker would not wait for its sibling
    outcome = server.drive_recycles(3)
    assert_nothing_lost(server, outcome)
    left = {entry["pid"]: entry["at"] for entry in server.said("recycle")}
    for pid, at in left.items():
        ticking = {entry["pid"] for entry in server.said("ticks") if at - 2 < entry["at"] < at + 2}
        assert ticking - {pid} - {other for other, gone in left.items() if gone < at}, "nobody was left to serve"


def test_under_preload_the_successor_shows_itself_by_its_first_request(serve):
    """With --preload the app is made in the arbiter, so a worker says that it serves when it does."""
    server = serve(gunicorn("gthread", 1, "wsgi", "--threads", "8", "--preload"))
    assert_nothing_lost(server, server.drive_recycles(3))


def test_at_the_hard_ceiling_nobody_waits_for_the_successor(serve):
    """Memory that runs away while the successor boots does not wait for it: a gap, said in a note, but nothing lost."""
    server = serve(gunicorn(UVICORN_WORKER, 1, "asgi"), RECYCLING_BOOT="2.0")
    assert_nothing_lost(server, server.drive_recycles(2), recycles=2)
    assert any("passed the hard ceiling before the successor served" in entry["value"] for entry in server.said("note"))
    assert None in {entry["value"]["gap_ms"] for entry in server.said("recycle")}


def test_without_memory_for_two_the_worker_leaves_first(serve):
    """Where a second worker does not fit, requests wait in the arbiter's socket: a gap, but nothing lost."""
    server = serve(gunicorn(UVICORN_WORKER, 1, "asgi"), RECYCLING_AVAILABLE="1000000")
    outcome = server.drive_recycles(3)
    assert_nothing_lost(server, outcome)
    assert all(entry["value"]["gap_ms"] is None for entry in server.said("recycle"))
    assert any("no memory for a second worker" in entry["value"] for entry in server.said("note"))


def test_a_request_that_hangs_does_not_keep_the_worker(serve):
    """At the drain deadline the worker leaves all the same, and what was cut is counted as lost."""
    server = serve(gunicorn(UVICORN_WORKER, 1, "asgi"), LEAKGUARD_DRAIN="1s", RECYCLING_BOOT="0")
    hanging = subprocess.Popen(
        [sys.executable, "-c", f"import urllib.request as u; u.urlopen('http://127.0.0.1:{server.port}/hang')"],
        stderr=subprocess.DEVNULL,
    )
    try:
        outcome = server.drive_recycles(1)
        first = server.said("recycle")[0]
        assert outcome.lost == 0
        assert first["value"]["lost"] == 1
        gone = time.monotonic() + 20
        while psutil.pid_exists(first["pid"]) and time.monotonic() < gone:
            time.sleep(0.1)
        assert not psutil.pid_exists(first["pid"])
    finally:
        hanging.kill()
        hanging.wait()


def test_a_worker_killed_while_it_hands_over_leaves_no_worker_too_many(serve):
    """After the OOM killer took a worker between its call and its leave, the server is back to one worker."""
    server = serve(gunicorn("gthread", 1, "wsgi", "--threads", "8"), RECYCLING_BOOT="1.5")
    server.drive(lambda: server.said("evidence"))
    pid = server.said("evidence")[0]["pid"]
    arbiter = psutil.Process(server.process.pid)
    wait_for(lambda: len(arbiter.children()) == 2, "no successor was called")
    os.kill(pid, signal.SIGKILL)
    server.await_said("recycle")
    assert "one worker too many" in server.said("recycle")[0]["value"]["reason"]
    wait_for(lambda: len(arbiter.children()) == 1, "there is a worker too many")
    time.sleep(1.5)
    assert len(arbiter.children()) == 1
    assert server.drive(lambda: False, seconds=1).lost == 0


def test_a_worker_alone_is_left_alone(serve):
    """uvicorn without a supervisor would not come back: it is never ended, and says so."""
    server = serve(["uvicorn", "--port", "PORT", "recycling_apps:asgi"], RECYCLING_LEAK="2000000")
    outcome = server.drive(lambda: server.said("note"))
    assert "nothing would start it again" in server.said("note")[0]["value"]
    assert server.drive(lambda: False, seconds=1).lost == outcome.lost == 0
    assert server.process.poll() is None
    assert server.said("recycle") == []


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["hypercorn", "-w", "0", "-b", "127.0.0.1:PORT", "recycling_apps:asgi"], id="hypercorn"),
        pytest.param(["waitress", "--listen", "127.0.0.1:PORT", "recycling_apps:wsgi"], id="waitress"),
    ],
)
def test_servers_without_a_strategy_are_recognised_and_left_alone(serve, command):
    """A naive exit would end the whole service there; the worker stays and says what it found."""
    name = command[0]
    require(importlib.util.find_spec(name), name)
    server = serve(command, RECYCLING_LEAK="2000000")
    server.drive(lambda: server.said("note"))
    assert server.said("note")[0]["value"].count(name) == 1
    assert server.drive(lambda: False, seconds=1).lost == 0
    assert server.said("recycle") == []


def test_the_daily_cap_outlives_the_workers(serve):
    """After daily_cap recycles nobody leaves any more, though each worker is a new process."""
    server = serve(gunicorn("gthread", 1, "wsgi", "--threads", "8"), LEAKGUARD_DAILY_CAP="1", RECYCLING_BOOT="0")
    server.drive(lambda: any("daily_cap=1" in entry["value"] for entry in server.said("note")))
    assert any("daily_cap=1" in entry["value"] for entry in server.said("note"))
    assert len(server.said("recycle")) == 1


def wait_for(holds, otherwise, seconds=20):
    """Wait until ``holds()``."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)


def test_a_test_process_is_no_worker():
    """In a process that only has the servers' modules loaded nothing is found."""
    import gunicorn.workers.gthread
    import uvicorn.server

    assert gunicorn.workers.gthread.ThreadWorker
    assert uvicorn.server.Server
    assert servers.detect().name == "unknown"
    assert not servers.in_worker()
