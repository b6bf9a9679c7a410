"""A single process under ``leakguard run`` is replaced without a gap and without a request lost, its source untouched."""

import importlib.util

import pytest
from supervised_server import UVICORN
from support.needs import require

pytestmark = [pytest.mark.server, pytest.mark.slow]

SERVERS = {
    "uvicorn": UVICORN,
    "uvicorn-asyncio": [*UVICORN[:-1], "--loop", "asyncio", "--http", "h11", UVICORN[-1]],
    "uvicorn.run": ["supervised_apps", "PORT"],
    "hypercorn": ["hypercorn", "-b", "127.0.0.1:PORT", "supervised_apps:asgi"],
    "hypercorn-wsgi": ["hypercorn", "-b", "127.0.0.1:PORT", "supervised_apps:wsgi"],
    "daphne": ["daphne", "-b", "127.0.0.1", "-p", "PORT", "-v", "0", "supervised_apps:asgi"],
    "waitress": ["waitress", "--listen", "127.0.0.1:PORT", "--threads", "8", "supervised_apps:wsgi"],
}


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(words, id=name, marks=() if name == "uvicorn" else pytest.mark.long)
        for name, words in SERVERS.items()
    ],
)
def test_a_single_process_is_replaced_without_a_gap(supervise, command):
    """Three recycles under load: nothing lost, the successor serves before its predecessor leaves, nobody waits for a boot."""
    require(importlib.util.find_spec(command[0]), command[0])
    streams = 0.0 if "wsgi" in command[-1] or command[0] == "waitress" else 0.2
    server = supervise(command, "--ceiling", "110 MiB", environment={"APP_BOOT": "1.0"})
    server.await_serving()
    outcome = server.drive_recycles(3, stream_share=streams)
    recycles = server.recycles()
    assert len(recycles) >= 3, (server.notes(), server.said()[-3000:])
    assert outcome.lost == 0, (outcome.counts, outcome.details[:20], server.said()[-3000:])
    assert {each["gap_ms"] for each in recycles} == {0.0}, recycles
    assert {each["lost"] for each in recycles} == {0}
