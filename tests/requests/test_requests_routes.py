"""Route names: templates where known, bounded normalisation where not."""

from __future__ import annotations

import types
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard.probes.requests import enter
from leakguard.probes.routes import MAX_ROUTES, OTHER, RouteNames, normalise, read_asgi, read_wsgi


def asgi_name(names: RouteNames, **scope: typing.Any) -> str:
    passage = enter(scope)
    passage.status = scope.pop("status", 200)
    read_asgi(passage, {"method": "GET", "path": "/", "root_path": "", **scope})
    return names.of_passage(passage)


def wsgi_name(names: RouteNames, **environ: typing.Any) -> str:
    passage = enter(environ)
    passage.status = environ.pop("status", 200)
    read_wsgi(passage, {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SCRIPT_NAME": "", **environ})
    return names.of_passage(passage)


def route(path: str) -> types.SimpleNamespace:
    return types.SimpleNamespace(path=path)


def test_a_starlette_template_names_the_route() -> None:
    """The route object in the scope gives its template, whatever the path was."""
    assert asgi_name(RouteNames(), path="/bans/77", route=route("/bans/{player}")) == "GET /bans/{player}"


def test_a_mounted_template_has_its_prefix_without_values() -> None:
    """A mount's parameters are put back by name, so that a tenant's number is not part of the route."""
    name = asgi_name(
        RouteNames(),
        path="/tenants/4711/users",
        root_path="/tenants/4711",
        route=route("/users"),
        path_params={"tenant": "4711"},
    )
    assert name == "GET /tenants/{tenant}/users"


def test_an_endpoint_without_its_route_gets_its_parameters_back() -> None:
    """An older Starlette tells the parameters only: they are blurred by name."""
    name = asgi_name(RouteNames(), path="/items/abc", endpoint=print, path_params={"item": "abc"})
    assert name == "GET /items/{item}"


def test_a_server_may_say_that_there_is_no_prefix() -> None:
    """``None`` where a text belongs is no prefix, and costs no count."""
    assert asgi_name(RouteNames(), path="/a", root_path=None, route=route("/a")) == "GET /a"
    assert wsgi_name(RouteNames(), PATH_INFO="/a", SCRIPT_NAME=None) == "GET /a"


def test_unmatched_paths_are_one_route() -> None:
    """Scanners that ask for a thousand missing files make one name."""
    names = RouteNames()
    assert {asgi_name(names, path=f"/wp-{i}.php", status=404) for i in range(1000)} == {"GET (unmatched)"}
    assert {wsgi_name(names, PATH_INFO=f"/wp-{i}.php", status=404) for i in range(1000)} == {"GET (unmatched)"}


def test_a_template_in_the_environ_names_the_route() -> None:
    """What the middleware reads from Flask or Django, and what others put there, is the name."""
    assert wsgi_name(RouteNames(), PATH_INFO="/u/5", **{"leakguard.route": "/u/<pk>"}) == "GET /u/<pk>"


@pytest.mark.parametrize(
    ("path", "blurred"),
    [
        ("/users/4711/cart", "/users/{}/cart"),
        ("/files/3f2a9c", "/files/{}"),
        ("/v/" + "x" * 30, "/v/{}"),
        ("/plain/words", "/plain/words"),
        ("/a b", "/{}"),
        ("/" + "/".join("abcdefghij"), "/a/b/c/d/e/f/g/…"),
    ],
)
def test_identifiers_are_blurred(path: str, blurred: str) -> None:
    """Segments that look like identifiers become braces; words stay."""
    assert normalise(path) == blurred


@given(st.lists(st.text(max_size=300), max_size=50), st.text(max_size=20))
def test_names_are_bounded_and_printable_in_length(paths: list[str], method: str) -> None:
    """Whatever clients send, a name is short and the method one of the known ones."""
    names = RouteNames()
    for path in paths:
        name = asgi_name(names, path=path, method=method)
        assert len(name) < 140


def test_past_the_bound_everything_new_is_other() -> None:
    """The number of names is bounded; the known ones keep their names."""
    names = RouteNames()
    letters = "abcdefghijklmnopqrstuvwxyz"
    seen = {asgi_name(names, path=f"/{a}/{b}") for a in letters for b in letters}
    assert len(seen) == MAX_ROUTES + 1
    assert OTHER in seen
    assert asgi_name(names, path="/a/a") == "GET /a/a"


def test_endpoints_are_remembered_by_code() -> None:
    """The place of a route's endpoint is known, for matching allocation tracebacks, without keeping the function."""
    names = RouteNames()
    asgi_name(names, path="/", route=route("/r"), endpoint=test_endpoints_are_remembered_by_code)
    assert names.endpoints["GET /r"].function == "test_endpoints_are_remembered_by_code"
