"""When a successor does not come, when memory has no room for it, when the process in between dies, and passed sockets."""

import contextlib
import importlib.util
import json
import os
import signal
import socket
import threading
import time

import pytest
from supervised_server import ROOT, UVICORN, wait_for
from support.needs import require

pytestmark = [pytest.mark.server, pytest.mark.slow]


def test_a_successor_that_fails_to_boot_changes_nothing(supervise, tmp_path):
    """After a bad deploy the old process goes on, says so once, and does not try again at once."""
    deployed = tmp_path / "deployed"
    server = supervise(UVICORN, "--ceiling", "90 MiB", environment={"APP_DEPLOYED": str(deployed)})
    pid = server.await_serving()
    deployed.write_text("fail")
    outcome = server.drive(lambda: any("did not come" in note for note in server.notes()))
    assert any("it ended with code 1 before it served. This process goes on serving" in note for note in server.notes())
    assert any("the next try in 60 s at the earliest" in note for note in server.notes()), server.notes()
    more = server.drive(lambda: False, seconds=3)
    assert outcome.lost == more.lost == 0
    assert server.children() == [pid], "it was tried again at once"
    assert server.recycles() == []
    assert server.said().count("ImportError: a bad deploy") == 1


@pytest.mark.long
def test_sighup_after_a_bad_deploy_keeps_the_old_process(supervise, tmp_path):
    """A reload that fails is no outage, and the next one, of a good deploy, succeeds."""
    deployed = tmp_path / "deployed"
    server = supervise(UVICORN, environment={"APP_DEPLOYED": str(deployed)})
    pid = server.await_ready()
    deployed.write_text("fail")
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: any("did not come" in note for note in server.notes()))
    assert server.await_serving() == pid
    deployed.write_text("good")
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: server.ask("/pid") not in {None, str(pid)})


def test_a_successor_that_hangs_is_dismissed(supervise, tmp_path):
    """A successor that neither serves nor fails is ended when its time is up; the old process goes on."""
    deployed = tmp_path / "deployed"
    server = supervise(UVICORN, environment={"APP_DEPLOYED": str(deployed), "APP_PATIENCE": "1.5"})
    pid = server.await_ready()
    deployed.write_text("hang")
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(server.children()) == 2)
    wait_for(lambda: any("it did not serve within" in note for note in server.notes()), 30, lambda: str(server.notes()))
    wait_for(lambda: server.children() == [pid])
    assert server.await_serving() == pid


@pytest.mark.long
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_on_a_unix_socket_nothing_that_was_accepted_is_lost(supervise, tmp_path, loop):
    """Servers unlink a Unix socket and bind anew: who connects in that instant is refused, everybody else is answered."""
    path = tmp_path / "app.sock"
    words = ["uvicorn", "--uds", str(path), "--loop", loop, "--log-level", "warning", "supervised_apps:asgi"]
    server = supervise(words)
    answers, over = [], threading.Event()

    def ask():
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as client:
            client.settimeout(10)
            try:
                client.connect(str(path))
            except (FileNotFoundError, ConnectionRefusedError):
                return "refused"
            client.sendall(b"GET /plain/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            got = b"".join(iter(lambda: client.recv(65536), b""))
            return "ok" if got.endswith(b"done\n") else "cut"

    def load():
        while not over.is_set():
            try:
                answers.append(ask())
            except OSError as error:
                answers.append(type(error).__name__)
            time.sleep(0.02)

    wait_for(lambda: ask() == "ok", 30, server.said)
    users = [threading.Thread(target=load) for _ in range(4)]
    for user in users:
        user.start()
    try:
        for count in (1, 2):
            server.await_ready_count(count)
            pid = server.children()
            server.process.send_signal(signal.SIGHUP)
            wait_for(
                lambda pid=pid: server.children() not in (pid, []) and len(server.children()) == 1, 30, server.said
            )
    finally:
        over.set()
        for user in users:
            user.join()
    assert set(answers) <= {"ok", "refused"}, set(answers)
    assert answers.count("refused") <= 4 * 2, "more than an instant"
    assert answers.count("ok") > 50


def test_on_a_port_of_the_systems_choice_the_process_stays(supervise):
    """A successor would get another port: the process is left alone, and says why before anything happens."""
    server = supervise(
        ["uvicorn", "--port", "0", "--log-level", "warning", "supervised_apps:asgi"], "--ceiling", "900 MiB"
    )
    wait_for(lambda: any("which a successor would not get" in worker["strategy"] for worker in server.rows("worker")))
    assert server.stop() == -signal.SIGTERM


def test_a_dead_process_is_succeeded_by_the_one_that_boots(supervise):
    """When the kernel kills the old process while its successor boots, the successor takes over; clients wait in the socket."""
    server = supervise(UVICORN, environment={"APP_BOOT": "1.5"})
    pid = server.await_ready()
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(server.children()) == 2)
    os.kill(pid, signal.SIGKILL)
    assert server.ask("/pid") not in {None, str(pid)}, "a client was turned away"
    assert server.process.poll() is None


@pytest.mark.long
def test_without_memory_for_two_the_process_leaves_first(supervise, tmp_path):
    """Where a second process does not fit, requests wait in the kept socket: a gap, said in a note, but nothing lost."""
    log = tmp_path / "said"
    environment = {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "recycling")]),
        "RECYCLING_LOG": str(log),
        "RECYCLING_AVAILABLE": "1000000",  # as little free memory as the recycling tests' own apps are told
        "RECYCLING_LEAK": "600000",
        "LEAKGUARD_LEVEL": "off",
        "LEAKGUARD_DRAIN": "2s",
    }
    command = [*UVICORN[:-1], "recycling_apps:asgi"]
    server = supervise(command, "--ceiling", "80 MiB", environment=environment)
    wait_for(lambda: server.ask("/plain/0"))

    def said(kind):
        return [entry["value"] for entry in map(json.loads, log.read_text().splitlines()) if entry["kind"] == kind]

    outcome = server.drive(lambda: len(said("recycle")) >= 2 and len(said("serving")) >= 3)
    assert outcome.lost == 0, (outcome.counts, outcome.details[:10], server.said()[-2000:])
    assert {recycle["gap_ms"] for recycle in said("recycle")} == {None}
    assert any("no memory for a second process" in note for note in said("note"))


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["uvicorn", "--fd", "3"], id="uvicorn-fd"),
        pytest.param(["uvicorn", "--port", "PORT"], id="uvicorn-port", marks=pytest.mark.long),
        pytest.param(["daphne", "-v", "0", "--fd", "3"], id="daphne-fd", marks=pytest.mark.long),
        pytest.param(["hypercorn", "-b", "fd://3"], id="hypercorn-fd", marks=pytest.mark.long),
        pytest.param(
            ["waitress", "--threads", "8", "--listen", "127.0.0.1:PORT"], id="waitress-port", marks=pytest.mark.long
        ),
    ],
)
def test_with_a_passed_socket_a_restart_of_the_whole_service_loses_nothing(supervise, words):
    """Socket activation: systemd keeps the socket over a stop and a start, so clients wait and none is refused."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(512)
        port = listener.getsockname()[1]
        require(importlib.util.find_spec(words[0]), words[0])
        command = [*words, f"supervised_apps:{'wsgi' if words[0] == 'waitress' else 'asgi'}"]
        first = supervise(command, "--ceiling", "110 MiB", listener=listener, port=port)
        first.await_serving()
        began = time.monotonic()
        codes = []

        def restart():
            codes.append(first.stop())
            supervise(command, listener=listener, port=port).await_serving()
            codes.append("serves")

        restarting = threading.Thread(target=restart)

        def over():
            if not restarting.ident and first.recycles() and time.monotonic() - began > 3:
                restarting.start()
            return restarting.ident and not restarting.is_alive()

        outcome = first.drive(over, stream_share=0)
        restarting.join()
    assert codes == [-signal.SIGTERM if words[0] == "uvicorn" else 0, "serves"], first.said()
    assert outcome.lost == 0, (outcome.counts, outcome.details[:10], first.said()[-2000:])
