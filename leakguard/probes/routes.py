"""Route names: the template where the framework tells it, a bounded normalisation of the path where it does not.

A name made from what clients send must not grow memory: path segments that look like identifiers become ``{}``, and past
``MAX_ROUTES`` names everything new is ``(other)``. Paths that no route matched are one name per method.
"""

from __future__ import annotations

import functools
import re
import types
import typing
from collections.abc import Mapping

from leakguard.probes import code
from leakguard.records import Site

if typing.TYPE_CHECKING:
    from leakguard.probes.requests import Passage

MAX_ROUTES = 500
MAX_LENGTH = 120  # characters of one name
ROUTE = "leakguard.route"  # where a WSGI environ carries the route's template
ENDPOINT = "leakguard.endpoint"  # and its view
OTHER = "(other)"
UNMATCHED = "(unmatched)"

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE"})
# An identifier: has a digit, or is long, or has characters that names in code do not have.
_IDENTIFIER = re.compile(r"\d|^.{25,}$|[^\w.~-]")
_MAX_SEGMENTS = 8
_MOST_WRAPPERS = 8


Clue = tuple[str, str, str | None, str]
"""What tells the name of a route: method, prefix that the app is mounted at, the framework's template, and where there is none
the path that the client sent, or ``UNMATCHED``. A plain tuple, for each request makes one."""

NO_CLUE: Clue = ("", "", None, "")


def read_asgi(passage: Passage, scope: typing.Any) -> None:
    """Copy what names the route out of an ASGI scope into its passage. On the hot path: a few look-ups, no text made.

    Starlette and FastAPI put the matched route into the scope; its ``path`` is the template. An older Starlette puts only
    the endpoint and the parameters there.
    """
    route = scope.get("route")
    root = scope.get("root_path") or ""  # a server may say that there is none
    passage.endpoint = endpoint = scope.get("endpoint")
    if route is not None:
        template = getattr(route, "path", None)
        if type(template) is str:
            passage.clue = (scope["method"], root, template, "")
            if root:
                passage.params = scope.get("path_params")
            return
    path = scope["path"]
    if endpoint is not None:
        passage.params = scope.get("path_params")
    elif passage.status == 404:
        path = UNMATCHED
    passage.clue = (scope["method"], root, None, path)


def read_wsgi(passage: Passage, environ: typing.Any) -> None:
    """Copy what names the route out of a WSGI environ into its passage.

    The middleware puts Flask's rule and Django's route there under ``ROUTE``; anyone else may do so too.
    """
    get = environ.get
    template = get(ROUTE)
    method, root = get("REQUEST_METHOD", ""), get("SCRIPT_NAME") or ""
    if type(template) is str:
        passage.endpoint = get(ENDPOINT)
        passage.clue = (method, root, template, "")
    else:
        passage.clue = (method, root, None, UNMATCHED if passage.status == 404 else get("PATH_INFO") or "")


class RouteNames:
    """Gives every passage the name of its route; remembers at most ``MAX_ROUTES`` names."""

    def __init__(self) -> None:
        self.endpoints: dict[str, Site] = {}
        self._names: set[str] = set()
        self._of_path = functools.lru_cache(maxsize=2 * MAX_ROUTES)(self._normalised)

    def of_passage(self, passage: Passage) -> str:
        """Return the name of an ended passage's route, such as ``POST /telemetry`` or ``GET /bans/{player}``."""
        method, root, template, path = passage.clue
        params = passage.params if isinstance(passage.params, Mapping) else {}
        if template is not None and root:
            mounted = normalise(_unfilled(root, params), keep_templates=True)
            name = self._bounded(method, mounted + template)
        elif template is not None:
            name = self._bounded(method, template)
        elif params:  # an endpoint without its route: put the parameters' names back
            name = self._bounded(method, normalise(_unfilled(path, params), keep_templates=True))
        else:
            name = self._of_path(method, path[: 2 * MAX_LENGTH])
        if passage.endpoint is not None and name not in self.endpoints:
            self._note_endpoint(name, passage.endpoint)
        return name

    def _normalised(self, method: str, path: str) -> str:
        return self._bounded(method, UNMATCHED if path == UNMATCHED else normalise(path))

    def _note_endpoint(self, name: str, endpoint: object) -> None:
        """Remember where the code of a route's endpoint begins: allocation tracebacks are matched with it."""
        place = _place_of(endpoint)
        if place is not None and len(self.endpoints) < MAX_ROUTES:
            self.endpoints[name] = place

    def _bounded(self, method: str, path: str) -> str:
        name = f"{method if method in _METHODS else 'OTHER'} {path[:MAX_LENGTH]}"
        if name not in self._names:
            if len(self._names) >= MAX_ROUTES:
                return OTHER
            self._names.add(name)
        return name


def _place_of(endpoint: object) -> Site | None:
    """Return where the code of an endpoint is; of a class of views its name with a dot behind it, for all of its methods."""
    for _ in range(_MOST_WRAPPERS):
        if type(endpoint) is types.MethodType:
            endpoint = endpoint.__func__
        if type(endpoint) is not types.FunctionType:
            break
        # ``functools.wraps`` says what it wraps, Flask's and Django's ``as_view`` which class the view is made of.
        inner = endpoint.__dict__.get("view_class", endpoint.__dict__.get("__wrapped__"))
        if inner is None:
            its_code = endpoint.__code__
            return code.site(its_code.co_filename, its_code.co_firstlineno, its_code.co_qualname)
        endpoint = inner
    if isinstance(endpoint, type):
        methods = type.__dict__["__dict__"].__get__(endpoint)
        for method in methods.values():
            if type(method) is types.FunctionType:
                its_code = method.__code__
                name = f"{type.__dict__['__qualname__'].__get__(endpoint)}."
                return code.site(its_code.co_filename, its_code.co_firstlineno, name)
    return None


def normalise(path: str, *, keep_templates: bool = False) -> str:
    """Return a path with its identifiers blurred: ``/users/4711/cart`` becomes ``/users/{}/cart``. Long ones are cut."""
    return _normalised(path[: 2 * MAX_LENGTH], keep_templates)


@functools.lru_cache(maxsize=1024)
def _normalised(path: str, keep_templates: bool) -> str:
    segments = path.split("/")
    blurred = [
        "{}" if _IDENTIFIER.search(segment) and not (keep_templates and segment.startswith("{")) else segment
        for segment in segments[:_MAX_SEGMENTS]
    ]
    return "/".join(blurred) + ("/…" if len(segments) > _MAX_SEGMENTS else "")


def _unfilled(path: str, params: Mapping[str, object]) -> str:
    """Return ``path`` with the segments that are a parameter's value replaced by the parameter's name in braces."""
    names = {str(value): name for name, value in params.items() if isinstance(value, str | int)}
    return "/".join("{" + names[segment] + "}" if segment in names else segment for segment in path.split("/"))
