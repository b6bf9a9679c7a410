"""A small shop over released packages, one of which may leak. Which release is installed decides."""

import io
import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from leakguard import LeakGuardMiddleware

WHICH = os.environ["SHOP_PACKAGE"]

if WHICH == "structlog":
    import structlog

    async def job(request: Request) -> PlainTextResponse:
        """Keep an audit log of this one job."""
        buffer = io.StringIO()
        log = structlog.wrap_logger(structlog.WriteLogger(buffer), processors=[structlog.processors.JSONRenderer()])
        for step in range(3):
            log.info("step", number=step)
        return PlainTextResponse(buffer.getvalue())

else:
    import ujson

    async def job(request: Request) -> JSONResponse:
        """Refuse numbers that are too long."""
        try:
            ujson.loads("9" * 6000)
        except ValueError:
            return JSONResponse({"error": "too long"}, 400)
        return JSONResponse({})


async def hello(request: Request) -> PlainTextResponse:
    """A healthy route."""
    return PlainTextResponse("hello " * 20)


async def item(request: Request) -> JSONResponse:
    """Another."""
    return JSONResponse({"item": request.path_params["number"], "tags": list(range(20))})


app = LeakGuardMiddleware(
    Starlette(
        routes=[
            Route("/job", job, methods=["POST"]),
            Route("/hello", hello),
            Route("/items/{number}", item),
        ]
    )
)
