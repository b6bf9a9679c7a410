"""Which strategy fits the server that was found, and why none does.

A worker runs under one server: each strategy is imported where it is chosen.
"""

from __future__ import annotations

from leakguard.recycling import link
from leakguard.recycling.servers import Server
from leakguard.recycling.strategies.base import Strategy
from leakguard.recycling.strategies.none import NoStrategy

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
_WHY_KIND = {
    ("gunicorn", "other"): "no lossless way is known for this worker class",
    ("hypercorn", "trio"): "its graceful end is known for asyncio and uvloop only",
    ("uwsgi", "thread-less"): "Python threads are off there, so nothing can watch: start it with --enable-threads",
}
_DEFAULT_WHY = "leakguard does not replace workers there yet"


def choose(option: str, server: Server) -> Strategy:
    """Return the strategy for ``server``, given the ``recycle`` option (``auto``, ``none``, ``exit`` or a strategy's name).

    ``exit`` is for where no other strategy acts: a server that replaces its workers is still asked to.
    """
    if option == "exit":
        known = choose("auto", server)
        return known if known.acts else _by_exit(server)
    if option == "none":
        return NoStrategy(f"{server}: recycle is none. {_LEFT_ALONE}", server.workers)
    if option not in {"auto", server.name}:
        return NoStrategy(
            f"{server}: recycle is {option}, but that is not what runs here. {_LEFT_ALONE}", server.workers
        )
    supervisor = link.current()
    under_run = None if supervisor is None else _under_run(server, supervisor)
    if under_run is not None:
        return under_run
    acting = _of_workers(server)
    if acting is not None:
        return acting
    return NoStrategy(f"{server}: {_why_none(server)}. {_LEFT_ALONE}", server.workers)


def _by_exit(server: Server) -> Strategy:
    from leakguard.recycling.strategies.exit import ExitStrategy

    return ExitStrategy(server)


def _under_run(server: Server, supervisor: link.Link) -> Strategy | None:
    """Return the strategy under ``leakguard run``; ``None`` for a server that is no single process."""
    from leakguard.recycling.strategies.singles import find_single
    from leakguard.recycling.strategies.supervised import SupervisedStrategy

    single = find_single(server)
    if single is None:
        return None
    if supervisor.unshared and not supervisor.listening:
        why = "under leakguard run, but on a port of the system's choice, which a successor would not get"
        return NoStrategy(f"{server}: {why}. {_LEFT_ALONE}", server.workers)
    return SupervisedStrategy(server, single, supervisor)


def _of_workers(server: Server) -> Strategy | None:
    """Return the strategy of a server whose parent starts its workers again; ``None`` where none is known."""
    if server.name == "gunicorn" and server.kind != "other":
        from leakguard.recycling.strategies.gunicorn import GunicornStrategy

        return GunicornStrategy(server)
    if not server.supervised:
        return None
    if server.name == "uvicorn":
        from leakguard.recycling.strategies.uvicorn import UvicornStrategy

        return UvicornStrategy(server)
    if server.name == "hypercorn" and server.kind != "trio":
        from leakguard.recycling.strategies.hypercorn import HypercornStrategy

        return HypercornStrategy(server)
    if server.name == "granian":
        from leakguard.recycling.strategies.granian import GranianStrategy

        return GranianStrategy(server)
    if server.name == "uwsgi" and server.kind != "thread-less":
        from leakguard.recycling.strategies.uwsgi import UwsgiStrategy

        return UwsgiStrategy(server)
    return None


def _why_none(server: Server) -> str:
    return _WHY_KIND.get((server.name, server.kind)) or _WHY.get(server.name, _DEFAULT_WHY)
