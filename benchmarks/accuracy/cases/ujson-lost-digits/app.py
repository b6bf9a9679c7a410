"""Takes a bid as JSON; a number that is too long is refused."""

import ujson
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route


async def bid(request):
    try:
        offer = ujson.loads(await request.body())
    except ValueError as error:
        return JSONResponse({"refused": str(error)[:60]}, 400)
    return JSONResponse({"offer": offer})


app = Starlette(routes=[Route("/bid", bid, methods=["POST"])])
