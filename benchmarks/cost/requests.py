"""What a middleware adds to one request, in the process: leakguard and its peers, each against one that does nothing.

Every variant is measured in a fresh process of its own, in rounds of the same requests through the variant and through the
do-nothing middleware in shuffled order; what counts are the differences within a round, so that a slow moment of the machine
falls on both. Time is processor time of the whole process (``time.process_time``): leakguard's own thread is counted, waiting
is not, forked looks are not (``looks.py`` measures those).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import typing
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from benchmarks.cost.nothing import Nothing, NothingWSGI
from benchmarks.cost.table import QUICK, Scale, Table, against
from leakguard import LeakGuardMiddleware, LeakGuardWSGI

if typing.TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUESTS = 2000
TARGET_US = 2.5
TENTH = 0.1
PASSES, KEPT = 6, 1 / 3
BODY = b"hello"
HEADERS = [(b"host", b"127.0.0.1:8000"), (b"user-agent", b"benchmark"), (b"accept", b"*/*")]
Batch = Callable[[int], Awaitable[None]]


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
                "wsgi.multiprocess": False,  # Dozer asks
            }
            answer = app(environ, start_response)
            for _ in answer:
                pass
            close = getattr(answer, "close", None)
            if close is not None:
                close()

    return batch


class ReadsMemory:
    """What many apps do by hand: read the resident memory before and after every request."""

    def __init__(self, app: ASGIApp) -> None:
        import psutil

        self.app = app
        self.process = psutil.Process()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read, pass it on, read."""
        self.process.memory_info()
        await self.app(scope, receive, send)
        self.process.memory_info()


def leakguard_asgi(app: ASGIApp) -> ASGIApp:
    return LeakGuardMiddleware(app)


def leakguard_wsgi(app: typing.Any) -> typing.Any:
    return LeakGuardWSGI(app)


def leakguard_off(app: ASGIApp) -> ASGIApp:
    return LeakGuardMiddleware(app, level="off")


def leakguard_wsgi_off(app: typing.Any) -> typing.Any:
    return LeakGuardWSGI(app, level="off")


def instrumentator(app: ASGIApp) -> ASGIApp:
    from prometheus_fastapi_instrumentator import Instrumentator

    instrumented = starlette_app()
    Instrumentator().instrument(instrumented)  # it wants the application itself
    return instrumented


def exporter(app: ASGIApp) -> ASGIApp:
    from starlette_exporter import PrometheusMiddleware

    made: ASGIApp = PrometheusMiddleware(app)
    return made


def sentry(app: ASGIApp) -> ASGIApp:
    import sentry_sdk
    from sentry_sdk.integrations.asgi import SentryAsgiMiddleware

    # No address to send to: what is measured is its work per request, without tracing.
    sentry_sdk.init(dsn=None, auto_enabling_integrations=False, default_integrations=False)
    made: ASGIApp = SentryAsgiMiddleware(app)
    return made


def opentelemetry(app: ASGIApp) -> ASGIApp:
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

    made: ASGIApp = OpenTelemetryMiddleware(app)
    return made


def dozer(app: typing.Any) -> typing.Any:
    import dozer

    make: typing.Any = getattr(dozer, "Dozer")  # noqa: B009 - it has no types
    return make(app)


def traced(app: ASGIApp) -> ASGIApp:
    """Make nothing; tracemalloc is switched on around the variant's rounds only."""
    return app


class Variant(typing.NamedTuple):
    """One middleware: how its app is made, over what, and what the table calls it."""

    title: str
    wrap: Callable[[typing.Any], typing.Any]
    over: str  # asgi, starlette, wsgi


VARIANTS = {
    "asgi": Variant("leakguard, ASGI", leakguard_asgi, "asgi"),
    "starlette": Variant("leakguard, over Starlette's routing", leakguard_asgi, "starlette"),
    "wsgi": Variant("leakguard, WSGI", leakguard_wsgi, "wsgi"),
    "asgi-off": Variant("leakguard, ASGI, level `off`", leakguard_off, "asgi"),
    "wsgi-off": Variant("leakguard, WSGI, level `off`", leakguard_wsgi_off, "wsgi"),
    "dozer": Variant("Dozer, WSGI", dozer, "wsgi"),
    "instrumentator": Variant("prometheus-fastapi-instrumentator", instrumentator, "starlette"),
    "exporter": Variant("starlette_exporter", exporter, "starlette"),
    "psutil": Variant("resident memory read twice (psutil)", ReadsMemory, "starlette"),
    "opentelemetry": Variant("OpenTelemetry ASGI, no provider", opentelemetry, "starlette"),
    "sentry": Variant("sentry-sdk, nothing sent, no tracing", sentry, "starlette"),
    "tracemalloc": Variant("tracemalloc, 1 frame", traced, "starlette"),
}


def batches(variant: Variant) -> tuple[Batch, Batch]:
    """Return what sends requests through the do-nothing middleware, and what sends them through the variant."""
    if variant.over == "wsgi":
        return wsgi_batch(NothingWSGI(raw_wsgi)), wsgi_batch(variant.wrap(raw_wsgi))
    if variant.over == "asgi":
        return asgi_batch(Nothing(raw_asgi)), asgi_batch(variant.wrap(raw_asgi))
    return asgi_batch(Nothing(starlette_app())), asgi_batch(variant.wrap(starlette_app()))


async def measure(name: str, rounds: int) -> dict[str, list[float]]:
    """Return microseconds of processor time per request, one figure a round: ``base`` and ``variant``."""
    import tracemalloc

    base, its = batches(VARIANTS[name])
    times: dict[str, list[float]] = {"base": [], "variant": []}
    order = [("base", base), ("variant", its)]
    dice = random.Random(1)
    for _, batch in order:
        await batch(REQUESTS)  # caches fill, threads start
    for _ in range(rounds):
        dice.shuffle(order)
        for which, batch in order:
            if name == "tracemalloc" and which == "variant":
                tracemalloc.start(1)
            began = time.process_time()
            await batch(REQUESTS)
            times[which].append((time.process_time() - began) / REQUESTS * 1e6)
            tracemalloc.stop()
            await asyncio.sleep(0)
    return times


def in_fresh_process(name: str, rounds: int) -> dict[str, list[float]] | str:
    """Return what ``measure`` finds in a process of its own, or why it could not be measured."""
    with tempfile.TemporaryDirectory() as folder:
        ran = subprocess.run(
            [sys.executable, "-m", "benchmarks.cost.requests", name, "--rounds", str(rounds)],
            env={**os.environ, "LEAKGUARD_JOURNAL": str(Path(folder) / "journal.sqlite3")},
            capture_output=True,
            text=True,
            check=False,
        )
    if ran.returncode:
        return ran.stderr.strip().splitlines()[-1]
    return typing.cast("dict[str, list[float]]", json.loads(ran.stdout))


def beside_peers(added: Mapping[str, float]) -> tuple[str, ...]:
    """Return what leakguard adds as a share of what the peers add that bound it, where both were measured."""
    return tuple(
        f"{VARIANTS[ours].title} costs {added[ours] / added[peer]:.3f} of {VARIANTS[peer].title} "
        f"({against(added[ours] / added[peer], most)})."
        for ours, peer, most in (("starlette", "instrumentator", TENTH), ("wsgi", "dozer", 1.0))
        if added.get(ours) and added.get(peer)
    )


def quickest(times: dict[str, list[float]]) -> dict[str, list[float]]:
    """Return the third of the rounds in which the base was quickest: a shared machine is at times half as fast as at others."""
    bound = sorted(times["base"])[max(int(len(times["base"]) * KEPT), 2) - 1]
    kept = [number for number, base in enumerate(times["base"]) if base <= bound]
    return {which: [its[number] for number in kept] for which, its in times.items()}


def _in_turn(passes: int, rounds: int) -> dict[str, dict[str, list[float]] | str]:
    """Measure every variant in turn, several times over: a slow quarter of an hour then falls on all of them."""
    measured: dict[str, dict[str, list[float]] | str] = {}
    for _ in range(passes):
        for name in VARIANTS:
            so_far, more = measured.get(name), in_fresh_process(name, rounds)
            if isinstance(so_far, dict) and isinstance(more, dict):
                measured[name] = {which: so_far[which] + its for which, its in more.items()}
            else:
                measured[name] = more
    return measured


def run(scale: Scale) -> Table:
    """Measure every variant and return the table."""
    passes = PASSES if scale is not QUICK else 1
    measured = _in_turn(passes, scale.rounds)
    rows = []
    adds: dict[str, float] = {}
    for name, variant in VARIANTS.items():
        times = measured[name]
        if isinstance(times, str):
            rows.append((variant.title, "", "", "", f"not measured: {times}"))
            continue
        times = quickest(times)
        added = [mine - theirs for mine, theirs in zip(times["variant"], times["base"], strict=True)]
        low, middle, high = statistics.quantiles(added, n=4)
        adds[name] = middle
        base, its = statistics.median(times["base"]), statistics.median(times["variant"])
        bound = against(middle, TARGET_US, unit="us") if name in {"asgi", "starlette", "wsgi"} else ""
        rows.append(
            (variant.title, f"{base:.2f}", f"{middle:.2f} ({low:.2f} to {high:.2f})", f"{its / base:.2f}", bound)
        )
    text = (
        "Microseconds of processor time that a middleware adds to one request in the process, against a middleware that does "
        f"nothing, in turn in {passes} fresh processes each ({scale.rounds * passes} rounds of {REQUESTS} requests, shuffled). "
        "A shared machine runs at half its speed at times: the third of the rounds in which the do-nothing middleware was "
        "quickest counts; median and quartiles of the differences. leakguard at its default level with everything on that is "
        "on by default: sentinel, counters, latency, status, route, its thread."
    )
    return Table(
        "One request", text, ("middleware", "base us", "added us", "ratio", "target"), tuple(rows), beside_peers(adds)
    )


def main() -> None:
    """Measure one variant in this process and print its figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variant", choices=VARIANTS)
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    print(json.dumps(asyncio.run(measure(arguments.variant, arguments.rounds))))


if __name__ == "__main__":
    main()
