"""The routes of the game's backend. Leakguard is the one line that says so.

Run it with ``gunicorn app:app --worker-class uvicorn_worker.UvicornWorker``, or let ``leakguard demo`` do it.
"""

from __future__ import annotations

import game
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from leakguard import LeakGuardMiddleware


async def telemetry(request: Request) -> JSONResponse:
    return JSONResponse(await game.ingest(request))


async def bans(request: Request) -> JSONResponse:
    player = request.path_params["player"]
    return JSONResponse({"player": player, "banned": await game.is_banned(player)})


async def daily_reward(request: Request) -> JSONResponse:
    return JSONResponse(await game.claim_reward(await request.json()))


async def health(request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


app = LeakGuardMiddleware(
    Starlette(
        routes=[
            Route("/telemetry", telemetry, methods=["POST"]),
            Route("/bans/{player}", bans),
            Route("/rewards/daily", daily_reward, methods=["POST"]),
            Route("/health", health),
        ]
    )
)
