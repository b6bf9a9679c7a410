"""Hooks for gunicorn's arbiter: more than one worker is replaced without a gap, each by a successor that serves first.

``gunicorn -c python:leakguard.integrations.gunicorn -w 4 app:app``; with a ``gunicorn.conf.py`` of your own, import both
hooks there, or call them in yours:

    from leakguard.integrations.gunicorn import post_worker_init, when_ready

Without them nothing is lost either, but at SIGTTOU the arbiter would end its oldest worker and not the one that asked, so
one worker at a time leaves first and its siblings bridge the gap. With one worker no hook is needed.
"""

from __future__ import annotations

import typing

from leakguard.guard import introduce
from leakguard.recycling.servers import detect
from leakguard.recycling.strategies.gunicorn import keep_books


def when_ready(server: typing.Any) -> None:
    """Have the arbiter let that worker go which asked for it."""
    keep_books(server)


def post_worker_init(worker: typing.Any) -> None:  # noqa: ARG001 - gunicorn's signature
    """Have a WSGI worker show itself when it has booted, under ``--preload`` too, where its app was made in the arbiter."""
    if detect().kind in {"sync", "gthread"}:  # an ASGI worker shows itself at its lifespan's start-up
        introduce()
