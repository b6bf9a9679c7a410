"""The apps that the sections serve with real servers: one handler, bare, under a do-nothing middleware, under leakguard."""

from __future__ import annotations

import os
import typing

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from benchmarks.cost.heap import fill, write
from benchmarks.cost.nothing import Nothing

OBJECTS = "BENCHMARK_OBJECTS"
"""The variable that says how many tracked objects the worker holds beside its work."""


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


async def writing(request: Request) -> PlainTextResponse:
    """Write to objects all over the heap, as a busy app does: after a fork each write may copy a page."""
    write(200)
    return PlainTextResponse("written")


class Kept:
    """What the leak keeps of each request."""

    def __init__(self, request: Request) -> None:
        self.request = request


KEPT: list[Kept] = []


async def leaking(request: Request) -> PlainTextResponse:
    """Keep every request for ever."""
    KEPT.append(Kept(request))
    return PlainTextResponse("kept")


def plain() -> Starlette:
    return Starlette(routes=[Route("/hello/{name}", hello), Route("/writing", writing), Route("/leaking", leaking)])


def nothing() -> typing.Any:
    fill(int(os.environ.get(OBJECTS, "0")))
    return Nothing(plain())


def guarded() -> typing.Any:
    fill(int(os.environ.get(OBJECTS, "0")))
    from leakguard import LeakGuardMiddleware  # only here: the other worker must not pay for the import

    return LeakGuardMiddleware(plain())
