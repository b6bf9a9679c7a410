"""Answers with what was logged while the request was handled."""

import io

import structlog
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def audit(request):
    pages = io.StringIO()
    log = structlog.wrap_logger(structlog.WriteLogger(pages), processors=[structlog.processors.JSONRenderer()])
    for step in range(4):
        log.info("checked", step=step)
    return PlainTextResponse(pages.getvalue())


app = Starlette(routes=[Route("/audit", audit)])
