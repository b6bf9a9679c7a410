"""Copies the headers of a request under names of one case."""

from aiohttp import web
from multidict import CIMultiDict, istr


async def mirror(request):
    copied = CIMultiDict((istr(str(name)), value) for name, value in request.headers.items())
    return web.json_response({"headers": len(copied)})


def build():
    app = web.Application()
    app.router.add_get("/mirror", mirror)
    return app
