"""The ASGI middleware, driven in the process through the real interface."""

from __future__ import annotations

import asyncio
import os
import threading
import time
import typing

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route

from leakguard import LeakGuardMiddleware
from leakguard.errors import ConfigError
from leakguard.guard import Guard, obtain
from leakguard.probes.requests import KEY
from leakguard.records import RouteCount

pytestmark = pytest.mark.usefixtures("released")

Message = dict[str, typing.Any]


def scope_for(path: str, method: str = "GET") -> Message:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [],
        "scheme": "http",
        "server": ("test", 80),
        "client": ("127.0.0.1", 1),
    }


async def call(app: typing.Any, scope: Message, *, gone: bool = False) -> list[Message]:
    """Send one request and return the messages of its answer."""
    sent: list[Message] = []
    first = True

    async def receive() -> Message:
        nonlocal first
        if gone:
            return {"type": "http.disconnect"}
        if first:
            first = False
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.sleep(3600)
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def guard_of(app: LeakGuardMiddleware) -> Guard:
    return obtain(app.config)


def counts(guard: Guard) -> dict[str, RouteCount]:
    return {count.route: count for count in guard.requests.take(time.perf_counter())}


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


async def fail(request: Request) -> PlainTextResponse:
    raise KeyError("secret")


def guarded(*routes: Route | Mount, **options: object) -> LeakGuardMiddleware:
    # An interval of an hour: the guard's thread is there, but the test closes the windows.
    return LeakGuardMiddleware(Starlette(routes=list(routes)), **{"interval": "1h", "journal": "off", **options})


def test_a_request_is_counted_by_template_status_and_time() -> None:
    """Route template, count, errors and latency of each request are known."""
    app = guarded(Route("/users/{id}", hello), Mount("/api", routes=[Route("/{x}", hello)]))

    async def main() -> None:
        for number in range(5):
            await call(app, scope_for(f"/users/{number}"))
        await call(app, scope_for("/api/7"))
        await call(app, scope_for("/nowhere"))

    asyncio.run(main())
    seen = counts(guard_of(app))
    assert {route: count.count for route, count in seen.items()} == {
        "GET /users/{id}": 5,
        "GET /api/{x}": 1,
        "GET (unmatched)": 1,
    }
    assert seen["GET /users/{id}"].sketch.max_ms > 0
    assert guard_of(app).requests.in_flight == set()


def test_an_exception_is_recorded_and_is_the_same_object() -> None:
    """What the app raises reaches the server unchanged, and is counted with its route and line."""
    raised = RuntimeError("x")

    async def bare(scope: Message, receive: object, send: object) -> None:
        raise raised

    app = LeakGuardMiddleware(bare, interval="1h", journal="off")
    with pytest.raises(RuntimeError) as caught:
        asyncio.run(call(app, scope_for("/t")))
    assert caught.value is raised
    guard = guard_of(app)
    assert counts(guard)["GET /t"].errors == 1
    (failure,) = guard.failures.known().values()
    assert (failure.type, failure.route) == ("RuntimeError", "GET /t")
    assert failure.site is not None
    assert failure.site.function == "bare"


def test_starlette_errors_are_seen_whichever_side_we_are_on() -> None:
    """Inside Starlette's stack as outside of it an unhandled error is recorded, and answered 500 all the same."""
    inner = Starlette(routes=[Route("/f", fail)])
    inner.add_middleware(LeakGuardMiddleware, interval="1h", journal="off")  # type: ignore[arg-type]

    async def main() -> list[Message]:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        with pytest.raises(KeyError):
            await inner(scope_for("/f"), receive, send)  # type: ignore[arg-type]
        return sent

    sent = asyncio.run(main())
    assert sent[0]["status"] == 500
    from leakguard.config import Config

    guard = obtain(Config())
    counts(guard)
    assert [f.type for f in guard.failures.known().values()] == ["KeyError"]


def test_wrapping_twice_counts_once() -> None:
    """The inner of two middlewares steps aside."""
    app = LeakGuardMiddleware(guarded(Route("/", hello)), interval="1h", journal="off")
    asyncio.run(call(app, scope_for("/")))
    assert counts(guard_of(app))["GET /"].count == 1


def test_level_off_is_a_straight_pass() -> None:
    """Switched off, nothing is put into the scope and no guard starts."""
    seen: list[Message] = []

    async def bare(scope: Message, receive: object, send: object) -> None:
        seen.append(scope)

    before = threading.active_count()
    asyncio.run(call(LeakGuardMiddleware(bare, level="off"), scope_for("/")))
    assert KEY not in seen[0]
    assert threading.active_count() == before


def test_a_kept_request_is_retained_on_its_route() -> None:
    """A handler that keeps its request is named, a clean one beside it is not, and clearing the holder cures it."""
    kept: list[Request] = []

    async def leaky(request: Request) -> PlainTextResponse:
        kept.append(request)
        return PlainTextResponse("x")

    app = guarded(Route("/leaky", leaky), Route("/clean", hello))

    async def main() -> None:
        for _ in range(20):
            await call(app, scope_for("/leaky"))
            await call(app, scope_for("/clean"))

    asyncio.run(main())
    seen = counts(guard_of(app))
    assert seen["GET /leaky"].retained == 20
    assert seen["GET /clean"].retained == 0
    kept.clear()
    assert counts(guard_of(app)) == {}


def test_streaming_lasts_until_the_last_chunk() -> None:
    """A streamed answer is in flight until its end, and its time is the time until then."""
    app: LeakGuardMiddleware
    in_flight: list[int] = []

    async def chunks() -> typing.AsyncIterator[bytes]:
        for _ in range(3):
            in_flight.append(len(guard_of(app).requests.in_flight))
            await asyncio.sleep(0.02)
            yield b"x"

    async def stream(request: Request) -> StreamingResponse:
        return StreamingResponse(chunks())

    app = guarded(Route("/s", stream))
    asyncio.run(call(app, scope_for("/s")))
    assert in_flight == [1, 1, 1]
    assert counts(guard_of(app))["GET /s"].sketch.max_ms >= 55


def test_lifespan_passes_and_makes_ready() -> None:
    """The worker is ready when its start-up is complete, before any request."""
    app = guarded(Route("/", hello))

    async def main() -> list[str]:
        inbox: asyncio.Queue[Message] = asyncio.Queue()
        sent: list[str] = []

        async def send(message: Message) -> None:
            sent.append(message["type"])

        task = asyncio.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}}, inbox.get, send))
        await inbox.put({"type": "lifespan.startup"})
        while not sent:
            await asyncio.sleep(0.01)
        assert guard_of(app).is_ready
        await inbox.put({"type": "lifespan.shutdown"})
        await task
        return sent

    assert asyncio.run(main()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_an_app_without_lifespan_is_ready_with_its_first_request() -> None:
    """An app that refuses the lifespan protocol is watched all the same, and ready when it first serves."""

    async def bare(scope: Message, receive: object, send: typing.Any) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    app = LeakGuardMiddleware(bare, interval="1h", journal="off")

    async def main() -> None:
        with pytest.raises(NotImplementedError):
            await call(app, {"type": "lifespan", "asgi": {"version": "3.0"}})
        assert not guard_of(app).is_ready
        await call(app, scope_for("/"))
        assert guard_of(app).is_ready

    asyncio.run(main())


def test_a_websocket_is_counted_while_it_is_open() -> None:
    """WebSockets pass through, are counted while open, and their errors are recorded."""
    open_now: list[int] = []

    async def bare(scope: Message, receive: object, send: object) -> None:
        open_now.append(guard_of(app).requests.websockets)
        raise ValueError("x")

    app = LeakGuardMiddleware(bare, interval="1h", journal="off")
    with pytest.raises(ValueError, match="x"):
        asyncio.run(call(app, {**scope_for("/"), "type": "websocket"}))
    guard = guard_of(app)
    assert open_now == [1]
    assert guard.requests.websockets == 0
    assert [f.route for f in guard.failures.known().values()] == ["WEBSOCKET"]


def test_a_draining_worker_closes_its_connections() -> None:
    """While the worker drains, every answer tells the client to connect anew."""
    app = guarded(Route("/", hello))

    async def main() -> tuple[list[Message], list[Message]]:
        before = await call(app, scope_for("/"))
        guard_of(app).drain.closing = True
        return before, await call(app, scope_for("/"))

    before, after = asyncio.run(main())
    assert (b"connection", b"close") not in before[0]["headers"]
    assert (b"connection", b"close") in after[0]["headers"]


def test_what_is_sent_after_the_end_reaches_the_server_as_it_is() -> None:
    """A task that outlives its request and still answers gets the server's reaction, not an error of ours."""
    late: list[asyncio.Task[None]] = []

    async def answers_late(scope: Message, receive: typing.Any, send: typing.Any) -> None:
        async def answer() -> None:
            await asyncio.sleep(0)
            await send({"type": "http.response.start", "status": 500, "headers": []})

        if scope["type"] == "http":
            late.append(asyncio.create_task(answer()))

    async def run() -> list[Message]:
        sent = await call(LeakGuardMiddleware(answers_late, interval="1h", journal="off"), scope_for("/"))
        await late[0]
        return sent

    assert asyncio.run(run()) == [{"type": "http.response.start", "status": 500, "headers": []}]


def test_a_500_tells_the_client_that_the_connection_ends() -> None:
    """Servers close the connection after an unhandled error: the client is told, over HTTP/1, and only then."""
    app = guarded(Route("/", fail), Route("/ok", hello))
    sent: list[Message] = []

    async def main() -> None:
        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        for version in ("1.1", "2"):
            with pytest.raises(KeyError):
                await app({**scope_for("/"), "http_version": version}, receive, send)  # type: ignore[arg-type]
        await app(scope_for("/ok"), receive, send)  # type: ignore[arg-type]

    asyncio.run(main())
    starts = [m for m in sent if m["type"] == "http.response.start"]
    assert [m["status"] for m in starts] == [500, 500, 200]
    assert [(b"connection", b"close") in m["headers"] for m in starts] == [True, False, False]


@pytest.mark.parametrize("gone", [False, True])
def test_an_abandoned_request_is_cancelled_and_answered_504(gone: bool) -> None:
    """A request that hangs for longer than abandon_after ends, is answered, and frees what it held."""
    cancelled: list[bool] = []

    async def hang(request: Request) -> PlainTextResponse:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        raise AssertionError

    app = guarded(Route("/hang", hang), interval="0.2s", abandon_after="0.3s")
    sent = asyncio.run(asyncio.wait_for(call(app, scope_for("/hang"), gone=gone), 20))
    assert cancelled == [True]
    assert [m.get("status") for m in sent] == [504, None]
    assert guard_of(app).requests.in_flight == set()


def test_without_abandon_after_a_cancellation_passes_through() -> None:
    """A cancellation that is not ours reaches the server as it was."""

    async def hang(request: Request) -> PlainTextResponse:
        await asyncio.sleep(3600)
        raise AssertionError

    app = guarded(Route("/hang", hang))

    async def main() -> None:
        task = asyncio.create_task(call(app, scope_for("/hang")))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


async def _forever() -> None:
    await asyncio.get_running_loop().create_future()


def test_a_stuck_request_is_reported_with_the_line_where_it_hangs() -> None:
    """An orphan is named by route, age and place, without being touched."""

    async def hang(request: Request) -> PlainTextResponse:
        await _forever()
        raise AssertionError

    app = guarded(Route("/hang/{n}", hang), stuck_after="0.1s")

    async def main() -> None:
        task = asyncio.create_task(call(app, scope_for("/hang/1")))
        await asyncio.sleep(0.3)
        window = await asyncio.to_thread(guard_of(app).vitals.close_window)
        task.cancel()
        (stuck,) = [s for s in window.stuck if s.kind == "request"]
        assert stuck.route == "GET /hang/{n}"
        assert stuck.age >= 0.1
        assert stuck.where is not None
        assert stuck.where.function == "_forever"

    asyncio.run(main())


def test_tasks_that_outlive_their_request_are_counted_by_route() -> None:
    """A task that a request started and left behind is joined with the route."""
    tasks: list[asyncio.Task[None]] = []

    async def spawn(request: Request) -> PlainTextResponse:
        tasks.append(asyncio.create_task(_forever()))
        return PlainTextResponse("x")

    app = guarded(Route("/spawn", spawn))

    async def main() -> None:
        # As under a server: each request in a task, and so in a context, of its own.
        for _ in range(4):
            await asyncio.create_task(call(app, scope_for("/spawn")))
        guard_of(app).requests.fold()
        window = await asyncio.to_thread(guard_of(app).vitals.close_window)
        (left,) = [s for s in window.stuck if s.kind == "task"]
        assert (left.route, left.count) == ("GET /spawn", 4)
        assert left.where is not None
        assert left.where.function == "_forever"
        for task in tasks:
            task.cancel()

    asyncio.run(main())


def test_wrong_options_are_refused_at_construction() -> None:
    """A typo never waits until production traffic."""
    with pytest.raises(ConfigError, match="'ceiling' must be a size"):
        guarded(ceiling="80 percent")
    with pytest.raises(ConfigError, match="'celing' is not an option"):
        guarded(celing="80%")


def test_a_forked_child_gets_a_guard_of_its_own() -> None:
    """After a fork the child does not use its parent's guard, and its first request starts another."""
    app = guarded(Route("/", hello))
    asyncio.run(call(app, scope_for("/")))
    parent = guard_of(app)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        verdict = b"?"
        try:
            asyncio.run(call(app, scope_for("/")))
            child = guard_of(app)
            alive = child._thread is not None and child._thread.is_alive()
            verdict = b"y" if child is not parent and child.requests.ended and alive else b"n"
        finally:
            os.write(writer, verdict)
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == b"y"
    os.waitpid(pid, 0)
    assert guard_of(app) is parent
