"""Keeps the data of an event for a moment longer than the request's body."""

import msgspec
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route


class Event(msgspec.Struct):
    """What happened, its data as it came."""

    name: str
    data: msgspec.Raw


decoder = msgspec.json.Decoder(Event)


async def events(request):
    event = decoder.decode(await request.body())
    data = event.data.copy()
    return JSONResponse({"kept": len(bytes(data))})


app = Starlette(routes=[Route("/events", events, methods=["POST"])])
