"""New connections are led past one of several listening sockets that share an address; what waits in it is kept."""

import os
import select
import socket
import sys

import pytest
from support.needs import require

from leakguard.recycling import steering

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own instructions for SO_REUSEPORT")


def listener(port=0):
    """Return a listening socket that shares its port."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", port))
    made.listen(256)
    return made


def sibling(port):
    """Fork a process that listens on the port, accepts everything and says how many came; return its end of a pipe and pid."""
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        assert os.read(read, 1) == b"+"
        return read, pid
    try:
        os.close(read)
        own = listener(port)
        os.write(write, b"+")
        held, own_end = [], own.fileno()
        while select.select([own_end], [], [], 1.5)[0]:
            held.append(own.accept()[0])
        os.write(write, str(len(held)).encode())
    finally:
        os._exit(0)


def taken(server):
    """Return how many connections wait in the queue of our own socket, without taking part in their life."""
    server.setblocking(False)
    count = 0
    while True:
        try:
            server.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


class Accepting:
    """Accepts in this process while the steering looks for its own number, as the server would."""

    def __init__(self, server):
        import threading

        self.held = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, args=(server,))
        self.thread.start()

    def run(self, server):
        while not self.over.is_set():
            if select.select([server], [], [], 0.01)[0]:
                self.held.append(server.accept()[0])

    def stop(self):
        self.over.set()
        self.thread.join()
        for each in self.held:
            each.close()


@pytest.mark.parametrize("siblings", [1, 3])
def test_a_worker_that_leaves_is_dealt_no_new_connection(siblings):
    """After steering away every new connection goes to a sibling, and closing our socket resets nobody."""
    try:
        with listener() as probe:
            steering._attach(probe, [steering._RETURN_A])
    except OSError:
        require(False, "a kernel that takes SO_ATTACH_REUSEPORT_CBPF")
    server = listener()
    port = server.getsockname()[1]
    others = [sibling(port) for _ in range(siblings)]
    clients = []
    try:
        accepting = Accepting(server)
        try:
            assert steering.steer_away()
        finally:
            accepting.stop()
        before = taken(server)
        clients += [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]
        assert taken(server) == 0, f"{before} before"
        server.close()
        clients += [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        got = 0
        for read, pid in others:
            os.waitpid(pid, 0)
            got += int(os.read(read, 10))
        assert got >= 80
    finally:
        for each in (server, *clients):
            each.close()
        for read, _ in others:
            os.close(read)


def test_alone_there_is_nowhere_to_steer_to():
    """A worker whose address nobody shares is told that it cannot be done."""
    with listener():
        assert not steering.steer_away()


def test_own_sockets_are_listeners_and_their_connections():
    """What is counted is what came in on our own ports, not what we opened to others."""
    before = steering.own_sockets()
    with listener() as server, socket.create_connection(server.getsockname()), server.accept()[0]:
        now = steering.own_sockets()
        assert len(now.listeners) == len(before.listeners) + 1
        assert now.connections == before.connections + 1
