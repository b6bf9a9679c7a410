"""An ASGI and a WSGI app that leak on every request, guarded by the smallest middleware that recycling needs.

What happened is written to the file named by RECYCLING_LOG, one JSON object a line.
"""

import asyncio
import json
import os
import threading
import time
from pathlib import Path

from leakguard.config import Config
from leakguard.probes.limits import find_limit
from leakguard.probes.process import ProcessProbe
from leakguard.records import encode
from leakguard.recycling.close import close_asgi, close_wsgi
from leakguard.recycling.recycler import Recycler
from leakguard.recycling.servers import in_worker

LEAK = int(os.environ.get("RECYCLING_LEAK", "200000"))
HANDLER_TIMES = (0.005, 0.02, 0.05, 0.1, 0.2)

time.sleep(float(os.environ.get("RECYCLING_BOOT", "0.3")))
kept = []


def say(kind, value):
    line = json.dumps({"kind": kind, "pid": os.getpid(), "at": time.time(), "value": value}) + "\n"
    with Path(os.environ["RECYCLING_LOG"]).open("a") as log:
        log.write(line)


def limit():
    """Return the machine's limit, or as little free memory as a test wants."""
    found = find_limit()
    available = os.environ.get("RECYCLING_AVAILABLE")
    return found if available is None else found._replace(available=int(available))


class Watch:
    """Counts what is in flight and ticks the recycler, as the guard does."""

    def __init__(self):
        self.lock = threading.Lock()
        self.count = 0
        self.pid = None
        self.recycler = Recycler(
            Config.load(),
            in_flight=lambda: self.count,
            rss=ProcessProbe().rss,
            limit=limit,
            on_relief=lambda relief: say("relief", encode(relief)),
            on_recycle=lambda recycle: say("recycle", encode(recycle)),
            on_note=lambda note: say("note", note),
            evidence=lambda: say("evidence", None),
        )

    def begin(self):
        self.ready()
        with self.lock:
            self.count += 1

    def end(self):
        with self.lock:
            self.count -= 1

    def ready(self):
        if self.pid == os.getpid():
            return
        self.pid = os.getpid()
        self.recycler.meet_main_thread()
        self.recycler.ready()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while not self.recycler.serving:
            self.recycler.tick()
            time.sleep(0.02)
        say("serving", [*self.recycler.describe(), str(self.recycler.server)])
        say("threads", [thread.name for thread in threading.enumerate()])
        said = 0.0
        while True:
            self.recycler.tick()
            if time.monotonic() - said > 0.5:
                said = time.monotonic()
                say("ticks", None)
            time.sleep(0.05)


watch = Watch()


def work(path):
    """Return how long a request takes, as the number in its path says, and leak."""
    if path == "/hang":
        return 3600.0
    kept.append(b"x" * LEAK)
    return HANDLER_TIMES[int(path.rpartition("/")[2]) % len(HANDLER_TIMES)]


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.startup":
                watch.ready()
            else:
                return
    watch.begin()
    try:
        await answer(scope, send)
    finally:
        watch.end()


async def answer(scope, send):
    pause = work(scope["path"])
    streams = scope["path"].startswith("/stream")
    headers = [(b"content-type", b"text/plain")]
    if not streams:
        headers.append((b"content-length", b"5"))
        await asyncio.sleep(pause)
    if watch.recycler.drain.closing:
        headers = close_asgi(scope, headers)
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if streams:
        for _ in range(5):
            await asyncio.sleep(pause / 5)
            await send({"type": "http.response.body", "body": b"part ", "more_body": True})
    await send({"type": "http.response.body", "body": b"done\n"})


def serve_wsgi(environ, start_response):
    watch.begin()
    try:
        pause = work(environ["PATH_INFO"])
        streams = environ["PATH_INFO"].startswith("/stream")
        headers = [("Content-Type", "text/plain")]
        if not streams:
            headers.append(("Content-Length", "5"))
            time.sleep(pause)
        if watch.recycler.drain.closing:
            headers = close_wsgi(environ, start_response, headers)
        start_response("200 OK", headers)
    except BaseException:
        watch.end()
        raise
    return Body(pause if streams else 0.0)


def serve_wsgi_wrapped(environ, start_response):
    """The same under a middleware that puts its own start_response over the server's."""

    def wrapped(status, headers, exc_info=None):
        return start_response(status, headers, exc_info)

    return serve_wsgi(environ, wrapped)


class Body:
    """A response whose request ends when the server closes it."""

    def __init__(self, pause):
        self.pause = pause

    def __iter__(self):
        if self.pause:
            for _ in range(5):
                time.sleep(self.pause / 5)
                yield b"part "
        yield b"done\n"

    def close(self):
        watch.end()


def __getattr__(name):
    """Make the WSGI apps when a server asks for one: it has no other event by which a booting worker shows itself."""
    if name not in {"wsgi", "wsgi_wrapped"}:
        raise AttributeError(name)
    if in_worker():
        watch.ready()
    return serve_wsgi if name == "wsgi" else serve_wsgi_wrapped
