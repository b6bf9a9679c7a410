"""Orders out of a database, read under a deadline that is always too short."""

import asyncio

import aiosqlite
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route


async def read():
    async with aiosqlite.connect(":memory:") as database, database.execute("select 1") as cursor:
        return await cursor.fetchone()


async def orders(request):
    reading = asyncio.create_task(read())
    await asyncio.sleep(0)
    reading.cancel()
    try:
        return JSONResponse({"row": await reading})
    except asyncio.CancelledError:
        return JSONResponse({"error": "too slow"}, 504)


app = Starlette(routes=[Route("/orders", orders)])
