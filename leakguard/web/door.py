"""The door: who knows the token comes in, and gets a ticket so as not to be asked again.

A ticket is its end and a keyed digest of it (HMAC-SHA-256 under the token): every worker can check it, nobody has to remember
it, and a new token makes all old ones worthless. The token itself is in no cookie and no address.
"""

from __future__ import annotations

import hashlib
import hmac
import time

COOKIE = "leakguard_page"
HOURS_12 = 12 * 3600


class Door:
    """Lets in who knows the token.

    Args:
        token: the secret; ``Config`` has seen to its length.
        lasts: seconds for which a ticket is good.
    """

    def __init__(self, token: str, lasts: int = HOURS_12) -> None:
        self._token = token.encode()
        self.lasts = lasts

    def knows(self, token: str) -> bool:
        """Return whether this is the token, in a time that does not tell how much of it is right."""
        return hmac.compare_digest(_digest(token.encode("utf-8", "surrogatepass")), _digest(self._token))

    def ticket(self, now: float | None = None) -> str:
        """Return a ticket for the bearer."""
        end = str(int((time.time() if now is None else now) + self.lasts))
        return f"{end}.{self._sign(end)}"

    def admits(self, ticket: str | None, now: float | None = None) -> bool:
        """Return whether a ticket is ours and still good."""
        end, _, signature = (ticket or "").partition(".")
        if not (end.isascii() and end.isdigit() and signature.isascii()):
            return False
        if not hmac.compare_digest(signature, self._sign(end)):
            return False
        return int(end) > (time.time() if now is None else now)

    def _sign(self, end: str) -> str:
        return hmac.new(self._token, f"leakguard page until {end}".encode(), hashlib.sha256).hexdigest()


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
