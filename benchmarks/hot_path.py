"""What leakguard adds to one request: in-process, against a middleware that does nothing, both in one run.

Each round sends the same requests through every variant in shuffled order; what is compared are the medians of the rounds'
differences, so that a slow moment of the machine falls on all alike. Time is processor time of the whole process
(``time.process_time``): the guard's thread is counted, waiting is not, forked looks are not (``look_stall.py`` measures those).

    python benchmarks/hot_path.py [--rounds 40] [--requests 2000] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
import typing
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from leakguard import LeakGuardMiddleware, LeakGuardWSGI
from leakguard.config import Options

if typing.TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY = b"hello"
HEADERS = [(b"host", b"127.0.0.1:8000"), (b"user-agent", b"benchmark"), (b"accept", b"*/*")]
Batch = Callable[[int], Awaitable[None]]


class Nothing:
    """An ASGI middleware that does nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on."""
        await self.app(scope, receive, send)


class NothingWSGI:
    """A WSGI middleware that does nothing."""

    def __init__(self, app: typing.Any) -> None:
        self.app = app

    def __call__(self, environ: dict[str, object], start_response: Callable[..., object]) -> Iterable[bytes]:
        """Pass it on."""
        return typing.cast("Iterable[bytes]", self.app(environ, start_response))


async def raw_asgi(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": BODY})


def raw_wsgi(environ: dict[str, object], start_response: Callable[..., object]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", "5")])
    return [BODY]


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


def starlette_app() -> Starlette:
    return Starlette(routes=[Route("/hello/{name}", hello)])


def asgi_batch(app: ASGIApp) -> Batch:
    """Return what sends ``count`` requests, each with a scope of its own, as a server does."""

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        pass

    async def batch(count: int) -> None:
        for _ in range(count):
            scope = {
                "type": "http",
                "http_version": "1.1",
                "method": "GET",
                "path": "/hello/you",
                "raw_path": b"/hello/you",
                "root_path": "",
                "scheme": "http",
                "query_string": b"",
                "headers": HEADERS,
                "client": ("127.0.0.1", 50000),
                "server": ("127.0.0.1", 8000),
            }
            await app(scope, receive, send)

    return batch


def wsgi_batch(app: typing.Any) -> Batch:
    """Return what sends ``count`` requests, each with an environ of its own, and closes each answer."""

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> None:
        pass

    async def batch(count: int) -> None:
        for _ in range(count):
            environ = {
                "REQUEST_METHOD": "GET",
                "PATH_INFO": "/hello/you",
                "SCRIPT_NAME": "",
                "QUERY_STRING": "",
                "SERVER_NAME": "127.0.0.1",
                "SERVER_PORT": "8000",
                "SERVER_PROTOCOL": "HTTP/1.1",
                "wsgi.url_scheme": "http",
            }
            answer = app(environ, start_response)
            for _ in answer:
                pass
            close = getattr(answer, "close", None)
            if close is not None:
                close()

    return batch


async def measure(variants: dict[str, Batch], rounds: int, requests: int) -> dict[str, list[float]]:
    """Return microseconds of processor time per request for each variant, one figure a round."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    order = list(variants)
    dice = random.Random(1)
    for batch in variants.values():
        await batch(requests)  # caches fill, the guard's thread starts
    for _ in range(rounds):
        dice.shuffle(order)
        for name in order:
            began = time.process_time()
            await variants[name](requests)
            times[name].append((time.process_time() - began) / requests * 1e6)
            await asyncio.sleep(0)
    return times


def summary(times: list[float], base: list[float]) -> dict[str, float]:
    """Return median and quartiles of the rounds, and of their differences from the base's rounds."""
    added = [mine - theirs for mine, theirs in zip(times, base, strict=True)]
    low, middle, high = statistics.quantiles(added, n=4)
    return {"median_us": statistics.median(times), "added_us": middle, "added_low_us": low, "added_high_us": high}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        options: Options = {"journal": str(Path(folder) / "journal.sqlite3")}
        groups: dict[str, dict[str, Batch]] = {
            "ASGI": {
                "nothing": asgi_batch(Nothing(raw_asgi)),
                "leakguard": asgi_batch(LeakGuardMiddleware(raw_asgi, **options)),
                "leakguard off": asgi_batch(LeakGuardMiddleware(raw_asgi, level="off")),
            },
            "Starlette": {
                "nothing": asgi_batch(Nothing(starlette_app())),
                "leakguard": asgi_batch(LeakGuardMiddleware(starlette_app(), **options)),
            },
            "WSGI": {
                "nothing": wsgi_batch(NothingWSGI(raw_wsgi)),
                "leakguard": wsgi_batch(LeakGuardWSGI(raw_wsgi, **options)),
                "leakguard off": wsgi_batch(LeakGuardWSGI(raw_wsgi, level="off")),
            },
        }
        results: dict[str, dict[str, dict[str, float]]] = {}
        for group, variants in groups.items():
            times = asyncio.run(measure(variants, arguments.rounds, arguments.requests))
            results[group] = {name: summary(times[name], times["nothing"]) for name in variants}
        if arguments.json:
            print(json.dumps({"python": sys.version.split()[0], "results": results}, indent=2))
        else:
            print(
                f"Python {sys.version.split()[0]}, {arguments.rounds} rounds of {arguments.requests} requests; us/request"
            )
            print(f"{'':28}{'median':>10}{'added':>10}{'quartiles of added':>22}")
            for group, rows in results.items():
                for name, row in rows.items():
                    spread = f"{row['added_low_us']:.2f} to {row['added_high_us']:.2f}"
                    print(f"{group + ', ' + name:28}{row['median_us']:>10.2f}{row['added_us']:>10.2f}{spread:>22}")


if __name__ == "__main__":
    main()
