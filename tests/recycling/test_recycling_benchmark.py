"""The benchmark's client tells every kind of loss apart, and the documents show what was kept."""

import asyncio
import socket
import struct
import threading

import pytest

from benchmarks.recycling import client, table
from benchmarks.recycling.client import Load


class Scripted:
    """A server that treats every connection as it is told to."""

    def __init__(self, treat):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.treat = treat
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                self.treat(connection)

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join()


def reset(connection):
    """Close so that the other side sees a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def answer(connection, body=b"part 7 done\n", head=b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n"):
    """Read one request and answer it."""
    assert connection.recv(4096)
    connection.sendall(head + body)


def fresh(connection):
    assert connection.recv(4096)
    reset(connection)


def reused(connection):
    answer(connection)
    connection.recv(4096)
    reset(connection)


def cut(connection):
    answer(connection, body=b"part")


def hang(connection):
    connection.recv(4096)
    connection.recv(4096)


def error(connection):
    answer(connection, b"", b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    ("treat", "kind"),
    [
        (fresh, "reset fresh"),
        (reused, "reset reused"),
        (cut, "cut"),
        (hang, "timeout"),
        (error, "status 503"),
        (answer, "ok"),
    ],
)
def test_the_client_tells_kinds_of_loss_apart(treat, kind, monkeypatch):
    """Each way of losing a request has its own name."""
    monkeypatch.setattr(client, "TIMEOUT", 1.0)
    server = Scripted(treat)
    try:
        load = Load(server.port, users=1, pace=0.01)
        asyncio.run(load.run(lambda: len(load.requests) >= (2 if treat is reused else 1)))
        assert load.requests[-1].kind == kind
    finally:
        server.close()


def test_the_client_knows_a_refusal():
    """Where nobody listens the request is refused."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    load = Load(port, users=1, pace=0.01)
    asyncio.run(load.run(lambda: len(load.requests) >= 1))
    assert load.requests[0].kind == "refused"


def test_the_documents_show_what_was_kept():
    """The table in the documents is that of the rows that were kept, and leakguard's rows lost nothing or say why."""
    text = table.DOCUMENT.read_text()
    shown = text.partition(table.BEGIN)[2].partition(table.END)[0].strip()
    assert shown == table.shown()
