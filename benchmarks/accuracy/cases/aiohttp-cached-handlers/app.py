"""A shop's stock list with one middleware, probed by bots."""

from aiohttp import web


@web.middleware
async def stamp(request, handler):
    response = await handler(request)
    response.headers["X-Served-By"] = "shop"
    return response


async def stock(request):
    return web.json_response({"stock": 12})


def build():
    app = web.Application(middlewares=[stamp])
    app.router.add_get("/stock", stock)
    return app
