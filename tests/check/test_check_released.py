"""leakguard installs beside old releases of the frameworks, and finds a planted leak in an app on each of them.

The app that leaks is usually not on the newest releases, and its own packages decide: nothing of it may be upgraded.
"""

from __future__ import annotations

import os
import subprocess
import sys
import typing
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.needs import ROOT, require

pytestmark = [pytest.mark.long, pytest.mark.registry, pytest.mark.timeout(400)]

STARLETTE = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
KEPT = []
async def leak(request):
    KEPT.append(bytearray(100))
    return PlainTextResponse("ok")
app = Starlette(routes=[Route("/leak/{number:int}", leak)])
"""

FASTAPI = """
from fastapi import FastAPI
from pydantic import BaseModel
KEPT = []
class Item(BaseModel):
    name: str
    price: float
app = FastAPI()
@app.get("/ok/{number}")
async def ok(number: int):
    return number
@app.post("/leak")
async def leak(item: Item):
    KEPT.append(item)
    return item
"""

FLASK = """
from flask import Flask
KEPT = []
app = Flask(__name__)
@app.route("/leak/<int:number>")
def leak(number):
    KEPT.append({"number": number})
    return "ok"
"""

DJANGO = """
from django.conf import settings
settings.configure(ALLOWED_HOSTS=["shop.example"], ROOT_URLCONF="app", SECRET_KEY="x", MIDDLEWARE=[])
import django
django.setup()
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
KEPT = []
def leak(request, number):
    KEPT.append({"number": number})
    return HttpResponse("ok")
urlpatterns = [path("leak/<int:number>/", leak)]
application = get_wsgi_application()
"""

AIOHTTP = """
from aiohttp import web
KEPT = []
async def leak(request):
    KEPT.append({"number": request.match_info["number"]})
    return web.Response(text="ok")
def make_app():
    app = web.Application()
    app.router.add_get("/leak/{number}", leak)
    return app
"""


@dataclass(frozen=True)
class Old:
    """One environment: old releases, and an app for each framework in it."""

    requirements: tuple[str, ...]
    apps: tuple[str, ...]


# The first has the lowest version of everything that leakguard needs itself.
OLD = {
    "fastapi-0.65": Old(
        ("fastapi==0.65.3", "click==7.1.2", "objgraph==3.5.0", "psutil==5.8.0", "pympler==0.9"), (STARLETTE, FASTAPI)
    ),
    "flask-1.1": Old(("flask==1.1.4", "markupsafe==2.0.1", "starlette==0.13.8"), (STARLETTE, FLASK)),
    "flask-2.0": Old(("flask==2.0.3", "werkzeug==2.0.3", "click==8.0.4", "starlette==0.20.4"), (STARLETTE, FLASK)),
    "django-3.2": Old(("django==3.2.25",), (DJANGO,)),
    "aiohttp-3.8": Old(("aiohttp==3.8.3", "fastapi==0.95.2"), (AIOHTTP, FASTAPI)),
}


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="releases of that age have no builds for a newer Python")
@pytest.mark.parametrize("which", OLD)
def test_a_leak_is_found_on_old_releases(tmp_path: Path, which: str) -> None:
    """pip agrees that leakguard can be installed beside them, they stay as they are, and ``check`` finds the leak."""
    old = OLD[which]
    python = environment(tmp_path / "venv", old.requirements)
    frozen = run([str(python), "-m", "pip", "freeze"], tmp_path).stdout.lower()
    for requirement in old.requirements:
        assert requirement in frozen
    for number, app in enumerate(old.apps):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "app.py").write_text(app)
        ran = run([str(python), "-m", "leakguard", "check", "app", "--loops", "10"], folder)
        assert ran.returncode == 1, ran.stdout + ran.stderr
        assert "app.KEPT" in ran.stdout


def environment(folder: Path, requirements: typing.Iterable[str]) -> Path:
    """Make an environment with these releases and leakguard as it is here."""
    run([sys.executable, "-m", "venv", str(folder)], folder.parent)
    python = folder / "bin" / "python"
    done = run([str(python), "-m", "pip", "install", "-q", str(ROOT), *requirements], folder.parent)
    require("No matching distribution" not in done.stderr and "Connection" not in done.stderr, "the package registry")
    assert done.returncode == 0, done.stderr
    return python


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, without this project on the path."""
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=300, check=False)
