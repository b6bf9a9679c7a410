"""The page while its own worker is replaced again and again: nobody loses a request, and the page goes on."""

from __future__ import annotations

import asyncio
import concurrent.futures

import pytest
from support.needs import ROOT
from web_server import TOKEN

from leakguard.demo.progress import Progress
from leakguard.demo.run import GUARDED, ROOM
from leakguard.demo.schedule import plan
from leakguard.demo.server import Server
from leakguard.demo.side import run_side
from leakguard.journal.reading import read


class Quiet:
    """Somebody to tell progress to who does not listen."""

    def write(self, text):
        return len(text)

    def flush(self):
        pass

    def isatty(self):
        return False


def drive(server, seconds):
    return asyncio.run(run_side("guarded", server, plan(seconds), None, Progress(Quiet())))


@pytest.mark.long
@pytest.mark.server
@pytest.mark.flaky(reruns=2)
def test_a_watched_worker_is_recycled_without_a_loss(visit, tmp_path):
    """The story's server is recycled under its load while a browser watches the page of that very worker: no request is lost,
    the page comes back by itself, shows recycles and the culprit, and is in no figure.
    """
    example, journal = ROOT / "examples/game_server", tmp_path / "journal.sqlite3"
    # Loads run in a thread: the browser's own event loop is in this one.
    pool = concurrent.futures.ThreadPoolExecutor(1)
    with Server(example, {"LEAKGUARD_LEVEL": "off"}, tmp_path / "fresh.log") as server:
        fresh = pool.submit(drive, server, 2).result().fresh
    options = {
        **GUARDED,
        "LEAKGUARD_CEILING": str(fresh + ROOM),
        "LEAKGUARD_JOURNAL": str(journal),
        "LEAKGUARD_PAGE_TOKEN": TOKEN,
    }
    with Server(example, options, tmp_path / "guarded.log") as server, pool:
        load = pool.submit(drive, server, 40)
        page = until_there(visit, f"http://127.0.0.1:{server.port}/_leakguard/")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Open the page").click()
        while not load.done():
            page.wait_for_timeout(500)
        side = load.result()
        page.wait_for_function("() => document.getElementById('live').className === 'live'")
        page.locator("#table-recycles li").first.wait_for(state="attached")
        page.locator(".answer", has_text="game.").first.wait_for()
    story = read(journal)
    assert [outcome for outcome in side.outcomes if outcome.fate.lost] == []
    assert len(story.recycles) >= 2
    assert {route.route for route in story.routes} <= {
        "GET /health",
        "GET /bans/{player}",
        "POST /telemetry",
        "POST /rewards/daily",
    }


def until_there(visit, url):
    while True:
        try:
            return visit(url)
        except Exception as error:
            if "ERR_CONNECTION" not in str(error):
                raise
