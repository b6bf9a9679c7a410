"""What is to be run: under the supervisor, or in this process's place because the server replaces its workers itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# Servers with a parent of their own, and how they are told how many workers to keep.
_PARENTS = {"gunicorn", "granian", "uwsgi", "mod_wsgi-express"}
_WORKERS = {"uvicorn": ("--workers",), "hypercorn": ("--workers", "-w")}
_COUNTS = {"uvicorn": ("UVICORN_WORKERS", "WEB_CONCURRENCY")}
_RELOAD = "--reload"

BOOTSTRAP = Path(__file__).parent / "bootstrap"
MARK = "_LEAKGUARD_RUN"


def server_of(command: Sequence[str]) -> str:
    """Return the server's name in the words of a command: ``uvicorn …``, ``/venv/bin/uvicorn …``, ``python -m uvicorn …``."""
    names = [Path(word).name for word in command[:1]]
    if names and names[0].startswith(("python", "pypy")):
        following = [command[at + 1] for at, word in enumerate(command[:-1]) if word == "-m"]
        names = following[:1] or [Path(word).name for word in command[1:2]]
    return names[0].partition(".")[0] if names else ""


def replaces_itself(command: Sequence[str], environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether the server has a parent that keeps the socket and starts workers; then a supervisor is in the way."""
    name = server_of(command)
    if name in _PARENTS:
        return True
    options = _WORKERS.get(name)
    if options is None:
        return False
    if _RELOAD in command:
        return True
    count = _option(command, options)
    for variable in _COUNTS.get(name, ()):
        count = count if count is not None else environment.get(variable)
    return count is not None and count.isdigit() and int(count) > 1


def can_supervise() -> bool:
    """Return whether this system has what the supervisor needs."""
    import signal
    import socket

    return hasattr(socket, "SOCK_SEQPACKET") and hasattr(signal, "sigwaitinfo") and sys.platform != "darwin"


def environment_for(environment: Mapping[str, str], options: Mapping[str, str]) -> dict[str, str]:
    """Return what the processes get: the options, and a path on which Python finds our bootstrap first."""
    paths = [str(BOOTSTRAP), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    return {**environment, **options, "PYTHONPATH": os.pathsep.join(paths), MARK: "1"}


def _option(command: Sequence[str], names: Sequence[str]) -> str | None:
    for at, word in enumerate(command):
        for name in names:
            if word == name and at + 1 < len(command):
                return command[at + 1]
            if word.startswith(f"{name}=") or (len(name) == 2 and word.startswith(name) and word[2:].isdigit()):
                return word[len(name) :].lstrip("=")
    return None
