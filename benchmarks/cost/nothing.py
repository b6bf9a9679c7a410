"""Middlewares that do nothing: what every other is compared with. Imports nothing of leakguard, so that its memory shows."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable

if typing.TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class Nothing:
    """An ASGI middleware that does nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on."""
        await self.app(scope, receive, send)


class NothingWSGI:
    """A WSGI middleware that does nothing."""

    def __init__(self, app: typing.Any) -> None:
        self.app = app

    def __call__(self, environ: dict[str, object], start_response: Callable[..., object]) -> Iterable[bytes]:
        """Pass it on."""
        return typing.cast("Iterable[bytes]", self.app(environ, start_response))
