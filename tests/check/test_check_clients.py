"""The clients speak as servers do: each request on its own, lifespan around them, bodies to their end."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

from leakguard.check.answers import Answers
from leakguard.check.board import Board
from leakguard.check.clients import base
from leakguard.check.clients.aiohttp import AiohttpClient
from leakguard.check.clients.asgi import AsgiClient
from leakguard.check.clients.wsgi import WsgiClient
from leakguard.check.drive import _finish
from leakguard.check.request import Request
from leakguard.errors import NotMeasuredError


def ask(client, *requests, times=1):
    """Start the client, send the requests so often, stop it; return the statuses per request and the first causes."""
    answers = Answers([request.name for request in requests])
    work = [(i, request, n) for n in range(times) for i, request in enumerate(requests)]

    async def run():
        await client.start()
        try:
            await client.send(work, answers)
            await client.settle()
        finally:
            await client.stop()

    if isinstance(client, WsgiClient):
        _finish(run())
    else:
        asyncio.run(run())
    return [answers.statuses(i) for i in range(len(requests))], [answers.cause(i) for i in range(len(requests))]


def asgi_client(app, concurrency=1, patience=5.0):
    return AsgiClient(app, concurrency, patience, Board(concurrency))


async def answer(send, status=200, body=b"ok", headers=()):
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


def test_asgi_scope_and_messages():
    """Path decoded, query and headers raw, the body in pieces, and ``http.disconnect`` only after the answer is complete."""
    seen = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            return
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message["more_body"]:
                break
        waiting = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        assert not waiting.done()
        await answer(send, 201)
        seen.append((scope, body, await waiting))

    request = Request("POST", "/a%20b/ü?q=1%202", (("X-N", "{n}"), ("Host", "shop.example")), b"x" * 100_000)
    statuses, _ = ask(asgi_client(app), request)
    ((scope, body, last),) = seen
    assert statuses == [{201: 1}]
    assert scope["path"] == "/a b/ü"
    assert scope["raw_path"] == b"/a%20b/%C3%BC"
    assert scope["query_string"] == b"q=1%202"
    headers = dict(scope["headers"])
    assert (headers[b"x-n"], headers[b"host"], headers[b"content-length"]) == (b"0", b"shop.example", b"100000")
    assert (scope["http_version"], scope["scheme"], scope["asgi"]["version"]) == ("1.1", "http", "3.0")
    assert scope["client"]
    assert scope["server"]
    assert len(body) == 100_000
    assert last == {"type": "http.disconnect"}


def test_asgi_lifespan_state_reaches_every_request():
    """Start-up runs first, its state is in every scope as a copy, and shutdown runs last."""
    events = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            assert (await receive())["type"] == "lifespan.startup"
            scope["state"]["pool"] = "pool"
            events.append("start")
            await send({"type": "lifespan.startup.complete"})
            assert (await receive())["type"] == "lifespan.shutdown"
            events.append("stop")
            await send({"type": "lifespan.shutdown.complete"})
            return
        events.append(dict(scope["state"]))
        scope["state"]["mine"] = True
        await answer(send)

    ask(asgi_client(app), Request("GET", "/"), times=2)
    assert events == ["start", {"pool": "pool"}, {"pool": "pool"}, "stop"]


def test_asgi_startup_that_fails():
    """An app that says that it failed to start, or ends the program, is not measured; the error is its own."""

    async def says(scope, receive, send):
        await send({"type": "lifespan.startup.failed", "message": "Traceback\n  ...\nRuntimeError: no database"})

    async def leaves(scope, receive, send):
        raise SystemExit(3)

    for app, words in ((says, "no database"), (leaves, "sys.exit")):
        with pytest.raises(NotMeasuredError, match=words):
            ask(asgi_client(app), Request("GET", "/"))


def test_asgi_requests_are_apart():
    """Every request has a context, a task and a scope of its own, on one loop."""
    variable = contextvars.ContextVar("variable", default=0)
    seen, tasks = [], set()

    async def app(scope, receive, send):
        if scope["type"] != "http":
            raise RuntimeError("no lifespan")
        seen.append((variable.get(), "mark" in scope, id(asyncio.get_running_loop())))
        variable.set(1)
        scope["mark"] = True
        tasks.add(asyncio.current_task())
        await answer(send)

    ask(asgi_client(app), Request("GET", "/"), times=3)
    assert [each[:2] for each in seen] == [(0, False)] * 3
    assert len({each[2] for each in seen}) == 1
    assert len(tasks) == 3


def test_asgi_failures_are_answers_of_500():
    """What an app raises, that it answers nothing, and that it ends the program are counted, with type and line."""

    async def app(scope, receive, send):
        if scope["type"] != "http":
            raise RuntimeError("no lifespan")
        if scope["path"] == "/raise":
            raise KeyError("secret")
        if scope["path"] == "/exit":
            raise SystemExit(1)
        if scope["path"] == "/cancel":
            raise asyncio.CancelledError

    paths = ("/raise", "/exit", "/cancel", "/nothing")
    statuses, causes = ask(asgi_client(app), *(Request("GET", path) for path in paths), times=2)
    assert statuses == [{500: 2}] * 4
    assert causes[0].startswith("KeyError at ")
    assert "secret" not in causes[0]
    assert causes[1].startswith("the app called sys.exit at ")
    assert "cancelled" in causes[2]
    assert causes[3] == "the app returned without an answer"


@pytest.mark.parametrize("kind", ["event stream", "endless", "after the answer"])
def test_asgi_what_never_ends_is_left(kind, monkeypatch):
    """An event stream is left after a few events, an endless answer after a while, a handler that goes on is not waited for."""
    monkeypatch.setattr(base, "UNENDING", 0.2)
    monkeypatch.setattr(base, "LINGER", 0.2)
    told = []

    async def app(scope, receive, send):
        if scope["type"] != "http":
            raise RuntimeError("no lifespan")
        if kind == "after the answer":
            await answer(send)
            told.append("answered")
            await asyncio.Event().wait()
        streams = [(b"content-type", b"text/event-stream")] if kind == "event stream" else []
        await send({"type": "http.response.start", "status": 200, "headers": streams})
        gone = asyncio.ensure_future(receive())
        while not gone.done() or gone.result()["type"] != "http.disconnect":
            if gone.done():
                gone = asyncio.ensure_future(receive())
            await send({"type": "http.response.body", "body": b"data: x\n\n", "more_body": True})
            await asyncio.sleep(0.01)
        told.append("gone")

    statuses, _ = ask(asgi_client(app), Request("GET", "/"), times=2)
    assert statuses == [{200: 2}]
    assert len(told) == 2


def test_asgi_a_hanging_request_is_named_with_its_line():
    """No answer in time: the request and the line where its handler waits."""

    async def app(scope, receive, send):
        if scope["type"] == "http":
            await asyncio.Event().wait()  # here

    with pytest.raises(NotMeasuredError, match=r"GET /x hangs: no answer within 0\.3 s; it waits at .*:\d+"):
        ask(asgi_client(app, patience=0.3), Request("GET", "/x"))


def test_asgi_2():
    """The old kind, called twice, is spoken to as well."""

    def app(scope):
        async def instance(receive, send):
            await answer(send, 202)

        return instance

    statuses, _ = ask(asgi_client(app), Request("GET", "/"))
    assert statuses == [{202: 1}]


def test_concurrent_requests_overlap():
    """With a concurrency so many requests are on their way at a time, and no more."""
    now, most = 0, 0

    async def app(scope, receive, send):
        nonlocal now, most
        if scope["type"] != "http":
            return
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1
        await answer(send)

    ask(asgi_client(app, concurrency=4), Request("GET", "/"), times=12)
    assert most == 4


def test_cancelled_timers_are_dropped_before_reading():
    """Timers that were cancelled do not pile up in the loop until the client reads."""
    left = []

    async def app(scope, receive, send):
        if scope["type"] != "http":
            return
        asyncio.get_running_loop().call_later(1000, print).cancel()
        await answer(send)

    class Client(AsgiClient):
        async def settle(self):
            await super().settle()
            left.append(len(asyncio.get_running_loop()._scheduled))

    ask(Client(app, 1, 5.0, Board(1)), Request("GET", "/"), times=50)
    assert left[0] <= 1  # the client's own


def wsgi_client(app, concurrency=1):
    return WsgiClient(app, concurrency, Board(concurrency))


def test_wsgi_environ_and_close():
    """The environ of PEP 3333, the answer iterated to its end and closed, also after an error on the way."""
    seen, closed = [], []

    class Body:
        def __init__(self, fails):
            self.fails = fails

        def __iter__(self):
            yield b"a"
            if self.fails:
                raise OSError("broken")
            yield b"b"

        def close(self):
            closed.append(self.fails)

    def app(environ, start_response):
        seen.append((dict(environ), environ["wsgi.input"].read()))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return Body(environ["PATH_INFO"] == "/fails")

    ok = Request("POST", "/a%20b/ü?q=1", (("Content-Type", "a/b"), ("X-N", "{n}"), ("Host", "shop.example")), b"body")
    statuses, causes = ask(wsgi_client(app), ok, Request("GET", "/fails"))
    environ, body = seen[0]
    assert statuses == [{200: 1}, {500: 1}]
    assert causes[1].startswith("OSError at ")
    assert closed == [False, True]
    assert environ["PATH_INFO"] == "/a b/ü".encode().decode("latin-1")
    assert (environ["QUERY_STRING"], environ["CONTENT_LENGTH"], environ["CONTENT_TYPE"]) == ("q=1", "4", "a/b")
    assert (environ["HTTP_X_N"], environ["HTTP_HOST"], environ["REQUEST_METHOD"]) == ("0", "shop.example", "POST")
    assert body == b"body"


def test_wsgi_passes_the_validator():
    """The client keeps to what the standard library's validator asks of a server."""
    from wsgiref.validate import validator

    def app(environ, start_response):
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"early")
        return [b"ok"]

    statuses, causes = ask(wsgi_client(validator(app)), Request("GET", "/"), Request("POST", "/x?y=1", (), b"abc"))
    assert statuses == [{200: 1}, {200: 1}], causes


def test_wsgi_threads_stay():
    """With a concurrency the same few threads serve every request."""
    threads = set()

    def app(environ, start_response):
        threads.add(threading.get_ident())
        start_response("200 OK", [])
        return []

    statuses, _ = ask(wsgi_client(app, concurrency=3), Request("GET", "/"), times=30)
    assert statuses == [{200: 30}]
    assert len(threads) <= 3
    assert threading.get_ident() not in threads


def test_aiohttp_serves_for_real():
    """The app runs under aiohttp's own server, start-up and cleanup included; connections are kept alive."""
    from aiohttp import web

    events, peers = [], set()

    async def echo(request):
        peers.add(request.transport.get_extra_info("peername"))
        events.append((request.path, request.query_string, request.headers["X-N"], await request.text()))
        return web.json_response({"big": "x" * 200_000}, status=201)

    async def boom(request):
        raise KeyError("secret")

    async def chunks(request):
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"a")
        await answer.write_eof(b"b")
        return answer

    async def make_app():
        app = web.Application()
        app.router.add_post("/echo/{id}", echo)
        app.router.add_get("/boom", boom)
        app.router.add_get("/chunks", chunks)

        async def start(app):
            events.append("start")

        async def stop(app):
            events.append("stop")

        app.on_startup.append(start)
        app.on_cleanup.append(stop)
        return app

    client = AiohttpClient(make_app(), 1, 5.0, Board(1))
    requests = [
        Request("POST", "/echo/{n}?q=a%20b", (("X-N", "{n}"),), b"hello"),
        Request("HEAD", "/chunks"),
        Request("GET", "/chunks"),
        Request("GET", "/none"),
        Request("GET", "/boom"),
    ]
    statuses, _ = ask(client, *requests, times=2)
    assert statuses == [{201: 2}, {200: 2}, {200: 2}, {404: 2}, {500: 2}]
    assert events == ["start", ("/echo/0", "q=a b", "0", "hello"), ("/echo/1", "q=a b", "1", "hello"), "stop"]


def test_aiohttp_startup_that_fails():
    """A start-up that raises is told with its type and line."""
    from aiohttp import web

    async def start(app):
        raise ConnectionError("no database")

    app = web.Application()
    app.on_startup.append(start)
    with pytest.raises(NotMeasuredError, match=r"ConnectionError: no database at .* in start"):
        ask(AiohttpClient(app, 1, 5.0, Board(1)), Request("GET", "/"))


def test_the_state_of_the_board():
    """What is on its way can be read from outside: when it was sent and which it is."""
    board = Board(2)
    seen = []

    async def app(scope, receive, send):
        if scope["type"] == "http":
            seen.append(board.oldest())
            await answer(send)

    ask(AsgiClient(app, 1, 5.0, board), Request("GET", "/a"), Request("GET", "/b"))
    assert [index for _, index in seen] == [0, 1]
    assert board.oldest() is None
