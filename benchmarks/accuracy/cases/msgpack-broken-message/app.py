"""Takes telemetry as msgpack; what does not parse is refused."""

import msgpack
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route


async def telemetry(request):
    try:
        rows = msgpack.unpackb(await request.body())
    except Exception as error:
        return JSONResponse({"refused": type(error).__name__}, 400)
    return JSONResponse({"rows": len(rows)})


app = Starlette(routes=[Route("/telemetry", telemetry, methods=["POST"])])
