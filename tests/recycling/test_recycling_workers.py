"""Workers under the other servers, and under gunicorn's hooks, are replaced without a request lost."""

import contextlib
import importlib.util
import itertools
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from recycling_server import RunningServer
from support.needs import require

pytestmark = [pytest.mark.server, pytest.mark.long]

HOOKS = ["-c", "python:leakguard.integrations.gunicorn"]
UVICORN_WORKER = "uvicorn_worker.UvicornWorker"


def hypercorn(workers):
    """Return hypercorn's command line."""
    return ["hypercorn", "-w", str(workers), "-b", "127.0.0.1:PORT", "recycling_apps:asgi"]


def granian(interface, workers, *more):
    """Return granian's command line; its default pause of 3.5 s only makes a test longer."""
    words = ["granian", "--interface", interface, "--workers", str(workers), "--port", "PORT", *more]
    threads = ["--blocking-threads", "8"] if interface == "wsgi" else []
    return [*words, *threads, f"recycling_apps:{interface}"]


def uwsgi(workers, *more):
    """Return uWSGI's command line, with keep-alive, where its own restarts lose most."""
    words = ["uwsgi", "--master", "-p", str(workers), "--threads", "8", "--http11-socket", "127.0.0.1:PORT"]
    return [*words, "--disable-logging", *more, "--module", "recycling_uwsgi"]


def gunicorn(kind, workers, app, *more):
    """Return gunicorn's command line with the shipped hooks."""
    words = ["gunicorn", *HOOKS, "-k", kind, "-w", str(workers), "-b", "127.0.0.1:PORT", "--graceful-timeout", "5"]
    loop = ["--asgi-loop", "asyncio"] if kind == "asgi" else []
    return [*words, "--no-control-socket", *loop, *more, f"recycling_apps:{app}"]


@pytest.fixture
def serve(tmp_path):
    """Start servers that end with the test."""
    with contextlib.ExitStack() as stack:

        def start(command, **environment):
            settings = {"RECYCLING_LEAK": "600000", "LEAKGUARD_HARD_CEILING": "1 GiB", **environment}
            server = RunningServer(command, tmp_path, settings)
            stack.callback(server.stop)
            return server

        yield start


def assert_nothing_lost(server, outcome, recycles=3):
    """Every request was answered in full, over at least so many recycles."""
    assert len(server.said("recycle")) >= recycles, (server.said("note"), server.output.read_text()[-2000:])
    assert outcome.lost == 0, (outcome.counts, outcome.details[:20], server.output.read_text()[-2000:])
    assert outcome.requests > 50
    assert {entry["value"]["lost"] for entry in server.said("recycle")} == {0}


@pytest.mark.flaky(reruns=1)
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(hypercorn(1), id="hypercorn-1"),
        pytest.param(hypercorn(2), id="hypercorn-2"),
        pytest.param(granian("asgi", 1, "--respawn-interval", "1"), id="granian-asgi-1"),
        pytest.param(granian("asgi", 2, "--respawn-interval", "1"), id="granian-asgi-2-rolled"),
        pytest.param(granian("asgi", 2, "--respawn-failed-workers"), id="granian-asgi-2"),
        pytest.param(granian("wsgi", 1, "--respawn-interval", "1"), id="granian-wsgi-1"),
        pytest.param(granian("wsgi", 2, "--respawn-failed-workers"), id="granian-wsgi-2"),
        pytest.param(uwsgi(1), id="uwsgi-1"),
        pytest.param(uwsgi(2, "--lazy-apps"), id="uwsgi-2"),
        pytest.param(gunicorn(UVICORN_WORKER, 2, "asgi"), id="gunicorn-hooks-uvicorn-worker-2"),
        pytest.param(
            gunicorn("gthread", 2, "wsgi", "--threads", "8", "--preload"), id="gunicorn-hooks-gthread-2-preload"
        ),
    ],
)
def test_no_request_is_lost_in_three_recycles(serve, command):
    """Whatever each server takes for a lossless leave is done there; nobody notices but the journal."""
    require(command[0] == "uwsgi" or importlib.util.find_spec(command[0]), command[0])
    server = serve(command)
    streams = 0.0 if command[0] == "uwsgi" else 0.2  # http11-socket leaves an answer without a length open
    outcome = server.drive_recycles(3, stream_share=streams, seconds=45)
    assert_nothing_lost(server, outcome)
    assert {entry["value"]["strategy"] for entry in server.said("recycle")} == {command[0]}


def test_granian_waits_for_a_successor_that_boots_longer_than_its_pause(serve):
    """granian tells the old worker to go after a fixed second; it goes when the successor serves, four seconds later."""
    server = serve(granian("asgi", 1, "--respawn-interval", "1"), RECYCLING_BOOT="4")
    outcome = server.drive_recycles(1, seconds=40)
    assert_nothing_lost(server, outcome, recycles=1)
    assert server.said("recycle")[0]["value"]["gap_ms"] == 0.0
    assert server.said("recycle")[0]["value"]["waited"] > 3


def test_granian_ends_though_it_was_told_to_while_a_worker_booted(serve):
    """A SIGTERM that granian loses in a worker that boots is handed on, so that a deploy does not hang."""
    server = serve(granian("asgi", 1), RECYCLING_BOOT="2")
    server.await_said("serving")
    children = psutil.Process(server.process.pid).children()
    os.kill(server.process.pid, signal.SIGHUP)
    deadline = time.monotonic() + 20
    while len(psutil.Process(server.process.pid).children()) == len(children):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)
    for child in psutil.Process(server.process.pid).children():
        child.send_signal(signal.SIGTERM)
    os.kill(server.process.pid, signal.SIGTERM)
    server.process.wait(20)


def test_with_hooks_each_of_four_has_its_successor_first(serve):
    """Four workers reach the ceiling together: one at a time is succeeded and let go, and never fewer than two serve."""
    server = serve(
        gunicorn(UVICORN_WORKER, 4, "asgi"), RECYCLING_LEAK="1200000", LEAKGUARD_COOL_DOWN="0", RECYCLING_BOOT="1.0"
    )
    server.await_said("serving", 4)
    outcome = server.drive_recycles(4, users=16, seconds=45)
    assert_nothing_lost(server, outcome, recycles=4)
    assert {entry["value"]["gap_ms"] for entry in server.said("recycle")} == {0.0}
    began = {entry["pid"]: entry["at"] for entry in server.said("serving")}
    left = {entry["pid"]: entry["at"] for entry in server.said("recycle")}
    complete = sorted(began.values())[3]
    for at in itertools.chain(left.values(), began.values()):
        if at >= complete:
            serving = [pid for pid in began if began[pid] <= at and left.get(pid, at + 1) > at]
            assert len(serving) >= 2
    arbiter = psutil.Process(server.process.pid)
    deadline = time.monotonic() + 20
    while len(arbiter.children()) != 4:
        assert time.monotonic() < deadline, "the number of workers is not what was configured"
        time.sleep(0.1)


def test_who_is_told_to_exit_does_so_with_nothing_in_flight(serve):
    """With recycle='exit' a uvicorn that nobody starts again ends at its ceiling, and what it had begun is answered."""
    server = serve(["uvicorn", "--port", "PORT", "recycling_apps:asgi"], LEAKGUARD_RECYCLE="exit")
    outcome = server.drive(lambda: server.process.poll() is not None, seconds=40)
    assert server.process.wait(10) in {0, -signal.SIGTERM}
    assert server.said("recycle")[0]["value"]["lost"] == 0
    assert set(outcome.counts) <= {"ok", "refused"}, outcome.details


def test_a_deploy_announces_the_close(serve):
    """SIGTERM to a worker's server: answers say Connection: close before the server closes its connections."""
    server = serve(["uvicorn", "--port", "PORT", "recycling_apps:asgi"], RECYCLING_LEAK="0")
    server.await_said("serving")
    code = (
        "import http.client, sys, time\n"
        f"c = http.client.HTTPConnection('127.0.0.1', {server.port})\n"
        "for _ in range(200):\n"
        "    c.request('GET', '/plain/0'); r = c.getresponse(); r.read()\n"
        "    print(r.getheader('connection'), flush=True)\n"
        "    if r.getheader('connection') == 'close': sys.exit(0)\n"
        "    time.sleep(0.02)\n"
        "sys.exit(1)\n"
    )
    client = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert client.stdout.readline() == "None\n"
        os.kill(server.process.pid, signal.SIGTERM)
        assert client.wait(20) == 0
        assert server.process.wait(20) in {0, -signal.SIGTERM}
    finally:
        client.kill()
        client.wait()
        client.stdout.close()


def test_a_deploy_is_the_servers_alone_where_that_is_wanted(serve):
    """With drain_on_term off nothing of ours lies over the server's handler."""
    server = serve(["uvicorn", "--port", "PORT", "recycling_apps:asgi"], LEAKGUARD_DRAIN_ON_TERM="off")
    server.await_said("serving")
    assert "leakguard-term" not in server.said("threads")[0]["value"]
