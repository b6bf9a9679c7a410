"""Asks a store whether it lives, over a pool that is dropped and not closed."""

import asyncio

from redis.asyncio import ConnectionPool, Redis
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

store = {}


async def pong(reader, writer):
    parts = int((await reader.readline())[1:])
    for _ in range(parts):
        await reader.readexactly(int((await reader.readline())[1:]) + 2)
    writer.write(b"+PONG\r\n")
    await writer.drain()
    writer.close()


async def alive(request):
    if not store:
        store["server"] = await asyncio.start_server(pong, "127.0.0.1", 0)
    port = store["server"].sockets[0].getsockname()[1]
    client = Redis(connection_pool=ConnectionPool(host="127.0.0.1", port=port))
    return JSONResponse({"alive": bool(await client.ping())})


app = Starlette(routes=[Route("/alive", alive)])
