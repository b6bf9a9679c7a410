"""Players of a game behind a metrics middleware as it comes out of the box."""

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette_exporter import PrometheusMiddleware, handle_metrics


async def player(request):
    return PlainTextResponse("level 3")


app = Starlette(routes=[Route("/players/{name}", player), Route("/metrics", handle_metrics)])
app.add_middleware(PrometheusMiddleware)
