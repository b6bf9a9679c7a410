"""An app as a user writes it, guarded; the page comes with the token. Its windows are short so that tests need not wait."""

from __future__ import annotations

import sys

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from leakguard import LeakGuardMiddleware
from leakguard.web import page


async def plain(_request):
    return JSONResponse({"drawn here": "jinja2" in sys.modules})


# The page is there twice: at its own place by the option, and where the user has mounted it.
app = LeakGuardMiddleware(
    Starlette(routes=[Route("/plain", plain), Mount("/inside", app=page())]), interval="200ms", warmup="0s"
)
