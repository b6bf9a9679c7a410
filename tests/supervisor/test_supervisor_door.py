"""Closing a listening socket resets nobody who came before."""

import socket
import threading
import time

import pytest

from leakguard.recycling import door


@pytest.fixture
def listener():
    """A listening socket on loopback."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        made.listen(16)
        yield made


def test_who_waits_is_let_in_and_who_comes_later_is_not(listener):
    """After ``shut`` the queue is empty, those who were in it are connected, and a new client does not get in."""
    address = listener.getsockname()
    early = [socket.create_connection(address, 5) for _ in range(8)]
    accepted = []

    def accept():
        time.sleep(0.2)
        accepted.extend(listener.accept()[0] for _ in early)

    server = threading.Thread(target=accept)
    server.start()
    door.shut([listener.fileno()])
    assert len(accepted) == len(early), "it did not wait for the queue"
    with pytest.raises(TimeoutError):
        socket.create_connection(address, 0.3)
    listener.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, 5)
    for client, theirs in zip(early, accepted, strict=True):
        theirs.sendall(b"served")
        assert client.recv(10) == b"served"
        client.close()
        theirs.close()
    server.join()


def test_a_socket_without_filters_is_no_failure(tmp_path):
    """A Unix socket takes no filter and has no count of who waits: it is left as it is."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "door"))
        listener.listen()
        door.shut([listener.fileno()])
