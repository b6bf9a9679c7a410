"""The request of a route about which no document says more: a small JSON object where something is sent."""

from __future__ import annotations

import json

from leakguard.check.request import NUMBER, Request

BODIED = frozenset({"POST", "PUT", "PATCH"})
"""Methods with which something is sent."""

BODY = json.dumps({"id": NUMBER, "name": f"name-{NUMBER}"}).encode()


def request(method: str, path: str, template: str, headers: tuple[tuple[str, str], ...] = ()) -> Request:
    """Return the request of a route, its path filled already."""
    if method not in BODIED:
        return Request(method, path, headers, b"", template)
    return Request(method, path, (*headers, ("Content-Type", "application/json")), BODY, template)
