"""The client tells exactly what became of each request, against a real raw server that misbehaves on purpose."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from leakguard.demo.client import Client, Fate, Outcome, encode
from leakguard.demo.schedule import Planned
from leakguard.demo.server import free_port

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]


@asynccontextmanager
async def raw_server(behaviour: Behaviour) -> AsyncIterator[int]:
    """Serve each request with ``behaviour(reader, writer, number on its connection)`` until it closes the connection."""
    tasks = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        number = 0
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        await reader.readexactly(int(line.split(b":")[1]))
                number += 1
                await behaviour(reader, writer, number)
                await writer.drain()
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def send_all(behaviour: Behaviour, count: int = 1, keep_alive: bool = True, timeout: float = 10.0) -> list[Outcome]:
    """Send ``count`` requests one after the other and return their outcomes."""

    async def go() -> list[Outcome]:
        async with raw_server(behaviour) as port:
            client = Client(port, timeout)
            planned = Planned(0.0, "POST", "/x", b"body", keep_alive)
            outcomes = []
            for _ in range(count):
                outcomes.append(await client.send(planned))
                await asyncio.sleep(0.02)  # an end of file that the server sent has arrived
            client.close()
            return outcomes

    return asyncio.run(go())


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset instead of an end of file."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def test_a_whole_answer_is_ok_and_its_connection_is_used_again() -> None:
    """Two requests on one kept connection are both ok."""
    numbers = []

    async def behaviour(reader, writer, number):
        numbers.append(number)
        writer.write(OK)

    outcomes = send_all(behaviour, 2)
    assert [outcome.fate for outcome in outcomes] == [Fate.OK, Fate.OK]
    assert numbers == [1, 2]


def test_a_client_without_keep_alive_opens_a_connection_each_time() -> None:
    """Half of the users come with a fresh connection for each request."""
    numbers = []

    async def behaviour(reader, writer, number):
        numbers.append(number)
        writer.write(OK)

    assert [outcome.fate for outcome in send_all(behaviour, 2, keep_alive=False)] == [Fate.OK, Fate.OK]
    assert numbers == [1, 1]


def test_connection_close_is_obeyed() -> None:
    """A connection that the server announced to close is not used again."""
    numbers = []

    async def behaviour(reader, writer, number):
        numbers.append(number)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    assert [outcome.fate for outcome in send_all(behaviour, 2)] == [Fate.OK, Fate.OK]
    assert numbers == [1, 1]


@pytest.mark.parametrize(
    ("raw", "fate", "status"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", Fate.OK, 200),
        (b"HTTP/1.1 204 No Content\r\n\r\n", Fate.OK, 204),
        (b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\nno", Fate.STATUS, 500),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", Fate.UNAVAILABLE, 503),
    ],
)
def test_whole_answers_are_told_apart_by_their_status(raw: bytes, fate: Fate, status: int) -> None:
    """A 500 is an answer, a 503 is a loss, a chunked body is read to its end."""

    async def behaviour(reader, writer, number):
        writer.write(raw)

    (first, second) = send_all(behaviour, 2)
    assert (first.fate, first.status) == (fate, status)
    assert (second.fate, second.status) == (fate, status), "the connection is in step after the first answer"


def test_a_body_without_length_ends_with_the_connection() -> None:
    """HTTP/1.0 style: the end of file is the end of the answer."""

    async def behaviour(reader, writer, number):
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        writer.close()

    assert [outcome.fate for outcome in send_all(behaviour, 2)] == [Fate.OK, Fate.OK]


@pytest.mark.parametrize("close", [reset, lambda writer: writer.close()], ids=["reset", "end of file"])
def test_a_fresh_connection_closed_without_an_answer(close: Callable[[asyncio.StreamWriter], None]) -> None:
    """Closed before the first byte on a new connection: reset on fresh."""

    async def behaviour(reader, writer, number):
        close(writer)

    assert [outcome.fate for outcome in send_all(behaviour)] == [Fate.RESET_FRESH]


@pytest.mark.parametrize("close", [reset, lambda writer: writer.close()], ids=["reset", "end of file"])
def test_a_reused_connection_closed_without_an_answer(close: Callable[[asyncio.StreamWriter], None]) -> None:
    """Closed before the first byte on a connection that had served: reset on reused, and for how long it had been idle."""

    async def behaviour(reader, writer, number):
        if number == 1:
            writer.write(OK)
        else:
            close(writer)

    first, second = send_all(behaviour, 2)
    assert (first.fate, second.fate) == (Fate.OK, Fate.RESET_REUSED)
    assert first.idle is None
    assert second.idle is not None
    assert 0 <= second.idle < second.latency + 10


def test_a_kept_connection_that_the_server_closed_while_idle_is_not_used() -> None:
    """Like real clients, it looks for an end of file first: no request is lost to an idle connection."""

    async def behaviour(reader, writer, number):
        writer.write(OK)
        await writer.drain()
        writer.close()

    assert [outcome.fate for outcome in send_all(behaviour, 3)] == [Fate.OK] * 3


@pytest.mark.parametrize(
    "part",
    [
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
        b"what is this\r\n\r\n",
    ],
)
def test_an_answer_that_ends_in_the_middle_is_cut(part: bytes) -> None:
    """In the head, in the body, in a chunk, before the last chunk, or not HTTP at all: cut."""

    async def behaviour(reader, writer, number):
        writer.write(part)
        await writer.drain()
        writer.close()

    assert [outcome.fate for outcome in send_all(behaviour)] == [Fate.CUT]


def test_nobody_listening_is_refused() -> None:
    """A port without a server: refused, not an exception."""

    async def go() -> Outcome:
        return await Client(free_port()).send(Planned(0.0, "GET", "/"))

    assert asyncio.run(go()).fate is Fate.REFUSED


def test_no_answer_in_time_is_a_timeout_and_the_connection_is_dropped() -> None:
    """The late answer of one request is never taken for the answer of the next."""
    numbers = []

    async def behaviour(reader, writer, number):
        numbers.append(number)
        if len(numbers) == 1:
            await asyncio.sleep(0.4)
        writer.write(OK)

    outcomes = send_all(behaviour, 2, timeout=0.2)
    assert [outcome.fate for outcome in outcomes] == [Fate.TIMEOUT, Fate.OK]
    assert numbers == [1, 1]


def test_which_fates_are_losses() -> None:
    """Everything that leaves a user without an answer, and nothing else."""
    assert {fate for fate in Fate if not fate.lost} == {Fate.OK, Fate.STATUS}


def test_the_bytes_on_the_wire() -> None:
    """A body brings its length and type; a fresh connection says that it will close."""
    assert encode(Planned(0.0, "GET", "/bans/a")) == b"GET /bans/a HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    assert encode(Planned(0.0, "POST", "/t", b"{}", keep_alive=False)) == (
        b"POST /t HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
        b"Connection: close\r\n\r\n{}"
    )
