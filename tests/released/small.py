"""An application that leaks a little with each request of one of its routes, in one of three ways (``SMALL_LEAK``)."""

import ctypes
import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

HOW = os.environ.get("SMALL_LEAK", "held")
kept = []
malloc = ctypes.CDLL(None).malloc
malloc.argtypes, malloc.restype = (ctypes.c_size_t,), ctypes.c_void_p


async def small(request: Request) -> PlainTextResponse:
    """Leave 64 bytes of Python behind, a bytes object of 31 with its header, or 160 bytes of C."""
    if HOW == "held":
        kept.append(bytes(bytearray(31)))
    elif HOW == "lost":
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(bytes(bytearray(31))))
    else:
        malloc(160)
    return PlainTextResponse("small")


app = Starlette(routes=[Route("/small", small)])
