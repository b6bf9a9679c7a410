"""Which strategy fits the server that was found, and why none does."""

from __future__ import annotations

from leakguard.recycling.servers import Server
from leakguard.recycling.strategies.base import Strategy
from leakguard.recycling.strategies.gunicorn import GunicornStrategy
from leakguard.recycling.strategies.none import NoStrategy
from leakguard.recycling.strategies.uvicorn import UvicornStrategy

_LEFT_ALONE = "Memory over the ceiling is relieved and reported, and readiness turns off; the process is never ended."

# What a self-made exit does there, measured; it is why these are left alone rather than tried.
_WHY = {
    "uvicorn": "nothing would start it again and its listening socket would close with it",
    "hypercorn": "a worker that ends by a signal or a code other than 0 stops the whole server",
    "granian": "a worker that ends by itself stops the whole server unless it runs with --respawn-failed-workers",
    "waitress": "it is a single process: its listening socket would close with it",
    "daphne": "it is a single process: its listening socket would close with it",
    "uwsgi": "its workers have no lossless way out that leakguard drives yet; its own reload-on-rss is one",
    "mod_wsgi": "its workers are Apache's to restart",
    "werkzeug": "it is a development server: nothing would start it again",
    "unknown": "what would start this process again is not known",
}
_DEFAULT_WHY = "leakguard does not replace workers there yet"


def choose(option: str, server: Server) -> Strategy:
    """Return the strategy for ``server``, given the ``recycle`` option (``auto``, ``none`` or a strategy's name)."""
    if option == "none":
        return NoStrategy(f"{server}: recycle is none. {_LEFT_ALONE}", server.workers)
    if option not in {"auto", server.name}:
        return NoStrategy(
            f"{server}: recycle is {option}, but that is not what runs here. {_LEFT_ALONE}", server.workers
        )
    if server.name == "gunicorn":
        if server.kind == "other":
            return NoStrategy(
                f"{server}: no lossless way is known for this worker class. {_LEFT_ALONE}", server.workers
            )
        return GunicornStrategy(server)
    if server.name == "uvicorn" and server.supervised:
        return UvicornStrategy(server)
    return NoStrategy(f"{server}: {_WHY.get(server.name, _DEFAULT_WHY)}. {_LEFT_ALONE}", server.workers)
