"""Requests out of an app's own routes, per framework: what is asked, with which values, and what is left out."""

import asyncio
import dataclasses
import enum
import json
import uuid

import pydantic
import pytest

from leakguard.check.answers import Answers
from leakguard.check.board import Board
from leakguard.check.clients.asgi import AsgiClient
from leakguard.check.request import Request
from leakguard.check.routes import discover, name
from leakguard.errors import ConfigError


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Inner(pydantic.BaseModel):
    at: str = pydantic.Field(min_length=30)


class Item(pydantic.BaseModel):
    name: str
    price: float = pydantic.Field(gt=0, le=0.25)
    count: int = pydantic.Field(ge=10)
    colour: Colour
    inner: Inner
    again: "Item | None" = None
    tags: list[str]


@dataclasses.dataclass
class Entry:
    name: str
    count: int


def told(app):
    """Return what is requested by its name, as sent with number 7, and the notes."""
    requests, notes = discover(app)
    return {request.name: request.made(7) for request in requests}, " ".join(notes)


def test_starlette():
    """Convertors give fitting values; mounts are followed; files and sockets are left out and said."""
    from starlette.applications import Starlette
    from starlette.endpoints import HTTPEndpoint
    from starlette.routing import Host, Mount, Route, Router, WebSocketRoute
    from starlette.staticfiles import StaticFiles

    def page(request): ...

    class Things(HTTPEndpoint):
        def get(self, request): ...
        def delete(self, request): ...

    app = Starlette(
        routes=[
            Route("/items/{id:int}/{name}", page),
            Route("/w/{share:float}/{key:uuid}", page, methods=["POST", "GET"]),
            Route("/files/{path:path}", page, methods=["HEAD"]),
            Route("/things", Things),
            Mount("/shop", routes=[Route("/cart", page)]),
            Mount("/inner", app=Starlette(routes=[Route("/deep", page)])),
            Mount("/static", app=StaticFiles(directory="/")),
            Mount("/unknown", app=lambda scope: None),
            Host("api.example", app=Router()),
            WebSocketRoute("/live", page),
        ]
    )
    requests, notes = told(app)
    assert requests["GET /items/{id:int}/{name}"].path == "/items/7/name-7"
    assert requests["GET /w/{share:float}/{key:uuid}"].path == "/w/7.5/00000000-0000-4000-8000-000000000007"
    assert json.loads(requests["POST /w/{share:float}/{key:uuid}"].body) == {"id": "7", "name": "name-7"}
    assert {"HEAD /files/{path:path}", "GET /things", "DELETE /things", "GET /shop/cart", "GET /inner/deep"} < set(
        requests
    )
    assert "POST /things" not in requests
    for left_out in ("/static", "/unknown", "api.example", "/live"):
        assert left_out in notes


def test_fastapi():
    """Parameters and bodies come from the OpenAPI document: examples, choices, bounds, formats; its own pages are left out."""
    from fastapi import Body, FastAPI, File, Form, Header, Query

    app = FastAPI()

    @app.post("/items/{number}")
    def post_item(number: int, item: Item): ...

    @app.get("/find")
    def find(q: str = Query(..., min_length=3), page: int = 1, x_key: uuid.UUID = Header(...)): ...

    @app.post("/shown")
    def shown(body: dict = Body(..., examples=[{"a": 1}])): ...

    @app.post("/form")
    def form(a: str = Form(...), b: int = Form(...)): ...

    @app.post("/file")
    def file(file: bytes = File(...)): ...

    @app.get("/hidden/{n}", include_in_schema=False)
    def hidden(n: str): ...

    requests, notes = told(app)
    item = requests["POST /items/{number}"]
    assert item.path == "/items/7"
    body = json.loads(item.body)
    Item.model_validate(body)
    assert set(body) == {"name", "price", "count", "colour", "inner", "tags"}
    find_ = requests["GET /find"]
    assert find_.query == "q=q-7"
    assert uuid.UUID(dict(find_.headers)["x-key"])
    assert json.loads(requests["POST /shown"].body) == {"a": 1}
    assert requests["GET /hidden/{n}"].path == "/hidden/n-7"
    assert "/openapi.json" in notes
    assert not any("docs" in each or "openapi" in each for each in requests)
    answers = answered(app)  # what is made is what FastAPI accepts
    assert answers == {key: {200: 1} for key in requests}


def answered(app):
    """Return how an ASGI app answers what its routes give, by the requests' names."""
    requests, _ = discover(app)
    answers = Answers([request.name for request in requests])

    async def run():
        client = AsgiClient(app, 1, 5.0, Board(1))
        await client.start()
        await client.send([(i, request, 7) for i, request in enumerate(requests)], answers)
        await client.stop()

    asyncio.run(run())
    return {request.name: answers.statuses(i) for i, request in enumerate(requests)}


def test_flask():
    """Werkzeug's converters give fitting values; static files are left out."""
    from flask import Flask

    app = Flask("shop")

    def view(**arguments):
        return "ok"

    rules = {
        "/items/<int:number>": ["GET"],
        "/u/<name>/<any(red,blue):colour>/<path:rest>": ["GET"],
        "/two/<string(length=2):code>": ["GET"],
        "/top/<int(max=3):place>": ["GET"],
        "/f/<float:share>/<uuid:key>": ["PUT", "DELETE"],
    }
    for number, (rule, methods) in enumerate(rules.items()):
        app.add_url_rule(rule, f"view{number}", view, methods=methods)
    requests, notes = told(app)
    assert len(requests) == 6
    assert "/static" in notes
    client = app.test_client()
    for each in requests.values():
        answer = client.open(each.uri, method=each.method, headers=each.headers, data=each.body)
        assert answer.status_code == 200, each


def test_quart():
    """Quart has Flask's rules, and sockets that are left out."""
    from quart import Quart

    app = Quart("shop")

    @app.get("/items/<int:number>")
    async def item(number): ...

    @app.websocket("/live")
    async def live(): ...

    requests, notes = told(app)
    assert list(requests) == ["GET /items/<int:number>"]
    assert "/live" in notes


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_litestar():
    """Litestar's document gives bodies; its own pages are left out."""
    from litestar import Litestar, get, post

    @get("/items/{number:int}", sync_to_thread=False)
    def item(number: int, q: str) -> str:
        return "ok"

    @post("/items", sync_to_thread=False)
    def make(data: Entry) -> str:
        return "ok"

    app = Litestar([item, make])
    requests, notes = told(app)
    assert {200, 201} >= {status for each in answered(app).values() for status in each}
    assert requests["GET /items/{number:int}"].uri == "/items/7?q=q-7"
    assert json.loads(requests["POST /items"].body) == {"name": "name-7", "count": 1}
    assert "/schema" in notes


def test_bottle():
    """Bottle's filters give fitting values."""
    import bottle

    app = bottle.Bottle()
    app.route("/items/<number:int>/<name>", "GET", lambda **_: "ok")
    app.route("/any", "ANY", lambda: "ok")
    requests, _ = told(app)
    assert requests["GET /items/<number:int>/<name>"].path == "/items/7/name-7"
    assert "GET /any" in requests


def test_aiohttp():
    """Expressions get values that they match; sub-applications are followed, files left out."""
    from aiohttp import web

    async def view(request): ...

    app, inner = web.Application(), web.Application()
    app.router.add_get(r"/items/{number:\d+}", view)
    app.router.add_get(r"/hex/{digit:[a-f]}", view)
    app.router.add_route("*", "/any", view)
    app.router.add_static("/static", "/")
    inner.router.add_post("/deep/{id}", view)
    app.add_subapp("/inner", inner)
    requests, notes = told(app)
    assert requests["GET /items/{number}"].path == "/items/7"
    assert requests["GET /hex/{digit}"].path == "/hex/a"
    assert requests["POST /inner/deep/{id}"].path == "/inner/deep/id-7"
    assert {"GET /any", "POST /any"} < set(requests)
    assert "/static" in notes


DJANGO = """
    from django.conf import settings
    settings.configure(
        ALLOWED_HOSTS=[".shop.example"], ROOT_URLCONF="app", SECRET_KEY="x", DEBUG=False,
        MIDDLEWARE=["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"],
    )
    import django
    django.setup()
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse
    from django.urls import include, path, re_path
    from django.views import View

    def page(request, **arguments):
        return HttpResponse("ok")

    class Things(View):
        def get(self, request):
            return HttpResponse("ok")
        def post(self, request):
            return HttpResponse("ok")

    urlpatterns = [
        path("items/<int:pk>/", page),
        re_path(r"^year/(?P<year>[0-9]{4})/(?P<slug>[-a-z]+)/$", page),
        path("api/", include([path("things/", Things.as_view()), path("<uuid:key>/<slug:name>", page)])),
    ]
    application = get_wsgi_application()
"""


@pytest.mark.server
def test_django(tmp_path):
    """Patterns and expressions get values that they match, a host that is allowed and a token are sent: all is answered 200."""
    from check_apps import check

    ran = check(tmp_path, "app", "--loops", "2", "--format", "json", app=DJANGO)
    asked = ran.report["check"]["requests"]
    assert [each["name"] for each in asked] == [
        "GET /items/<int:pk>/",
        "GET /^year/(?P<year>[0-9]{4})/(?P<slug>[-a-z]+)/$",
        "GET /api/things/",
        "POST /api/things/",
        "GET /api/<uuid:key>/<slug:name>",
    ]
    assert [list(each["statuses"]) for each in asked] == [["200"]] * 5
    assert ran.code == 0


def test_a_middleware_around_the_app_hides_no_route():
    """Routes are found under middlewares, leakguard's own among them."""
    from starlette.applications import Starlette
    from starlette.middleware.gzip import GZipMiddleware
    from starlette.routing import Route

    from leakguard import LeakGuardMiddleware

    app = LeakGuardMiddleware(GZipMiddleware(Starlette(routes=[Route("/", lambda request: None)])))
    assert set(told(app)[0]) == {"GET /"}


def test_an_app_that_tells_no_routes():
    """A plain callable, and an app without any, are told how to name what to request."""
    from starlette.applications import Starlette

    async def plain(scope, receive, send): ...

    for app in (plain, Starlette()):
        with pytest.raises(ConfigError, match="--path"):
            discover(app)


def test_requests_get_the_names_of_the_routes_they_meet():
    """A path by a user is reported under the app's own name of its route, as the middleware would report it."""
    from flask import Flask
    from starlette.applications import Starlette
    from starlette.routing import Mount, Route

    starlette = Starlette(
        routes=[
            Route("/items/new", lambda request: None),
            Route("/items/{id:int}", lambda request: None),
            Mount("/shop", routes=[Route("/{rest:path}", lambda request: None)]),
        ]
    )
    asked = [Request("GET", path) for path in ("/items/{n}?a=1", "/items/new", "/shop/a/b/c", "/none")]
    assert [each.name for each in name(asked, starlette)] == [
        "GET /items/{id:int}",
        "GET /items/new",
        "GET /shop/{rest:path}",
        "GET /none",
    ]
    flask = Flask("shop")
    flask.add_url_rule("/items/<int:number>", "item", lambda number: "ok")
    assert name([Request("GET", "/items/{n}")], flask)[0].name == "GET /items/<int:number>"
    assert name([Request("GET", "/x")], object())[0].name == "GET /x"
