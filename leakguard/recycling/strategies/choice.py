"""Which strategy fits the server that was found, and why none does."""

from __future__ import annotations

from leakguard.recycling import link
from leakguard.recycling.servers import Server
from leakguard.recycling.strategies.base import Strategy
from leakguard.recycling.strategies.exit import ExitStrategy
from leakguard.recycling.strategies.granian import GranianStrategy
from leakguard.recycling.strategies.gunicorn import GunicornStrategy
from leakguard.recycling.strategies.hypercorn import HypercornStrategy
from leakguard.recycling.strategies.none import NoStrategy
from leakguard.recycling.strategies.singles import find_single
from leakguard.recycling.strategies.supervised import SupervisedStrategy
from leakguard.recycling.strategies.uvicorn import UvicornStrategy
from leakguard.recycling.strategies.uwsgi import UwsgiStrategy

_LEFT_ALONE = (
    "Memory over the ceiling is relieved and reported, over the hard ceiling readiness turns off; "
    "the process is never ended."
)

_WAY_OUT = "start it with `leakguard run -- ...` and its successor takes over the socket"

# What a self-made exit does there, measured; it is why these are left alone rather than tried.
_WHY = {
    "uvicorn": f"nothing would start it again and its listening socket would close with it; {_WAY_OUT}",
    "hypercorn": f"it is a single process (-w 0): its listening socket would close with it; {_WAY_OUT}",
    "granian": "its workers are not forked by the parent, so what it would do when one ends cannot be seen",
    "waitress": f"it is a single process: its listening socket would close with it; {_WAY_OUT}",
    "daphne": f"it is a single process: its listening socket would close with it; {_WAY_OUT}",
    "uwsgi": "it runs without a master: nothing would start it again",
    "mod_wsgi": "its workers are Apache's to restart",
    "werkzeug": "it is a development server: nothing would start it again",
    "unknown": "what would start this process again is not known",
}
_DEFAULT_WHY = "leakguard does not replace workers there yet"


def choose(option: str, server: Server) -> Strategy:
    """Return the strategy for ``server``, given the ``recycle`` option (``auto``, ``none``, ``exit`` or a strategy's name).

    ``exit`` is for where no other strategy acts: a server that replaces its workers is still asked to.
    """
    if option == "exit":
        known = choose("auto", server)
        return known if known.acts else ExitStrategy(server)
    if option == "none":
        return NoStrategy(f"{server}: recycle is none. {_LEFT_ALONE}", server.workers)
    if option not in {"auto", server.name}:
        return NoStrategy(
            f"{server}: recycle is {option}, but that is not what runs here. {_LEFT_ALONE}", server.workers
        )
    supervisor = link.current()
    single = find_single(server) if supervisor is not None else None
    if supervisor is not None and single is not None and supervisor.unshared and not supervisor.listening:
        why = "under leakguard run, but on a port of the system's choice, which a successor would not get"
        return NoStrategy(f"{server}: {why}. {_LEFT_ALONE}", server.workers)
    if supervisor is not None and single is not None:
        return SupervisedStrategy(server, single, supervisor)
    if server.name == "gunicorn":
        if server.kind == "other":
            return NoStrategy(
                f"{server}: no lossless way is known for this worker class. {_LEFT_ALONE}", server.workers
            )
        return GunicornStrategy(server)
    if server.name == "uvicorn" and server.supervised:
        return UvicornStrategy(server)
    if server.name == "hypercorn" and server.kind == "trio":
        return NoStrategy(f"{server}: its graceful end is known for asyncio and uvloop only. {_LEFT_ALONE}")
    if server.name == "hypercorn" and server.supervised:
        return HypercornStrategy(server)
    if server.name == "granian" and server.supervised:
        return GranianStrategy(server)
    if server.name == "uwsgi" and server.kind == "thread-less":
        why = "Python threads are off there, so nothing can watch: start it with --enable-threads"
        return NoStrategy(f"{server}: {why}. {_LEFT_ALONE}", server.workers)
    if server.name == "uwsgi" and server.supervised:
        return UwsgiStrategy(server)
    return NoStrategy(f"{server}: {_WHY.get(server.name, _DEFAULT_WHY)}. {_LEFT_ALONE}", server.workers)
