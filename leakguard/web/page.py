"""The page as an ASGI app: sign-in, the document, its scripts and styles."""

from __future__ import annotations

import logging
import typing
import urllib.parse
from pathlib import Path

from leakguard.config import Config
from leakguard.probes.requests import UNCOUNTED, current
from leakguard.reports.html import PAGE_SCRIPTS, STATIC, STYLES
from leakguard.web import notices
from leakguard.web.allowance import Allowance
from leakguard.web.door import COOKIE, Door
from leakguard.web.pictures import Pictures

if typing.TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

log = logging.getLogger("leakguard")

PATH = "/_leakguard"
"""Where the page is mounted unless somebody mounts it elsewhere."""

LONGEST_BODY = 4096  # bytes of a sign-in form
ATTEMPTS = Allowance(burst=10, per_second=1 / 6)
VIEWS = Allowance(burst=60, per_second=5)
ASSETS = {*PAGE_SCRIPTS, *STYLES}
_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
}


def page(token: str | None = None, journal: Path | str | None = None) -> Page:
    """Return the page as an ASGI app, to be mounted below a path of the host's own app.

    Args:
        token: what a visitor must know, at least 16 characters; ``LEAKGUARD_PAGE_TOKEN`` by default. Without one the page
            is off and answers 404.
        journal: the journal to read; by default that of the workers (``LEAKGUARD_JOURNAL`` or the default place).

    Raises:
        ConfigError: when the token is too short or another option is wrong.
    """
    return Page(Config.load(page_token=token, journal=journal))


class Page:
    """The page of one journal; see ``page``. Its own requests do not count: they are in no figure that it shows."""

    def __init__(self, config: Config) -> None:
        self._door = Door(config.page_token) if config.page_token is not None else None
        self._pictures = Pictures(config.journal)
        if self._door is None:
            log.info("leakguard: the page is off: set LEAKGUARD_PAGE_TOKEN to turn it on")
            return
        # Here, not while the event loop waits for the first answer.
        import anyio.to_thread  # noqa: F401
        import starlette.requests
        import starlette.responses  # noqa: F401

    def owns(self, scope: Scope) -> bool:
        """Return whether a request is for the page, when it lies at ``PATH`` of the whole app."""
        path: str = scope["path"]
        if PATH not in path:  # nearly always
            return False
        rest = path.removeprefix(scope.get("root_path", ""))
        return rest == PATH or rest.startswith(f"{PATH}/")

    async def at_path(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that ``owns`` says is ours."""
        root = scope.get("root_path", "") + PATH
        rest = scope["path"].removeprefix(scope.get("root_path", "")).removeprefix(PATH)
        await self({**scope, "root_path": root, "path": root + rest}, receive, send)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request below the place where the page is mounted."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        if scope["type"] != "http":
            return
        passage = current.get()
        if passage is not None:
            passage.route = UNCOUNTED
        from starlette.requests import Request

        response = await self._answer(Request(scope, receive), _rest(scope))
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        await response(scope, receive, send)

    async def _answer(self, request: Request, rest: str) -> Response:
        door = self._door
        if door is None:
            return _text("Not Found", 404)
        if not VIEWS.take(_client(request)):
            return _text("Too many requests; wait a moment.", 429, {"Retry-After": "5"})
        reads = request.method in {"GET", "HEAD"}
        if rest.startswith("/static/") and reads:
            return _asset(rest.removeprefix("/static/"))
        match (rest, request.method):
            case ("/sign-in", "POST"):
                return await self._sign_in(request, door)
            case ("/sign-out", "POST"):
                return _moved("./", f"{COOKIE}=; HttpOnly; SameSite=Strict; Max-Age=0")
            case ("", _) if reads:
                where = request.scope.get("root_path") or request.scope["path"]
                return _moved(f"{where.rsplit('/', 1)[-1]}/")
            case ("/", _) if reads:
                return await self._document(request, door)
            case ("" | "/" | "/sign-in" | "/sign-out", _):
                return _text("Method Not Allowed", 405, {"Allow": "GET, HEAD" if rest in {"", "/"} else "POST"})
        return _text("Not Found", 404)

    async def _document(self, request: Request, door: Door) -> Response:
        if not door.admits(request.cookies.get(COOKIE)):
            said = request.headers.get("authorization", "")
            if not said:
                return _html(notices.sign_in(), 401)
            refused = self._refused(request, door, said.removeprefix("Bearer "))
            if refused is not None:
                return refused
        picture = await self._pictures.latest()
        return _html(picture.document, picture.status, {"Leakguard-Refresh": f"{picture.stale_in():.1f}"})

    async def _sign_in(self, request: Request, door: Door) -> Response:
        if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return _text("Sign in from the page itself.", 403)
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > LONGEST_BODY:
                return _text("Content Too Large", 413)
        fields = urllib.parse.parse_qs(body.decode("utf-8", "replace"))
        refused = self._refused(request, door, fields.get("token", [""])[0].strip())
        if refused is not None:
            return refused
        secure = "; Secure" if request.url.scheme == "https" else ""
        # Without a path of its own the cookie goes to this folder only, as the browser sees it, whatever proxy lies between.
        return _moved("./", f"{COOKIE}={door.ticket()}; HttpOnly; SameSite=Strict; Max-Age={door.lasts}{secure}")

    def _refused(self, request: Request, door: Door, token: str) -> Response | None:
        """Return the answer to a wrong token, or to too many of them; ``None`` for the right one."""
        if not ATTEMPTS.left(_client(request)):
            return _html(
                notices.sign_in("Too many wrong tokens. Wait a minute and try again."), 429, {"Retry-After": "60"}
            )
        if door.knows(token):
            return None
        ATTEMPTS.take(_client(request))
        return _html(notices.sign_in("That is not the token. It is the value of LEAKGUARD_PAGE_TOKEN."), 401)


def _rest(scope: Scope) -> str:
    """Return the path below the mount: Starlette hands it on with the mount's own part, an older one without."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "").rstrip("/"))


def _client(request: Request) -> str:
    return request.client.host if request.client is not None else ""


def _text(text: str, status: int, headers: dict[str, str] | None = None) -> Response:
    from starlette.responses import PlainTextResponse

    return PlainTextResponse(text, status, headers)


def _html(document: str | bytes, status: int, headers: dict[str, str] | None = None) -> Response:
    from starlette.responses import HTMLResponse

    asks = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return HTMLResponse(document, status, {**asks, **(headers or {})})


def _moved(where: str, cookie: str | None = None) -> Response:
    from starlette.responses import Response

    return Response(status_code=303, headers={"Location": where, **({"Set-Cookie": cookie} if cookie else {})})


def _asset(name: str) -> Response:
    from starlette.responses import Response

    if name not in ASSETS:
        return _text("Not Found", 404)
    file = STATIC / name
    return Response(file.read_bytes(), headers={"Content-Type": _TYPES[file.suffix], "Cache-Control": "max-age=300"})
