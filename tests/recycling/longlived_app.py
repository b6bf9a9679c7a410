"""An app with what does not end by itself, under the real middleware: WebSockets, event streams, long and background work.

What happened is appended to the file named by LONGLIVED_LOG, a word a line.
"""

import asyncio
import contextlib
import os
import time
from pathlib import Path

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect

import leakguard
from leakguard import LeakGuardMiddleware, LeakGuardWSGI

kept = []


def say(word):
    with Path(os.environ["LONGLIVED_LOG"]).open("a") as log:
        log.write(f"{word} {os.getpid()}\n")


@leakguard.on_not_ready
def not_ready():
    say("not-ready")


@contextlib.asynccontextmanager
async def lifespan(app):
    say("begun")
    yield
    await asyncio.sleep(0.2)
    say("ended")


async def leak(request):
    kept.append(os.urandom(8) * (10 * 1024 * 1024 // 8))
    return PlainTextResponse(str(os.getpid()))


async def who(request):
    return PlainTextResponse(str(os.getpid()))


async def slow(request):
    await asyncio.sleep(float(request.path_params["seconds"]))
    return PlainTextResponse("slept")


async def later(request):
    async def work():
        await asyncio.sleep(1.5)
        say("worked")

    return PlainTextResponse("accepted", background=BackgroundTask(work))


async def events(request):
    async def forever():
        number = 0
        while True:
            number += 1
            yield f"id: {number}\n"
            await asyncio.sleep(0.02)
            yield f"data: {os.getpid()}\n\n"
            await asyncio.sleep(0.05)

    return StreamingResponse(forever(), media_type="text/event-stream")


async def echo(socket):
    await socket.accept()
    try:
        while True:
            await socket.send_text(await socket.receive_text())
    except WebSocketDisconnect as gone:
        say(f"disconnected-{gone.code}")


async def push(socket):
    await socket.accept()
    try:
        while True:
            await socket.send_text("tick")
            await asyncio.sleep(0.02)
    except WebSocketDisconnect:
        say("push-ended")


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/leak", leak),
        Route("/who", who),
        Route("/slow/{seconds}", slow),
        Route("/later", later),
        Route("/events", events),
        WebSocketRoute("/echo", echo),
        WebSocketRoute("/push", push),
    ],
)
app.add_middleware(LeakGuardMiddleware)


def serve_wsgi(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/leak":
        kept.append(os.urandom(8) * (10 * 1024 * 1024 // 8))
    if path == "/events":
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return ticks()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]


def ticks():
    number = 0
    while True:
        number += 1
        yield f"id: {number}\n".encode()
        time.sleep(0.02)
        yield f"data: {os.getpid()}\n\n".encode()
        time.sleep(0.05)


def __getattr__(name):
    if name != "wsgi":
        raise AttributeError(name)
    return LeakGuardWSGI(serve_wsgi)
