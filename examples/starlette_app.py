"""Starlette with leakguard: one line. ``/greet`` is clean; ``/visit`` keeps something of every request.

Run it with ``uvicorn starlette_app:app`` and read ``leakguard report`` after some minutes of traffic.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from leakguard import LeakGuardMiddleware

visits: list[dict[str, str]] = []


async def greet(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"hello {request.path_params['name']}")


async def visit(request: Request) -> JSONResponse:
    visits.append(dict(request.headers))  # the leak: nobody ever takes one out
    return JSONResponse({"visits": len(visits)})


app = Starlette(routes=[Route("/greet/{name}", greet), Route("/visit", visit, methods=["POST"])])
app.add_middleware(LeakGuardMiddleware)
