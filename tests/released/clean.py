"""Twenty-four clean handlers of a real application: what they keep is bounded, ends, or is theirs for one request only."""

import asyncio
import collections
import contextvars
import dataclasses
import datetime
import decimal
import functools
import hashlib
import io
import json
import logging
import random
import re
import sqlite3
import string
import tempfile
import threading
import weakref
import zlib

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from leakguard import LeakGuardMiddleware

log = logging.getLogger("clean")
rng = random.Random(7)
recent = collections.deque(maxlen=200)
sessions = collections.OrderedDict()
counters = collections.Counter()
ring = [None] * 300
turn = [0]
living = weakref.WeakValueDictionary()
who = contextvars.ContextVar("who", default=None)
rows = threading.local()


@dataclasses.dataclass
class Order:
    """A value object."""

    number: int
    items: list


@functools.lru_cache(maxsize=500)
def digest(key):
    """Return what a bounded cache keeps."""
    return hashlib.sha256(str(key).encode()).hexdigest()


class Session:
    """What a bounded registry keeps."""

    def __init__(self, user):
        self.user = user
        self.events = [f"{user}-{n}" for n in range(10)]


def text(request):
    return "hello"


def as_json(request):
    return json.dumps([{"id": n, "tags": ["a", "b"]} for n in range(50)])


def bounded_cache(request):
    return digest(rng.randint(0, 2000))


def bounded_registry(request):
    user = rng.randint(0, 5000)
    sessions[user] = Session(user)
    while len(sessions) > 400:
        sessions.popitem(last=False)
    return str(len(sessions))


def last_requests(request):
    recent.append({"path": request.url.path, "at": datetime.datetime.now(datetime.UTC)})
    return str(len(recent))


def ring_buffer(request):
    turn[0] += 1
    ring[turn[0] % len(ring)] = [turn[0]] * 20
    return "turned"


def counted(request):
    counters[rng.choice(string.ascii_lowercase)] += 1
    return str(sum(counters.values()))


def weak_values(request):
    session = Session(rng.randint(0, 100))
    living[session.user] = session
    return str(len(living))


def cycle(request):
    one, other = {}, []
    one["other"], other[:] = other, [one]
    return "a cycle"


def new_class(request):
    made = type("Made", (), {"value": rng.random()})
    return str(made().value)


def closures(request):
    return str(sum(act() for act in [lambda n=n: n for n in range(50)]))


def regex(request):
    return str(len(re.findall(r"\w+", "the quick brown fox " * 20)))


def template(request):
    return string.Template("$name has $n").substitute(name="nobody", n=rng.randint(0, 9))


def numbers(request):
    return str(sum(decimal.Decimal(n) / 7 for n in range(50)))


def compressed(request):
    return str(len(zlib.compress(bytes(rng.getrandbits(8) for _ in range(500)))))


def large_now_and_then(request):
    size = 200_000 if rng.random() < 0.02 else 100
    return str(len([{"n": n} for n in range(size)])) if size > 100 else "small"


def database(request):
    connection = sqlite3.connect(":memory:")
    try:
        return str(connection.execute("select 1").fetchone())
    finally:
        connection.close()


def file(request):
    with tempfile.TemporaryFile() as file:
        file.write(b"x" * 1000)
        return str(file.tell())


def handled(request):
    try:
        return str(1 / 0)
    except ZeroDivisionError as error:
        return type(error).__name__


def logged(request):
    stream = logging.StreamHandler(io.StringIO())
    log.addHandler(stream)
    log.warning("seen %s", request.url.path)
    log.removeHandler(stream)
    return "logged"


def value_object(request):
    return json.dumps(dataclasses.asdict(Order(1, list(range(30)))))


def per_thread(request):
    rows.value = getattr(rows, "value", 0) + 1
    return str(rows.value)


PLAIN = (
    text, as_json, bounded_cache, bounded_registry, last_requests, ring_buffer, counted, weak_values, cycle, new_class,
    closures, regex, template, numbers, compressed, large_now_and_then, database, file, handled, logged, value_object,
)  # fmt: skip


def endpoint(act):
    """Return an endpoint that answers with a plain function's text."""

    @functools.wraps(act)
    async def answer(request: Request) -> PlainTextResponse:
        return PlainTextResponse(act(request))

    return answer


async def in_a_thread(request: Request) -> Response:
    return PlainTextResponse(await run_in_threadpool(per_thread, request))


async def tasks(request: Request) -> Response:
    results = await asyncio.gather(*(asyncio.sleep(0, n) for n in range(5)))
    return JSONResponse(results)


async def context(request: Request) -> Response:
    token = who.set(Session(1))
    try:
        return PlainTextResponse(who.get().user.__repr__())
    finally:
        who.reset(token)


async def stream(request: Request) -> Response:
    async def parts():
        for n in range(5):
            yield f"part {n}\n"

    return StreamingResponse(parts())


async def afterwards(request: Request) -> Response:
    return PlainTextResponse("done", background=BackgroundTask(closures, request))


ASYNC = (in_a_thread, tasks, context, stream, afterwards)
PATHS = [f"/{act.__name__}" for act in (*PLAIN, *ASYNC)]
app = LeakGuardMiddleware(
    Starlette(
        routes=[
            *(Route(f"/{act.__name__}", endpoint(act)) for act in PLAIN),
            *(Route(f"/{act.__name__}", act) for act in ASYNC),
        ]
    )
)
