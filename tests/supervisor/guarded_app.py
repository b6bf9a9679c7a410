"""A Starlette app that has the middleware already, with options of its own."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from leakguard import LeakGuardMiddleware


async def answer(request):
    return PlainTextResponse("done\n")


app = Starlette(
    routes=[Route("/plain/{number}", answer)],
    middleware=[Middleware(LeakGuardMiddleware, ceiling="999 MiB")],
)
made = LeakGuardMiddleware(Starlette(routes=[Route("/plain/{number}", answer)]), ceiling="888 MiB")


async def inside(scope, receive, send):
    """An app that has the middleware where nobody can see it."""
    await made(scope, receive, send)
