"""A report with a value in it that cannot be written as JSON."""

import orjson
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


class Secret:
    """Not for the report."""


def refuse(value):
    raise TypeError("not for the report: " + type(value).__name__)


async def report(request):
    lines = ("line of report " + request.path_params["number"] + " ") * 100
    try:
        return Response(orjson.dumps({"lines": lines, "signed": Secret()}, default=refuse))
    except orjson.JSONEncodeError:
        return JSONResponse({"error": "not for the report"}, 422)


app = Starlette(routes=[Route("/report/{number}", report)])
