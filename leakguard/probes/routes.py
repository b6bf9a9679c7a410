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


def read_asgi(passage: Passage, scope: typing.Any) -> None:
    """Copy what names the route out of an ASGI scope into its passage. On the hot path: a few look-ups, no text made.

    Starlette and FastAPI put the matched route into the scope; its ``path`` is the template. An older Starlette puts only
    the endpoint and the parameters there.
    """
    passage.method = scope["method"]
    passage.root = scope.get("root_path")
    passage.endpoint = endpoint = scope.get("endpoint")
    route = scope.get("route")
    if route is not None:
        passage.template = getattr(route, "path", None)
        passage.path = scope.get("path_params") if passage.root else None
    elif endpoint is not None:
        passage.template = None
        passage.path = (scope["path"], scope.get("path_params"))
    else:
        passage.template = None
        passage.path = UNMATCHED if passage.status == 404 else scope["path"]


def read_wsgi(passage: Passage, environ: typing.Any) -> None:
    """Copy what names the route out of a WSGI environ into its passage.

    The middleware puts Flask's rule and Django's route there under ``ROUTE``; anyone else may do so too.
    """
    passage.method = environ.get("REQUEST_METHOD", "")
    passage.root = environ.get("SCRIPT_NAME")
    passage.path = None
    passage.endpoint = environ.get(ENDPOINT)
    passage.template = environ.get(ROUTE)
    if passage.template is None:
        passage.path = UNMATCHED if passage.status == 404 else environ.get("PATH_INFO", "")


class RouteNames:
    """Gives every passage the name of its route; remembers at most ``MAX_ROUTES`` names."""

    def __init__(self) -> None:
        self.endpoints: dict[str, Site] = {}
        self._names: set[str] = set()
        self._of_template = functools.lru_cache(maxsize=MAX_ROUTES)(self._bounded)
        self._of_path = functools.lru_cache(maxsize=2 * MAX_ROUTES)(self._normalised)

    def of_passage(self, passage: Passage) -> str:
        """Return the name of an ended passage's route, such as ``POST /telemetry`` or ``GET /bans/{player}``."""
        template, path = passage.template, passage.path
        if template is None and type(path) is str:
            name = self._of_path(passage.method, path[: 2 * MAX_LENGTH])
        elif type(template) is str and not passage.root:
            name = self._of_template(passage.method, template)
        else:
            name = self._bounded(passage.method, self._path_of(passage))
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

    def _path_of(self, passage: Passage) -> str:
        root, path = passage.root or "", passage.path
        if isinstance(passage.template, str):
            filled = path if isinstance(path, Mapping) else {}
            return normalise(_unfilled(str(root), filled), keep_templates=True) + passage.template
        if isinstance(path, tuple):  # an endpoint without its route: put the parameters' names back
            return normalise(_unfilled(str(path[0]), path[1] or {}), keep_templates=True)
        return normalise(str(path))

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
