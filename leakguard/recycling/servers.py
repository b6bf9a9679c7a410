"""Which server runs this process, found by looking at it: at the signal handler and at the main thread's frames.

``sys.modules`` is never proof: uvicorn is loaded under gunicorn, and gunicorn by a test. What is found are the living
objects of the server (the gunicorn worker, the uvicorn server), which the strategies then drive.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import sys
import threading
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

from leakguard.recycling.term import unwrapped

# Servers that are known by the package whose code the main thread runs, and what they are called.
_BY_FRAMES = {
    "hypercorn": "hypercorn",
    "granian": "granian",
    "waitress": "waitress",
    "daphne": "daphne",
    "werkzeug": "werkzeug",
    "aiohttp": "aiohttp",
    "wsgiref": "wsgiref",
    "cheroot": "cheroot",
}

# gunicorn worker classes by the class that implements them, nearest first in the class's own order.
_KINDS = {
    ("gunicorn.workers.sync", "SyncWorker"): "sync",
    ("gunicorn.workers.gthread", "ThreadWorker"): "gthread",
    ("gunicorn.workers.gasgi", "ASGIWorker"): "asgi",
    ("uvicorn_worker._workers", "UvicornWorker"): "uvicorn",
    ("uvicorn.workers", "UvicornWorker"): "uvicorn",
}


class Server(typing.NamedTuple):
    """The server that runs this process.

    Attributes:
        name: ``gunicorn``, ``uvicorn``, ``hypercorn``, ... or ``unknown``.
        version: of the installed distribution, or ``""``.
        kind: gunicorn's worker class (``sync``, ``gthread``, ``asgi``, ``uvicorn``, ``other``), granian's interface, else
            ``""``.
        workers: how many worker processes are configured; ``None`` when that cannot be known.
        supervised: a parent of the same server starts a new worker when this one ends.
        worker: the server's own object that a strategy drives: gunicorn's worker, granian's server (a fork's copy of the
            parent's), hypercorn's ``worker_serve`` with its variables, the ``uwsgi`` module.
        uvicorn: the ``uvicorn.Server`` of this process, when its signal handler leads to it.
    """

    name: str
    version: str = ""
    kind: str = ""
    workers: int | None = None
    supervised: bool = False
    worker: Any = None
    uvicorn: Any = None

    def __str__(self) -> str:
        kind = f", {self.kind} worker" if self.kind else ""
        count = "" if self.workers is None else f", {self.workers} worker{'s' if self.workers != 1 else ''}"
        return f"{self.name}{' ' + self.version if self.version else ''}{kind}{count}"


def detect() -> Server:
    """Return the server that runs this process. Costs about 50 microseconds; call it in the worker, not at import."""
    worker = _gunicorn_worker()
    uvicorn = _uvicorn_server()
    if worker is not None:
        return Server(
            "gunicorn", _version("gunicorn"), _kind(worker), _count(worker.cfg.workers), True, worker, uvicorn
        )
    if uvicorn is not None:
        count = _count(uvicorn.config.workers)
        # With --reload the parent waits for files to change and starts nothing when this process ends.
        supervised = multiprocessing.parent_process() is not None and (count or 1) > 1 and not uvicorn.config.reload
        return Server("uvicorn", _version("uvicorn"), "", count, supervised, None, uvicorn)
    name = _other_server()
    look = {"hypercorn": _look_at_hypercorn, "granian": _look_at_granian, "uwsgi": _look_at_uwsgi}.get(name)
    if look is not None:
        return look()
    return Server(name, _version(name) if name != "unknown" else "")


def in_worker() -> bool:
    """Return whether this process serves requests right now, or boots to do so, under a server with a strategy.

    False in gunicorn's arbiter (``--preload``), in a reloader's parent, in a shell and in a test. True lets the guard of a
    WSGI app start at once, where a worker otherwise shows itself only with its first request.
    """
    if _gunicorn_worker() is not None or _uvicorn_server() is not None:
        return True
    found = _other_server()
    if found == "uwsgi":
        return bool(sys.modules["uwsgi"].worker_id())  # 0 in the master, which loads the app before it forks
    return found in {"granian", "hypercorn"} and multiprocessing.parent_process() is not None


def after_fork(callback: Callable[[], object]) -> None:
    """Have ``callback`` called in every worker that uWSGI's master will fork, when this process is that master.

    A worker that got no request yet would otherwise be nobody that its siblings could count on.
    """
    uwsgi: Any = sys.modules.get("uwsgi")
    if uwsgi is None or not hasattr(uwsgi, "worker_id") or uwsgi.worker_id():
        return
    others = getattr(uwsgi, "post_fork_hook", None)  # uwsgidecorators keep theirs there

    def hook() -> None:
        if others is not None:
            others()
        callback()

    uwsgi.post_fork_hook = hook


def _look_at_hypercorn() -> Server:
    # A parent of hypercorn's own restarts workers; with -w 0 the process is alone.
    supervised = multiprocessing.parent_process() is not None
    if any(frame.f_globals.get("__name__") == "hypercorn.trio.run" for frame in _main_frames()):
        return Server("hypercorn", _version("hypercorn"), "trio", None, supervised)
    serve = _running("hypercorn.asyncio.run", "worker_serve")
    count = _count(serve["config"].workers) if serve is not None else None
    return Server("hypercorn", _version("hypercorn"), "", count, supervised, serve)


def _look_at_granian() -> Server:
    # Workers are forked while the parent runs its server's methods: its object is in the frames below ours.
    for frame in _main_frames():
        server: Any = frame.f_locals.get("self")
        if frame.f_code.co_name in {"startup", "_serve_loop"} and _is(
            server, "granian.server.common", "AbstractServer"
        ):
            supervised = multiprocessing.current_process().name == "granian-worker" and server.pid == os.getppid()
            interface = str(getattr(server.interface, "value", server.interface))
            return Server("granian", _version("granian"), interface, _count(server.workers), supervised, server)
    return Server("granian", _version("granian"))


def on_term(server: Server) -> Callable[[], object] | None:
    """Return what this server's worker does at SIGTERM, where that is known from its objects and not from its handler."""
    if server.name == "gunicorn" and server.kind == "asgi":
        return typing.cast("Callable[[], object]", server.worker.handle_exit_signal)
    for frame in _main_frames() if server.name == "granian" else ():
        shutdown: Any = frame.f_locals.get("shutdown_event")
        if frame.f_globals.get("__name__") == "granian.server.mp" and hasattr(shutdown, "add_cb"):
            return typing.cast("Callable[[], object]", shutdown.set)
    return None


def _look_at_uwsgi() -> Server:
    uwsgi: Any = sys.modules["uwsgi"]
    version = uwsgi.version.decode() if isinstance(uwsgi.version, bytes) else str(uwsgi.version)
    options = {name.decode() if isinstance(name, bytes) else name for name in uwsgi.opt}
    kind = "" if options & {"enable-threads", "threads", "gevent", "greenlet"} else "thread-less"
    return Server("uwsgi", version, kind, _count(uwsgi.numproc), uwsgi.masterpid() != 0, uwsgi)


def _running(module: str, function: str) -> dict[str, Any] | None:
    """Return the variables of the coroutine of that name that the main thread's event loop was started with."""
    for frame in _main_frames():
        if frame.f_globals.get("__name__") == "asyncio.runners" and frame.f_code.co_name == "run":
            running = getattr(frame.f_locals.get("coro"), "cr_frame", None)
            if (
                running is not None
                and running.f_code.co_name == function
                and running.f_globals.get("__name__") == module
            ):
                return dict(running.f_locals)
    return None


def _gunicorn_worker() -> Any:
    for candidate in _candidates("gunicorn.workers.base", "init_process"):
        # `pid` tells the worker's process from the arbiter, which keeps the same objects for its children.
        if _is(candidate, "gunicorn.workers.base", "Worker") and candidate.pid == os.getpid():
            return candidate
    return None


def _uvicorn_server() -> Any:
    for candidate in _candidates("uvicorn.server", "run"):
        if _is(candidate, "uvicorn.server", "Server"):
            return candidate
    return None


def _candidates(module: str, function: str) -> Iterator[Any]:
    """Yield the owner of the SIGTERM handler, then ``self`` of the main thread's frames of that function.

    The handler is gone where the app has put in its own, and native asgi workers hand it to the event loop.
    """
    handler = unwrapped(signal.getsignal(signal.SIGTERM))
    if type(handler) is types.MethodType:
        yield handler.__self__
    for frame in _main_frames():
        name = frame.f_globals.get("__name__")
        if name == module and frame.f_code.co_name == function:
            yield frame.f_locals.get("self")
        elif name == "asyncio.runners" and frame.f_code.co_name == "run":
            # gunicorn's uvicorn worker runs a coroutine of its own, which keeps the server in a variable.
            running = getattr(frame.f_locals.get("coro"), "cr_frame", None)
            yield running.f_locals.get("server") if running is not None else None


def _main_frames() -> Iterator[types.FrameType]:
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is(candidate: object, module: str, name: str) -> bool:
    return any(base.__module__ == module and base.__qualname__ == name for base in type(candidate).__mro__)


def _kind(worker: object) -> str:
    for base in type(worker).__mro__:
        kind = _KINDS.get((base.__module__, base.__qualname__))
        if kind is not None:
            return kind
    return "other"


def _other_server() -> str:
    # The uwsgi module is put there by uWSGI's own binary; importing it would find a user's uwsgi.py.
    if hasattr(sys.modules.get("uwsgi"), "worker_id"):
        return "uwsgi"
    if hasattr(sys.modules.get("mod_wsgi"), "process_group"):
        return "mod_wsgi"
    if multiprocessing.current_process().name.startswith("granian"):
        return "granian"
    for frame in _main_frames():
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package in _BY_FRAMES:
            return _BY_FRAMES[package]
    return "unknown"


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


@functools.cache
def _version(distribution: str) -> str:
    told = getattr(sys.modules.get(distribution), "__version__", None)
    if type(told) is str:
        return told
    from importlib import metadata  # a MiB, where the app has not imported it itself

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""
