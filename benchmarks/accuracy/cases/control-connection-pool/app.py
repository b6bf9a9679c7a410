"""Forwards to another service over at most 20 connections."""

import asyncio

import httpx
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

there = {}


async def answer(reader, writer):
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            await asyncio.sleep(0.002)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
    except (ConnectionError, asyncio.IncompleteReadError):
        writer.close()


async def forward(request):
    if not there:
        there["server"] = server = await asyncio.start_server(answer, "127.0.0.1", 0)
        there["address"] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        there["client"] = httpx.AsyncClient(limits=httpx.Limits(max_connections=20), trust_env=False)
    while "client" not in there:
        await asyncio.sleep(0)
    response = await there["client"].get(there["address"])
    return JSONResponse({"there": response.status_code})


app = Starlette(routes=[Route("/forward", forward)])
