"""The middleware around an app whose source does not know of it: put there where each server has loaded the app.

An app that has the middleware already keeps its own options: one that was made somewhere inside, and one that Starlette or
FastAPI is about to make (``add_middleware``), lends its options to ours, which lies outermost and lets it rest.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

App = Callable[..., Any]


def wrap_asgi(app: App) -> App:
    """Return the app with the middleware around it."""
    from leakguard.integrations.asgi import LeakGuardMiddleware

    return app if type(app) is LeakGuardMiddleware else _made(LeakGuardMiddleware, app, _options_of_starlette(app))


def wrap_wsgi(app: App) -> App:
    """Return the app with the middleware around it."""
    from leakguard.integrations.wsgi import LeakGuardWSGI

    return app if type(app) is LeakGuardWSGI else _made(LeakGuardWSGI, app, None)


def _made(middleware: Callable[..., App], app: App, options: dict[str, Any] | None) -> App:
    from leakguard.errors import ConfigError
    from leakguard.guard import known_config

    try:
        if options is not None:
            return middleware(app, **options)
        return middleware(app, config=known_config())
    except ConfigError as error:
        sys.stderr.write(f"leakguard: running without it: {error}\n")
        return app


def _options_of_starlette(app: object) -> dict[str, Any] | None:
    """Return the options of the middleware that Starlette will make when first called; outer layers are looked through."""
    from leakguard.integrations.asgi import LeakGuardMiddleware

    for _ in range(20):
        for each in getattr(app, "user_middleware", None) or ():
            if getattr(each, "cls", None) is LeakGuardMiddleware:
                return dict(getattr(each, "kwargs", {}))
        app = getattr(app, "app", None)
        if app is None:
            break
    return None


# --------------------------------------------------------------------------------------------- where servers load


def _uvicorn(module: Any) -> None:
    original = module.Config.load

    @functools.wraps(original)
    def load(self: Any) -> None:
        original(self)
        self.loaded_app = wrap_asgi(self.loaded_app)

    module.Config.load = load


def _gunicorn(module: Any) -> None:
    original = module.Worker.load_wsgi

    @functools.wraps(original)
    def load_wsgi(self: Any) -> None:
        original(self)
        kinds = {base.__module__.partition(".")[0] for base in type(self).__mro__}
        if not kinds & {"uvicorn", "uvicorn_worker"}:  # those load through uvicorn's own configuration
            self.wsgi = wrap_wsgi(self.wsgi)

    module.Worker.load_wsgi = load_wsgi


def _gunicorn_asgi(module: Any) -> None:
    original = module.ASGIWorker.load_wsgi

    @functools.wraps(original)
    def load_wsgi(self: Any) -> None:
        original(self)
        self.asgi = wrap_asgi(self.asgi)

    module.ASGIWorker.load_wsgi = load_wsgi


def _hypercorn(module: Any) -> None:
    for name, wrap in (("ASGIWrapper", wrap_asgi), ("WSGIWrapper", wrap_wsgi)):
        kind = getattr(module, name)
        kind.__init__ = _with_app(kind.__init__, wrap)


def _waitress(module: Any) -> None:
    original = module.create_server

    @functools.wraps(original)
    def create_server(application: App, *arguments: Any, **more: Any) -> Any:
        return original(None if application is None else wrap_wsgi(application), *arguments, **more)

    module.create_server = create_server


def _daphne(module: Any) -> None:
    module.Server.__init__ = _with_app(module.Server.__init__, wrap_asgi, "application")


def _granian(module: Any) -> None:
    for name, wrap in (
        ("_spawn_asgi_worker", wrap_asgi),
        ("_spawn_asgi_lifespan_worker", wrap_asgi),
        ("_spawn_wsgi_worker", wrap_wsgi),
    ):
        setattr(module.MPServer, name, staticmethod(_with_loader(getattr(module.MPServer, name), wrap)))


def _with_app(original: Callable[..., None], wrap: Callable[[App], App], name: str = "app") -> Callable[..., None]:
    @functools.wraps(original)
    def init(self: Any, *arguments: Any, **more: Any) -> None:
        if arguments:
            arguments = (wrap(arguments[0]), *arguments[1:])
        elif name in more:
            more[name] = wrap(more[name])
        original(self, *arguments, **more)

    return init


def _with_loader(original: Callable[..., Any], wrap: Callable[[App], App]) -> Callable[..., Any]:
    @functools.wraps(original)
    def spawned(number: int, process_name: str | None, loader: Callable[[], App], *more: Any, **named: Any) -> Any:
        return original(number, process_name, lambda: wrap(loader()), *more, **named)

    return spawned


PATCHES: dict[str, Callable[[Any], None]] = {
    "uvicorn.config": _uvicorn,
    "gunicorn.workers.base": _gunicorn,
    "gunicorn.workers.gasgi": _gunicorn_asgi,
    "hypercorn.app_wrappers": _hypercorn,
    "waitress.server": _waitress,
    "daphne.server": _daphne,
    "granian.server.mp": _granian,
}
