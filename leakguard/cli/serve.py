"""``leakguard serve``: the page from a server of its own, for apps that cannot mount it (WSGI) or should not."""

from __future__ import annotations

import os
import secrets
import socket
import typing
from pathlib import Path

import click

from leakguard.cli.journals import chosen, journal_option
from leakguard.config import Config
from leakguard.errors import MissingExtraError

if typing.TYPE_CHECKING:
    from starlette.types import ASGIApp

PORT = 8383


@click.command()
@journal_option
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; others than this machine's "
    "loopback expose the page, without TLS, to whoever can reach it.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="Port to listen on; 0 for any."
)
def serve(path: Path | None, host: str, port: int) -> int:
    """Serve the page for a journal, next to the app.

    The token is that of LEAKGUARD_PAGE_TOKEN; without one, a new one is made and printed. Ends with Ctrl-C.
    """
    try:
        import jinja2  # noqa: F401 - said here, not in the browser
        import uvicorn
    except ImportError as error:
        raise MissingExtraError("`leakguard serve` and the page", str(error.name), "serve") from None
    journal = chosen(path)
    token = Config.load().page_token
    listener = _listen(host, port)
    where = f"[{host}]" if ":" in host else host
    click.echo(f"leakguard: http://{where}:{listener.getsockname()[1]}/_leakguard/ shows {journal}", err=True)
    if token is None:
        token = secrets.token_urlsafe(18)
        click.echo(f"leakguard: token {token} (set LEAKGUARD_PAGE_TOKEN to choose one)", err=True)
    if not _is_loopback(host):
        click.echo("leakguard: without TLS the token can be read on its way; better a tunnel: ssh -L", err=True)
    settings = uvicorn.Config(_app(token, journal), log_level="warning", access_log=False, lifespan="off")
    try:
        uvicorn.Server(settings).run(sockets=[listener])
    except KeyboardInterrupt:
        pass  # the ordinary end
    return 0


def _app(token: str, journal: Path) -> ASGIApp:
    from starlette.applications import Starlette
    from starlette.responses import RedirectResponse
    from starlette.routing import Mount, Route

    from leakguard.web import PATH, page

    home = Route("/", lambda _: RedirectResponse(f"{PATH}/"))
    return Starlette(routes=[home, Mount(PATH, app=page(token, journal))])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        said = os.strerror(error.errno) if isinstance(error.errno, int) and error.errno > 0 else str(error)
        raise click.UsageError(f"cannot listen on {host} port {port} ({said.lower()}); name another: --port") from error


def _is_loopback(host: str) -> bool:
    return host in {"localhost", "::1"} or host.startswith("127.")
