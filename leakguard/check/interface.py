"""What an app speaks: found out from its type and signature, without importing any framework."""

from __future__ import annotations

import enum
import functools
import inspect
import types
import typing


class Interface(enum.StrEnum):
    """How an app is spoken to."""

    ASGI = "asgi"
    WSGI = "wsgi"
    AIOHTTP = "aiohttp"


# The modules that the classes of apps are defined in; a subclass inherits what it speaks. The first prefix that fits counts.
_BY_MODULE = (
    ("aiohttp.web", Interface.AIOHTTP),
    ("django.core.handlers.asgi", Interface.ASGI),
    ("channels.", Interface.ASGI),
    ("django.core.handlers.wsgi", Interface.WSGI),
    ("django.contrib.staticfiles.handlers", None),  # both; its __call__ tells
    ("starlette.", Interface.ASGI),
    ("fastapi.", Interface.ASGI),
    ("litestar.", Interface.ASGI),
    ("starlite.", Interface.ASGI),
    ("quart.", Interface.ASGI),
    ("sanic.", Interface.ASGI),
    ("blacksheep.", Interface.ASGI),
    ("falcon.asgi", Interface.ASGI),
    ("falcon.", Interface.WSGI),
    ("flask.", Interface.WSGI),
    ("bottle", Interface.WSGI),
    ("pyramid.", Interface.WSGI),
    ("webob.", Interface.WSGI),
    ("cherrypy.", Interface.WSGI),
)
_WRAPPED = (
    "app",
    "application",
    "wsgi_app",
    "asgi_app",
    "wsgi_application",
    "other_asgi_app",
    "other_wsgi_app",
    "wrapped",
    "_app",
)
_DEEPEST = 20


def detect(app: object) -> Interface | None:
    """Return what ``app`` speaks, ``None`` when it cannot be told.

    In order: the framework that its class comes from, what its ``__call__`` is (a coroutine function; two arguments called
    ``environ`` and ``start_response``; their number), and of a middleware that tells nothing, the app that it wraps.
    """
    found = (_of_framework(type(each)) or _of_callable(each) for each in wrapped(app))
    return next((interface for interface in found if interface is not None), None)


def is_double(app: object) -> bool:
    """Say whether an ASGI app is of the old kind, called twice: ``app(scope)`` gives what takes ``receive`` and ``send``."""
    if isinstance(app, type):
        return True
    call = _function(app)
    if call is None or _is_coroutine(call):
        return False
    return _required(call) == 1


def is_factory(app: object) -> bool:
    """Say whether ``app`` can be called without arguments to get an app; true of no app itself."""
    if not callable(app):
        return False
    if isinstance(app, type):
        return _required(app) == 0 and detect_class(app) is None
    call = _function(app)
    return call is not None and _required(call) == 0 and not _takes_anything(call) and _of_framework(type(app)) is None


def detect_class(app: type) -> Interface | None:
    """Return what a class speaks that is itself the app: an ASGI 2 app takes the scope, a WSGI one the environ."""
    if _of_framework(app) is not None:
        return None  # a framework's class is a factory, if anything
    named = _names(app)
    if named[:1] == ["scope"] and "__call__" in _members(app):
        return Interface.ASGI
    return Interface.WSGI if named[:2] == ["environ", "start_response"] else None


def _of_framework(cls: type) -> Interface | None:
    for base in cls.__mro__:
        module = _module(base)
        for prefix, interface in _BY_MODULE:
            if module == prefix.rstrip(".") or module.startswith(prefix):
                return interface
    return None


def _of_callable(app: object) -> Interface | None:
    if isinstance(app, type):
        return detect_class(app)
    call = _function(app)
    if call is None:
        return None
    if _is_coroutine(call):
        return Interface.ASGI
    named = _names(call)
    if named[:1] == ["scope"]:
        return Interface.ASGI
    if named[:1] in (["environ"], ["env"], ["wsgi_environ"]) or "start_response" in named:
        return Interface.WSGI
    return {1: Interface.ASGI, 2: Interface.WSGI, 3: Interface.ASGI}.get(_required(call) or 0)


def _function(app: object) -> typing.Callable[..., object] | None:
    """Return the function behind a callable: of an instance its class's ``__call__``, bound so that ``self`` is not counted."""
    while isinstance(app, functools.partial):
        if app.args or app.keywords:
            return app if not _is_coroutine(app.func) else app.func
        app = app.func
    if isinstance(app, types.FunctionType | types.MethodType | types.BuiltinFunctionType):
        return app
    if isinstance(app, type) or not callable(app):
        return None
    call = getattr(type(app), "__call__", None)  # noqa: B004
    return types.MethodType(call, app) if isinstance(call, types.FunctionType) else getattr(app, "__call__", None)  # noqa: B004


def _is_coroutine(call: object) -> bool:
    return inspect.iscoroutinefunction(inspect.unwrap(call)) or inspect.iscoroutinefunction(call)  # type: ignore[arg-type]


def _parameters(call: typing.Callable[..., object]) -> list[inspect.Parameter] | None:
    try:
        return list(inspect.signature(call).parameters.values())
    except (TypeError, ValueError):
        return None


def _required(call: typing.Callable[..., object]) -> int | None:
    """Return how many positional arguments must be given; ``None`` when unknown."""
    parameters = _parameters(call)
    if parameters is None:
        return None
    return sum(p.default is p.empty and p.kind not in {p.VAR_POSITIONAL, p.VAR_KEYWORD} for p in parameters)


def _takes_anything(call: typing.Callable[..., object]) -> bool:
    return any(p.kind is p.VAR_POSITIONAL for p in _parameters(call) or ())


def _names(call: typing.Callable[..., object]) -> list[str]:
    return [p.name for p in _parameters(call) or ()]


def _wrapped(app: object) -> object | None:
    if isinstance(app, type | types.FunctionType | types.ModuleType):
        return None
    held = getattr(app, "__dict__", {})
    return next((held[name] for name in _WRAPPED if callable(held.get(name))), None)


def _module(cls: type) -> str:
    module = cls.__dict__.get("__module__")
    return module if isinstance(module, str) else ""


def wrapped(app: object) -> typing.Iterator[object]:
    """Yield an app and, one after the other, the apps that its middlewares wrap."""
    for _ in range(_DEEPEST):
        yield app
        inner = _wrapped(app)
        if inner is None:
            return
        app = inner


def frameworks(cls: type) -> list[str]:
    """Return the top-level packages that a class and its bases come from, the nearest first."""
    return list(dict.fromkeys(_module(base).partition(".")[0] for base in cls.__mro__))


def _members(cls: type) -> set[str]:
    return {name for base in cls.__mro__[:-1] for name in base.__dict__}
