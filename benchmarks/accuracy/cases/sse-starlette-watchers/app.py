"""The last three prices as a stream of events."""

from sse_starlette.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.routing import Route


async def last_prices():
    for price in (11, 12, 10):
        yield {"data": str(price)}


async def prices(request):
    return EventSourceResponse(last_prices())


app = Starlette(routes=[Route("/prices", prices)])
