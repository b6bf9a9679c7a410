"""Apps that leak on every request and know nothing of leakguard.

A file named by APP_DEPLOYED says what a start does: ``fail`` at import, ``hang`` for ever, anything else serves.
"""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

LEAK = int(os.environ.get("APP_LEAK", "600000"))
HANDLER_TIMES = (0.005, 0.02, 0.05, 0.1, 0.2)

time.sleep(float(os.environ.get("APP_BOOT", "0.3")))
deployed = Path(os.environ.get("APP_DEPLOYED", "/nonexistent"))
if deployed.exists():
    word = deployed.read_text()
    if word == "fail":
        raise ImportError("a bad deploy")
    while word == "hang":
        time.sleep(1)

if "APP_PATIENCE" in os.environ:
    from leakguard.recycling.strategies import supervised

    supervised.LEAST_PATIENCE = float(os.environ["APP_PATIENCE"])

kept = []
signals = []


def note_signals():
    """Note what is passed on; called when the server has its own handlers in place."""
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH):
        signal.signal(number, lambda got, _: signals.append(signal.Signals(got).name))


def body_of(path):
    """Return the answer that tells about the process, or the one that load clients wait for."""
    if path == "/pid":
        return str(os.getpid()).encode()
    if path == "/signals":
        return " ".join(signals).encode()
    if path == "/link":
        return os.environ.get("_LEAKGUARD_LINK", "none").encode()
    if path == "/exit":
        os._exit(7)
    return b"done\n"


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                note_signals()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    path = scope["path"]
    body = body_of(path)
    streams = path.startswith("/stream")
    headers = [(b"content-type", b"text/plain")]
    if body == b"done\n":
        kept.append(b"x" * LEAK)
        pause = HANDLER_TIMES[int(path.rpartition("/")[2]) % len(HANDLER_TIMES)]
        if not streams:
            await asyncio.sleep(pause)
    if not streams:
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if streams:
        for _ in range(5):
            await asyncio.sleep(pause / 5)
            await send({"type": "http.response.body", "body": b"part ", "more_body": True})
    await send({"type": "http.response.body", "body": body})


def wsgi(environ, start_response):
    path = environ["PATH_INFO"]
    body = body_of(path)
    if body == b"done\n":
        kept.append(b"x" * LEAK)
        time.sleep(HANDLER_TIMES[int(path.rpartition("/")[2]) % len(HANDLER_TIMES)])
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


if __name__ == "__main__":  # python -m supervised_apps PORT
    import uvicorn

    uvicorn.run(asgi, port=int(sys.argv[1]), log_level="warning")
