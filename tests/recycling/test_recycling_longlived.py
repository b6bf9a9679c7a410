"""What does not end by itself when its worker is replaced: parted from in its own words, waited for, or counted as lost."""

import base64
import contextlib
import http.client
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from recycling_server import free_port

pytestmark = [pytest.mark.server, pytest.mark.long]
HERE = Path(__file__).parent
ROOT = HERE.parent.parent


class Served:
    """gunicorn with one worker, whose app leaks 10 MiB when it is asked to."""

    def __init__(self, directory, kind="uvicorn_worker.UvicornWorker", app="app", **options):
        self.port = free_port()
        self.log = directory / "said"
        self.log.touch()
        self.journal = directory / "journal.sqlite3"
        settings = {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)]),
            "LONGLIVED_LOG": str(self.log),
            "XDG_RUNTIME_DIR": str(directory),
            "LEAKGUARD_JOURNAL": str(self.journal),
            "LEAKGUARD_CEILING": "150 MiB",
            "LEAKGUARD_HARD_CEILING": "2 GiB",
            "LEAKGUARD_INTERVAL": "250ms",
            "LEAKGUARD_MIN_LIFETIME": "100ms",
            "LEAKGUARD_DRAIN": "6s",
            "LEAKGUARD_READINESS_PATH": "/ready",
            **options,
        }
        words = [
            "gunicorn",
            "-k",
            kind,
            "-w",
            "1",
            "-b",
            f"127.0.0.1:{self.port}",
            "--no-control-socket",
            "--threads",
            "8",
        ]
        self.output = directory / "output"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *words, f"longlived_app:{app}"],
                env={**os.environ, **settings},
                cwd=HERE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.first = self.until(self.who, "the server did not start")

    def until(self, look, otherwise, seconds=40):
        """Wait until ``look()`` returns something, and return it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                found = look()
                if found:
                    return found
            time.sleep(0.05)
        raise AssertionError(f"{otherwise}\n{self.said()}\n{self.output.read_text()[-3000:]}")

    def get(self, path, timeout=15):
        """Return status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def who(self):
        """Return the process that answers."""
        return int(self.get("/who")[1])

    def said(self):
        """Return what the app wrote down."""
        return self.log.read_text().split()

    def await_said(self, word):
        """Wait until the app wrote a word down."""
        self.until(lambda: word in self.said(), f"{word} was not said")

    def leak(self):
        """Have the first worker pass the ceiling, not before its size at the start is known: it would count as that."""
        self.until(self.is_known, "the first worker was not found serving")
        for _ in range(16):
            self.get("/leak")

    def is_known(self):
        """Say whether the journal knows that a worker serves."""
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(self.journal)) as journal:
            return journal.execute("select count(*) from worker where ready is not null").fetchone()[0] > 0
        return False

    def await_successor(self):
        """Wait until another process answers and the first one is gone."""
        self.until(lambda: self.who() != self.first, "nobody took over")
        self.until(lambda: not Path(f"/proc/{self.first}").exists(), "the first worker did not end")

    def recycles(self):
        """Return what the journal says of the recycles."""
        with contextlib.closing(sqlite3.connect(self.journal)) as journal:
            return [row[0] for row in journal.execute("select payload from event where kind = 'recycle'")]

    def stop(self):
        """End the server."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def serve(tmp_path):
    """Start servers that end with the test."""
    with contextlib.ExitStack() as stack:

        def start(*arguments, **options):
            server = Served(tmp_path, *arguments, **options)
            stack.callback(server.stop)
            return server

        yield start


def connect(port, path):
    """Return a socket on which a WebSocket was opened (RFC 6455, section 4)."""
    connection = socket.create_connection(("127.0.0.1", port), 20)
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade"]
    lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", ""]
    connection.sendall("\r\n".join(lines).encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    assert b" 101 " in head.split(b"\r\n")[0]
    return connection


def say(connection, opcode, payload):
    """Send a masked frame with a zero mask."""
    connection.sendall(bytes([0x80 | opcode, 0x80 | len(payload)]) + bytes(4) + payload)


def hear(connection):
    """Return the opcode and payload of the next frame that is no ping; short frames only."""
    while True:
        head = connection.recv(2, socket.MSG_WAITALL)
        opcode, payload = head[0] & 0x0F, connection.recv(head[1] & 0x7F, socket.MSG_WAITALL)
        if opcode != 9:
            return opcode, payload


def test_a_websocket_is_told_that_the_service_restarts(serve):
    """An open WebSocket is closed with 1012, at once, and its app sees a client that has gone."""
    server = serve()
    with connect(server.port, "/echo") as echo, connect(server.port, "/push") as push:
        say(echo, 1, b"hello")
        assert hear(echo) == (1, b"hello")
        server.leak()
        opcode, payload = hear(echo)
        assert (opcode, int.from_bytes(payload[:2], "big")) == (8, 1012)
        say(echo, 8, payload[:2])
        while (frame := hear(push))[0] != 8:
            assert frame == (1, b"tick")
        say(push, 8, frame[1][:2])
    server.await_successor()
    server.await_said("push-ended")
    assert [word for word in server.said() if word.startswith("disconnected")]
    assert '"lost":0' in server.recycles()[0]


@pytest.mark.parametrize(("kind", "app"), [("uvicorn_worker.UvicornWorker", "app"), ("gthread", "wsgi")])
def test_an_event_stream_ends_between_two_events(serve, kind, app):
    """Server-sent events end with a whole event and a whole answer, so that the browser comes back by itself."""
    server = serve(kind, app)
    heard = []

    def listen():
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request("GET", "/events")
        heard.append(connection.getresponse().read())  # raises IncompleteRead when the answer is cut
        connection.close()

    listener = threading.Thread(target=listen)
    listener.start()
    time.sleep(0.5)
    server.leak()
    server.await_successor()
    listener.join(30)
    assert heard[0].endswith(f"data: {server.first}\n\n".encode())
    assert '"lost":0' in server.recycles()[0]


def test_work_in_flight_is_waited_for(serve):
    """A slow request, a background task and the lifespan's shutdown all come to their end before the worker does."""
    server = serve()
    answers = []
    slow = threading.Thread(target=lambda: answers.append(server.get("/slow/3", timeout=30)))
    slow.start()
    assert server.get("/later")[1] == b"accepted"
    server.leak()
    server.await_successor()
    slow.join(30)
    assert answers == [(200, b"slept")]
    said = server.said()
    first = str(server.first)
    assert [word for word, pid in zip(said[::2], said[1::2], strict=True) if pid == first] == [
        "begun",
        "worked" if said.index("worked") < said.index("not-ready") else "not-ready",
        "not-ready" if said.index("worked") < said.index("not-ready") else "worked",
        "ended",
    ]


def test_a_request_longer_than_the_deadline_is_cut_and_counted(serve):
    """What the drain deadline cuts is lost, and the journal says so."""
    server = serve(LEAKGUARD_DRAIN="1s")
    outcome = []

    def ask():
        try:
            outcome.append(server.get("/slow/60", timeout=40))
        except (OSError, http.client.HTTPException) as error:
            outcome.append(type(error).__name__)

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.3)
    server.leak()
    server.await_successor()
    asking.join(40)
    assert len(outcome) == 1
    assert isinstance(outcome[0], str)
    assert '"lost":1' in server.recycles()[0]


@pytest.mark.parametrize(("kind", "app"), [("uvicorn_worker.UvicornWorker", "app"), ("gthread", "wsgi")])
def test_the_readiness_endpoint_follows_the_worker(serve, kind, app):
    """It says 200 while the worker wants requests, 503 over the hard ceiling where nobody may leave, and is in no figure."""
    server = serve(kind, app, LEAKGUARD_RECYCLE="none", LEAKGUARD_HARD_CEILING="300 MiB")
    server.until(lambda: server.get("/ready") == (200, b"ready\n"), "it did not get ready")
    server.leak()
    time.sleep(1)
    assert server.get("/ready") == (200, b"ready\n"), "over the soft ceiling it still serves"
    server.leak()
    server.until(lambda: server.get("/ready") == (503, b"not ready\n"), "it stayed ready over the hard ceiling")
    assert server.who() == server.first, "liveness does not fail on a leak"
    server.stop()
    with contextlib.closing(sqlite3.connect(server.journal)) as journal:
        windows = "".join(row[0] for row in journal.execute("select payload from window"))
    assert "/leak" in windows
    assert "/ready" not in windows


def test_a_forked_uwsgi_worker_shows_itself_before_its_first_request(tmp_path):
    """The master loads the app and forks; its workers count on each other at once, without waiting for traffic."""
    port = free_port()
    settings = {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)]),
        "LONGLIVED_LOG": str(tmp_path / "said"),
        "XDG_RUNTIME_DIR": str(tmp_path),
        "LEAKGUARD_JOURNAL": str(tmp_path / "journal.sqlite3"),
        "LEAKGUARD_CEILING": "1 GiB",
        "LEAKGUARD_INTERVAL": "250ms",
    }
    words = [
        "--virtualenv",
        sys.prefix,
        "--master",
        "-p",
        "2",
        "--enable-threads",
        "--http-socket",
        f"127.0.0.1:{port}",
    ]
    with (tmp_path / "output").open("w") as output:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("uwsgi"), *words, "--die-on-term", "--module", "longlived_uwsgi"],
            env={**os.environ, **settings},
            cwd=HERE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 30
        while len(list(tmp_path.glob("leakguard-*/*/ready-*"))) < 2:
            assert time.monotonic() < deadline, (tmp_path / "output").read_text()[-3000:]
            time.sleep(0.1)
    finally:
        process.terminate()
        process.wait(20)
