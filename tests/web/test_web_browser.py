"""The page in a real browser: who gets in, what is drawn, what arrives, what stays inert."""

from __future__ import annotations

import dataclasses
import time

import pytest
import web_journals
from web_server import TOKEN, running, serving

from leakguard.journal.sqlite import SqliteJournal

pytestmark = pytest.mark.server

PIXELS = """() => [...document.querySelectorAll('[data-chart] canvas')].map(canvas => {
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let inked = 0;
  for (let place = 3; place < data.length; place += 4) inked += data[place] > 0;
  return inked / (data.length / 4);
})"""


@pytest.fixture(scope="module")
def address(story):
    """The page of the story's journal."""
    with serving(story) as url:
        yield url


@pytest.fixture(scope="module")
def hostile_address(hostile):
    """The page of the hostile journal."""
    with serving(hostile) as url:
        yield url


def expect(locator):
    from playwright.sync_api import expect as playwright_expect

    return playwright_expect(locator)


def sign_in(page, token=TOKEN):
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Open the page").click()


def entered(visit, url, **how):
    page = visit(url, **how)
    sign_in(page)
    page.locator("[data-chart=memory] canvas").wait_for()
    page.faults.clear()  # the browser notes the 401 of the sign-in form
    return page


def test_the_page_opens_with_the_token_and_not_without(visit, address):
    """Without the token there is a form and nothing else; with it the verdict in a sentence; the cookie is for HTTP only."""
    page = visit(address)
    assert "POST /telemetry" not in page.content()
    sign_in(page, TOKEN + "x")
    page.get_by_text("That is not the token").wait_for()
    assert page.context.cookies() == []
    sign_in(page)
    page.get_by_role("heading", name="There is a leak: requests stay in memory").wait_for()
    answer = page.locator(".answer").inner_text()
    for word in ("POST /telemetry", "game.pending", "game.py:88", "KeyError at game.py:91"):
        assert word in answer
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/_leakguard")
    assert TOKEN not in cookie["value"]
    assert TOKEN not in page.url
    assert all(TOKEN not in url and url.startswith(address) for url in page.asked)
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Token").wait_for()


def test_charts_are_drawn_and_speak(visit, address):
    """All three charts have ink, follow the arrow keys, and have their figures in words and in a table."""
    page = entered(visit, address)
    drawn = page.evaluate(PIXELS)
    assert len(drawn) == 3
    assert all(share > 0.002 for share in drawn), drawn
    page.locator("#chart-memory").focus()
    page.keyboard.press("End")
    expect(page.locator("#readout-memory")).to_contain_text("4105: ")
    page.keyboard.press("Home")
    expect(page.locator("#readout-memory")).to_contain_text("4100: ")
    assert "4 recycles marked" in page.locator("#chart-memory").get_attribute("aria-label")
    page.locator("#table-Response-time-over-memory summary").click()
    assert page.locator("#table-Response-time-over-memory tbody tr").count() >= 8
    assert page.faults == []


def test_a_live_update_arrives_and_leaves_the_reader_alone(visit, tmp_path):
    """What a worker writes appears without a reload; what was unfolded, focused and scrolled to stays so."""
    path = web_journals.write(tmp_path / "journal.sqlite3")
    with serving(path) as url:
        page = entered(visit, url)
        page.locator("#table-recycles summary").click()
        page.locator("#chart-times").focus()
        before = page.evaluate("document.getElementById('series').textContent")
        journal = SqliteJournal(path)
        journal.register(web_journals.worker(7777, time.time() - 10))
        finding = dataclasses.replace(
            web_journals.GROWING, fingerprint="0123abcd", route="GET /news", holder="news.SEEN"
        )
        journal.window(web_journals.window(0, time.time() - 10, 321 << 20, (), 5))
        journal.finding(finding)
        journal.close()
        page.locator("#table-workers").get_by_text("7777").wait_for()
        page.locator("#finding-0123abcd").get_by_text("news.SEEN").first.wait_for()
        assert page.evaluate("document.getElementById('series').textContent") != before
        assert page.locator("#table-recycles").get_attribute("open") is not None
        assert page.evaluate("document.activeElement.id") == "chart-times"
        assert all(share > 0.002 for share in page.evaluate(PIXELS))
        assert page.faults == []


def test_the_page_waits_for_a_server_that_is_replaced(visit, tmp_path):
    """When nobody answers the page says so and goes on when somebody does: the ticket is good at the successor."""
    path = web_journals.write(tmp_path / "journal.sqlite3")
    with serving(path) as url:
        page = entered(visit, url)
    page.locator("#live").get_by_text("no answer; trying again").wait_for()
    assert page.get_by_role("status").inner_text() == "no answer; trying again"
    port = url.split(":")[2].split("/")[0]
    command = ("leakguard", "serve", "--journal", str(path), "--port", port)
    with running(*command, port=int(port), LEAKGUARD_PAGE_TOKEN=TOKEN):
        expect(page.locator("#live")).to_have_class("live", timeout=60_000)


def unfold(page):
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")


def assert_inert(page):
    assert page.evaluate("window.pwned") is None
    assert page.locator("main img, main iframe, main script:not([type='application/json'])").count() == 0
    assert page.faults == []
    text = page.inner_text("main")
    assert "<script>window.pwned=1</script>" in text
    assert "\\u202e" in text  # shown, not obeyed
    assert "\u202e" not in page.content()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_hostile_names_are_inert(visit, hostile_address):
    """Script, quotes, right-to-left overrides and 10 kB of name are text, and only text, after a live update, too."""
    page = entered(visit, hostile_address, width=320)
    assert_inert(page)
    said = page.locator("#live-said").inner_text()
    expect(page.locator("#live-said")).not_to_have_text(said, timeout=60_000)
    assert_inert(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1200])
def test_accessible_in_light_and_dark_on_phone_and_desk(visit, address, violations, scheme, width):
    """axe-core finds nothing serious or critical on the sign-in form and the page; a phone need not scroll sideways."""
    page = visit(address, width=width, scheme=scheme)
    assert violations(page) == []
    sign_in(page)
    page.locator("[data-chart=memory] canvas").wait_for()
    unfold(page)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    expected = "dark" if scheme == "dark" else "light"
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in paper[4:-1].split(",")) / 3
    assert (brightness < 128) == (expected == "dark")
