"""Test clients: one request per call, with the client of whichever framework, its answer closed each time."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Awaitable, Callable

from leakguard.errors import ConfigError, LeakGuardError


class UnexpectedAnswerError(LeakGuardError, AssertionError):
    """The client was answered with another status than the test expects, so the leak test would test something else."""


def caller_of(
    client: object, method: str, url: str, status: int | None, options: dict[str, typing.Any]
) -> Callable[[], object]:
    """Return a callable that makes one request and closes its answer; it returns an awaitable where the client does.

    Knows the clients of Django (``generic``), Flask and others that use Werkzeug's (``open``), and every client with
    ``request(method, url)``: Starlette's and FastAPI's, httpx's, requests', aiohttp's.

    Args:
        client: the test client.
        method: ``"GET"``, ``"POST"``, ...
        url: as the client takes it.
        status: what each answer's status must be; ``None``: any.
        options: passed on to the client's method.

    Raises:
        ConfigError: it is no client of these.
    """
    kind = type(client)
    if hasattr(kind, "generic") and hasattr(kind, method.lower()):
        send = getattr(client, method.lower())
        arguments: tuple[object, ...] = (url,)
    elif hasattr(kind, "request"):
        send, arguments = client.request, (method, url)  # type: ignore[attr-defined]
    elif hasattr(kind, "open"):
        send, arguments, options = client.open, (url,), {**options, "method": method}  # type: ignore[attr-defined]
    else:
        raise ConfigError(
            "client",
            "must be a test client of Starlette, FastAPI, Flask or Django, or one with request(method, url)",
            kind.__name__,
            "for any other: leakguard.assert_no_leaks(lambda: …)",
        )

    def call() -> object:
        answer = send(*arguments, **options)
        if inspect.isawaitable(answer):
            return _closed_later(answer, status)
        _check(answer, status)
        _close(answer)
        return None

    return call


async def _closed_later(coming: Awaitable[object], status: int | None) -> None:
    answer = await coming
    _check(answer, status)
    closing = getattr(answer, "aclose", None)
    if closing is not None:
        await closing()
    else:
        _close(answer)


def _close(answer: object) -> None:
    close = getattr(answer, "close", None)
    if callable(close):
        close()


def _check(answer: object, status: int | None) -> None:
    if status is None:
        return
    found = getattr(answer, "status_code", getattr(answer, "status", None))
    if found != status:
        raise UnexpectedAnswerError(f"the answer's status is {found}, and the leak test expects {status}")
