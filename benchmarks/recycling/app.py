"""The app under every row: the same handlers, the same leak, and one of three ways to be replaced.

``BENCH_WAY``: ``naive`` (SIGKILL to itself at the ceiling, as a memory killer does), ``leakguard`` (the middleware) or anything
else (nothing: the server's own restarts, or no restart at all). Paths: ``/calm/MS``, ``/plain/MS``, ``/stream/MS``; all but
``calm`` leak. Every body ends with the process id and a mark, so that a cut answer is seen and workers are counted.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path

from leakguard import LeakGuardMiddleware, LeakGuardWSGI
from leakguard.guard import obtain
from leakguard.probes.process import ProcessProbe

if typing.TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

WAY = os.environ.get("BENCH_WAY", "")
LEAK = int(os.environ.get("BENCH_LEAK", "200000"))
ROOM = int(os.environ.get("BENCH_ROOM", "30000000"))
PARTS = 5

time.sleep(float(os.environ.get("BENCH_BOOT", "0.5")))
kept: list[bytes] = []
rss = ProcessProbe().rss
ceiling = rss() + ROOM


def end() -> bytes:
    return f" {os.getpid()} done\n".encode()


def work(path: str) -> tuple[bool, float]:
    """Leak, and return whether to stream and how many seconds the request takes."""
    kind, _, milliseconds = path.strip("/").partition("/")
    if kind != "calm" and LEAK:
        kept.append(os.urandom(8) * (LEAK // 8))
    return kind == "stream", int(milliseconds or 0) / 1000


async def plain_asgi(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                watch()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    watch()  # daphne has no lifespan
    streams, pause = work(scope["path"])
    body = end()
    headers = [(b"content-type", b"text/plain")]
    if not streams:
        headers.append((b"content-length", str(len(body)).encode()))
        await asyncio.sleep(pause)
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if streams:
        for _ in range(PARTS):
            await asyncio.sleep(pause / PARTS)
            await send({"type": "http.response.body", "body": b"part", "more_body": True})
    await send({"type": "http.response.body", "body": body})


def plain_wsgi(environ: dict[str, typing.Any], start_response: typing.Any) -> Iterable[bytes]:
    watch()
    streams, pause = work(environ["PATH_INFO"])
    body = end()
    if streams:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return parts(pause, body)
    time.sleep(pause)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def parts(pause: float, body: bytes) -> Iterator[bytes]:
    for _ in range(PARTS):
        time.sleep(pause / PARTS)
        yield b"part"
    yield body


watched = 0


def watch() -> None:
    """Start what this way of being replaced needs, once per process."""
    global watched
    if watched == os.getpid():
        return
    watched = os.getpid()
    if WAY == "naive":
        threading.Thread(target=kill_at_the_ceiling, daemon=True).start()
    if WAY == "leakguard" and os.environ.get("BENCH_READY"):
        threading.Thread(target=tell_readiness, daemon=True).start()


def kill_at_the_ceiling() -> None:
    while rss() < ceiling:
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)


def tell_readiness() -> None:
    """Write down when this worker begins and ceases to want requests."""
    drain = obtain(asgi_guard.config if isinstance(asgi_guard, LeakGuardMiddleware) else wsgi_guard.config).drain
    said = False
    while True:
        if drain.ready != said:
            said = drain.ready
            with Path(os.environ["BENCH_READY"]).open("a") as file:
                file.write(f"{time.time()} {os.getpid()} {int(said)}\n")
        time.sleep(0.01)


OPTIONS: dict[str, typing.Any] = {
    "ceiling": ceiling,
    "hard_ceiling": ceiling * 4,
    "interval": "1s",
    "min_lifetime": "1s",
    "cool_down": "100ms",
    "daily_cap": 100_000,
    "drain": "10s",
}
asgi_guard: typing.Any = LeakGuardMiddleware(plain_asgi, **OPTIONS)
wsgi_guard: typing.Any = None
asgi: ASGIApp = asgi_guard if WAY == "leakguard" else plain_asgi


def __getattr__(name: str) -> object:
    """Return the WSGI app when a server asks for it, made at that moment: it introduces itself then."""
    global wsgi_guard
    if name != "wsgi":
        raise AttributeError(name)
    if WAY == "leakguard" and wsgi_guard is None:
        wsgi_guard = LeakGuardWSGI(plain_wsgi, **OPTIONS)
    return wsgi_guard if WAY == "leakguard" else plain_wsgi
