"""The small examples: one line of leakguard, a clean route and a leaky one, as their first lines say."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import httpx
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Import an example freshly, leakguard disarmed."""
    monkeypatch.setenv("LEAKGUARD_LEVEL", "off")
    monkeypatch.syspath_prepend(str(EXAMPLES))

    def load_example(name: str) -> ModuleType:
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name)

    return load_example


def request(transport: httpx.AsyncBaseTransport, method: str, path: str) -> httpx.Response:
    """Send one request."""

    async def go() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path)

    return asyncio.run(go())


def test_starlette(load: Callable[[str], ModuleType]) -> None:
    """``/greet`` keeps nothing, ``/visit`` one entry per request."""
    example = load("starlette_app")
    transport = httpx.ASGITransport(example.app)
    assert request(transport, "GET", "/greet/you").text == "hello you"
    assert not example.visits
    assert [request(transport, "POST", "/visit").json() for _ in range(3)] == [{"visits": n} for n in (1, 2, 3)]


def test_fastapi(load: Callable[[str], ModuleType]) -> None:
    """``/price`` keeps nothing, ``/basket`` one basket per request."""
    example = load("fastapi_app")
    transport = httpx.ASGITransport(example.app)
    assert request(transport, "GET", "/price/tea").json() == {"item": "tea", "price": 300}
    assert not example.baskets
    for _ in range(3):
        request(transport, "POST", "/basket")
    assert len(example.baskets) == 3


def test_flask(load: Callable[[str], ModuleType]) -> None:
    """``/health`` keeps nothing, ``/search`` one answer per question."""
    example = load("flask_app")
    client = example.app.test_client()
    assert client.get("/health").json == {"status": "ok"}
    assert example.find.cache_info().currsize == 0
    for number in range(3):
        assert client.get(f"/search?q={number}").json == {"found": 50}
    assert example.find.cache_info().currsize == 3


@pytest.mark.parametrize("name", ["starlette_app", "fastapi_app", "flask_app"])
def test_one_line_of_leakguard(name: str) -> None:
    """Apart from the import, leakguard is one line."""
    lines = [line for line in (EXAMPLES / f"{name}.py").read_text().splitlines() if "LeakGuard" in line]
    assert len(lines) == 2
