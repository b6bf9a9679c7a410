"""A real browser, the accessibility checker, and the journals that they look at."""

from __future__ import annotations

import importlib.util
import os
import shutil
import typing
from pathlib import Path

import pytest
import web_journals
from support.needs import ROOT, require

DEADLINE_MS = 60_000


@pytest.fixture(scope="module")
def chromium() -> typing.Iterator[typing.Any]:
    """Debian's Chromium, driven by Playwright; one per module, for its event loop stays in this thread while it runs."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    require(path, "Debian's package chromium (.ci/browser installs it)")
    require(importlib.util.find_spec("playwright"), "the Python package playwright (extra dev)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: typing.Any) -> typing.Iterator[typing.Callable[..., typing.Any]]:
    """Open a page in a context of its own and collect in ``page.faults`` whatever went wrong in it."""
    contexts = []

    def open_page(url: str, *, width: int = 1200, scheme: str = "light", **more: object) -> typing.Any:
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **more)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(DEADLINE_MS)
        page.faults, page.asked = [], []
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("dialog", lambda dialog: (page.faults.append(dialog.message), dialog.dismiss()))
        page.on("console", lambda said: said.type == "error" and page.faults.append(said.text))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def violations() -> typing.Callable[[typing.Any], list[str]]:
    """Return what axe-core finds on a page: the serious and critical violations, with the elements."""
    found = sorted(ROOT.glob(".browser/axe-core-*.js"))
    require(found, "axe-core from npm (.ci/browser fetches it)")
    source = found[-1].read_text()

    def check(page: typing.Any) -> list[str]:
        page.evaluate(source)
        result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        assert result["passes"], "axe looked at nothing"
        return [
            f"{each['id']}: {node['target']} {node['failureSummary']}"
            for each in result["violations"]
            if each["impact"] in {"serious", "critical"}
            for node in each["nodes"]
        ]

    return check


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of the story; not to be written."""
    return web_journals.write(tmp_path_factory.mktemp("story") / "journal.sqlite3")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal full of what an attacker would like to send; not to be written."""
    return web_journals.write_hostile(tmp_path_factory.mktemp("hostile") / "journal.sqlite3")
