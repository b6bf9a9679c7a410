"""Apps to check, written into a folder of the test's own, and the command run on them as a user does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.needs import ROOT


@dataclass(frozen=True)
class Ran:
    """One run of the command."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """What ``--format json`` printed."""
        return json.loads(self.out)


def check(folder: Path, *arguments: str, app: str = "", name: str = "app", **files: str) -> Ran:
    """Write ``app`` and other files into a folder and run ``leakguard check`` there."""
    (folder / f"{name}.py").write_text(textwrap.dedent(app))
    for stem, text in files.items():
        (folder / f"{stem}.py").write_text(textwrap.dedent(text))
    done = subprocess.run(
        [sys.executable, "-m", "leakguard", "check", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


PLAIN_ASGI = """
    KEPT = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            raise RuntimeError("no lifespan here")
        if scope["path"].startswith("/leak"):
            KEPT.append(bytearray(100))
        if scope["path"] == "/boom":
            raise KeyError("secret")
        if scope["path"] == "/leaky-boom":
            KEPT.append(scope)
            raise KeyError("secret")
        status = 404 if scope["path"] == "/missing" else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})
"""

PLAIN_WSGI = """
    KEPT = {}

    def app(environ, start_response):
        if environ["PATH_INFO"].startswith("/leak"):
            KEPT[environ["PATH_INFO"]] = environ["REQUEST_METHOD"]
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ok"]
"""

AIOHTTP = """
    from aiohttp import web

    KEPT = []

    async def leak(request):
        KEPT.append({"id": request.match_info["id"]})
        return web.json_response({})

    async def ok(request):
        return web.json_response({})

    async def make_app():
        app = web.Application()
        app.router.add_get("/leak/{id}", leak)
        app.router.add_get("/ok", ok)
        return app
"""
