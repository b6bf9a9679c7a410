"""The example: the story's backend behaves as the story says, bug included."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import httpx
import pytest

GAME_SERVER = Path(__file__).resolve().parents[2] / "examples" / "game_server"
EVENTS = [{"at": 1.0, "x": 1.0, "y": 1.0, "what": "move"}, {"at": 2.0, "x": 2.0, "y": 1.0, "what": "move"}]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The example's app module, freshly imported, leakguard disarmed."""
    monkeypatch.setenv("LEAKGUARD_LEVEL", "off")
    monkeypatch.syspath_prepend(str(GAME_SERVER))
    names = ("app", "game", "world")
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module("app")
    for name in names:
        sys.modules.pop(name, None)


def request(server: ModuleType, method: str, path: str, json: object = None) -> httpx.Response:
    """Send one request to the app; an unhandled exception becomes the answer 500, as under a server."""

    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(server.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, json=json)

    return asyncio.run(go())


def test_the_routes_answer(server: ModuleType) -> None:
    """Health, bans, telemetry and the daily reward do their work."""
    assert request(server, "GET", "/health").json() == {"status": "ok"}
    assert request(server, "GET", "/bans/player29").json() == {"player": "player29", "banned": True}
    assert request(server, "GET", "/bans/nobody").json()["banned"] is False
    taken = request(server, "POST", "/telemetry", {"player": "player1", "events": EVENTS})
    assert taken.json() == {"accepted": 2, "duplicate": False}
    claim = {"player": "player1", "x": 3, "y": 4}
    assert request(server, "POST", "/rewards/daily", claim).json()["reward"] == 100
    assert request(server, "POST", "/rewards/daily", claim).json()["reward"] == 0, "once a day"


def test_who_moves_too_fast_is_banned(server: ModuleType) -> None:
    """Telemetry is there to find cheaters."""
    leap = [EVENTS[0], {"at": 1.1, "x": 90.0, "y": 90.0, "what": "move"}]
    request(server, "POST", "/telemetry", {"player": "player2", "events": leap})
    assert request(server, "GET", "/bans/player2").json()["banned"] is True


def test_well_formed_telemetry_leaves_nothing_pending(server: ModuleType) -> None:
    """The bug is in the malformed requests only."""
    for _ in range(5):
        request(server, "POST", "/telemetry", {"player": "player1", "events": EVENTS})
    assert not server.game.pending


def test_malformed_telemetry_is_kept_for_good(server: ModuleType) -> None:
    """The planted leak: one request with its body stays per malformed body, though it was answered 500."""
    for number in range(5):
        events = [{**event, "at": event["at"] + 10 * number} for event in EVENTS]
        assert request(server, "POST", "/telemetry", {"events": events}).status_code == 500
    assert len(server.game.pending) == 5
    assert all("events" in kept.request._json for kept in server.game.pending.values())


def test_a_malformed_claim_leaves_nothing(server: ModuleType) -> None:
    """Another unhandled error, without a leak: the report has to tell the two apart."""
    assert request(server, "POST", "/rewards/daily", {"x": 1, "y": 1}).status_code == 500
    assert not server.game.pending


def test_the_app_does_not_help_leakguard() -> None:
    """One line of leakguard in the routes, none in the rules."""
    assert (GAME_SERVER / "app.py").read_text().count("LeakGuardMiddleware") == 2  # the import and its use
    for name in ("game.py", "world.py"):
        source = (GAME_SERVER / name).read_text()
        assert "import leakguard" not in source
        assert "from leakguard" not in source
