"""The page over plain HTTP: the door, the headers, and that it is in none of the figures it shows."""

from __future__ import annotations

import signal
import time

import anyio
import pytest
import web_journals
from web_server import DEADLINE, TOKEN, ask, free_port, running, serving

from leakguard.config import Config
from leakguard.errors import ConfigError
from leakguard.journal.reading import read
from leakguard.web import Page, pictures
from leakguard.web.allowance import MAX_CLIENTS, Allowance
from leakguard.web.door import COOKIE, Door

BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def address(story):
    """The page of the story's journal, by ``leakguard serve``."""
    with serving(story) as url:
        yield url


def test_a_ticket_is_good_for_its_time_and_its_token_only():
    """A ticket admits until its end; a changed, foreign, made-up or outdated one does not, whatever bytes it has."""
    door = Door("x" * 16)
    ticket = door.ticket(now=1000.0)
    end, _, signature = ticket.partition(".")
    assert door.admits(ticket, now=1001.0)
    assert not door.admits(ticket, now=1000.0 + door.lasts)
    assert not door.admits(f"{int(end) + 1}.{signature}", now=1001.0)
    assert not Door("y" * 16).admits(ticket, now=1001.0)
    for made_up in (None, "", ".", f"{end}.", f"{end}.\xe9", "\u0663.aa", f"-1.{signature}", "x" * 16):
        assert not door.admits(made_up, now=1001.0)
    assert door.knows("x" * 16)
    assert not door.knows("x" * 17)
    assert not door.knows("\udcff")


def test_an_allowance_is_bounded_and_comes_back(monkeypatch):
    """Ten at once, then one every six seconds, each client for itself, and not more clients than the bound."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    allowance = Allowance(burst=10, per_second=1 / 6)
    assert [allowance.take("a") for _ in range(12)] == [True] * 10 + [False] * 2
    assert allowance.take("b")
    now[0] += 6.1
    assert [allowance.take("a") for _ in range(2)] == [True, False]
    for number in range(3 * MAX_CLIENTS):
        allowance.take(str(number))
    assert len(allowance._clients) == MAX_CLIENTS


def test_the_token_is_long_and_never_shown():
    """A token that could be guessed is refused; neither the error nor ``leakguard config`` nor a repr shows a token."""
    with pytest.raises(ConfigError, match="a secret of at least 16 characters") as caught:
        Config.load(page_token="hunter2")
    assert "hunter2" not in str(caught.value)
    config = Config.load(page_token=TOKEN)
    assert TOKEN not in repr(config)
    assert TOKEN not in str(config.described())
    assert ("page_token", "set") in [(option.name, value) for option, value, _ in config.described()]


@pytest.mark.parametrize(
    ("root", "path"),
    [
        ("", "/_leakguard/"),
        ("/api", "/api/_leakguard/"),  # a server that puts the root into the path, as ASGI says
        ("/api", "/_leakguard/"),  # one that does not
    ],
)
def test_it_is_found_behind_a_proxy(story, root, path):
    """Wherever a proxy has put the app, the page is below it, secure cookies under TLS included; neighbours are not ours."""
    own = Page(Config.load(page_token=TOKEN, journal=story))

    def scope(path, method="GET"):
        return {
            "type": "http",
            "method": method,
            "path": path,
            "root_path": root,
            "headers": [(b"authorization", f"Bearer {TOKEN}".encode())],
            "query_string": b"",
            "scheme": "https",
            "server": ("app.example", 443),
            "client": ("192.0.2.1", 5),
            "http_version": "1.1",
        }

    def answer(path, method="GET", body=b""):
        sent = []

        async def receive():
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message):
            sent.append(message)

        anyio.run(own.at_path, scope(path, method), receive, send)
        return sent[0]["status"], dict(sent[0]["headers"]), b"".join(each.get("body", b"") for each in sent)

    assert own.owns(scope(path))
    assert own.owns(scope(path.rstrip("/")))
    for other in ("/_leakguardian/", "/x/_leakguard/", "/", root):
        assert not own.owns(scope(other))
    assert b"POST /telemetry" in answer(path)[2]
    assert answer(path + "static/charts.js")[0] == 200
    assert answer(path.rstrip("/"))[1][b"location"] == b"_leakguard/"
    assert b"; Secure" in answer(path + "sign-in", "POST", f"token={TOKEN}".encode())[1][b"set-cookie"]


@pytest.mark.server
def test_who_does_not_know_the_token_sees_a_form(address):
    """No token, a wrong one, a made-up ticket: 401 and the form, nothing of the journal; with the token the report."""
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": f"{COOKIE}=99999999999.{'0' * 64}"}):
        answer = ask(address, **headers)
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert "telemetry" not in answer.text
        assert 'type="password"' in answer.text
    assert "POST /telemetry" in ask(address, **BEARER).text


@pytest.mark.server
def test_signing_in_gives_a_ticket(address):
    """The form's token buys a cookie that scripts cannot read and other sites cannot send; the cookie opens the page."""
    answer = ask(address + "sign-in", data=f"token={TOKEN}".encode())
    assert (answer.status, answer.headers["Location"]) == (303, "./")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    assert ask(address, Cookie=cookie.split(";")[0]).status == 200
    assert "Max-Age=0" in ask(address + "sign-out", data=b"").headers["Set-Cookie"]
    foreign = ask(address + "sign-in", data=f"token={TOKEN}".encode(), Sec_Fetch_Site="cross-site")
    assert (foreign.status, foreign.headers["Set-Cookie"]) == (403, None)
    assert ask(address + "sign-in", data=b"token=" + b"x" * 10_000).status == 413


@pytest.mark.server
def test_every_answer_carries_the_security_headers(address):
    """Form, report, script, redirection and error alike; nothing inline or foreign may run, nothing is stored."""
    for path, headers in (("", {}), ("", BEARER), ("static/charts.js", {}), ("nothing", {})):
        answer = ask(address + path, **headers)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == ("max-age=300" if path.startswith("static") else "no-store")


@pytest.mark.server
def test_only_reading_and_only_what_is_ours(address):
    """Other methods are refused, other paths are not found, and no path leads out of the folder of scripts and styles."""
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert ask(address, data=b"", method=method, **BEARER).status == 405
    for path in (
        "x",
        "static/",
        "static/nothing.js",
        "static/../__init__.py",
        "static/%2e%2e/__init__.py",
        "static//etc/passwd",
    ):
        assert ask(address + path, **BEARER).status == 404, path
    assert ask(address.rstrip("/")).headers["Location"].endswith("_leakguard/")


@pytest.mark.server
def test_guessing_is_slowed_down(story):
    """After ten wrong tokens even the right one waits; who is already in is not disturbed."""
    with serving(story) as url:
        ticket = ask(url + "sign-in", data=f"token={TOKEN}".encode()).headers["Set-Cookie"].split(";")[0]
        statuses = [ask(url + "sign-in", data=b"token=wrong").status for _ in range(12)]
        assert statuses[0] == 401
        assert statuses[-1] == 429
        assert ask(url, **BEARER).status == 429
        assert ask(url, Cookie=ticket).status == 200


def test_who_comes_first_to_a_big_journal_gets_its_last_hour_at_once(tmp_path, monkeypatch):
    """The first picture of a big journal is that of its last hour and says so, and the whole may follow at once; a journal
    that rests is no reason to show nothing.
    """
    path = web_journals.write(tmp_path / "now.sqlite3", generations=1)
    old = web_journals.write(tmp_path / "old.sqlite3", generations=1, now=time.time() - 7200)
    monkeypatch.setattr(pictures, "BIG", 0)
    note = b"The last hour so far"
    first, second = pictures.draw(path, cold=True), pictures.draw(path)
    assert note in first.document
    assert (first.status, first.rest) == (200, 0.0)
    assert note not in second.document
    assert second.rest >= pictures.SHORTEST_REST
    assert b"POST /telemetry" in pictures.draw(old, cold=True).document


@pytest.mark.server
def test_an_empty_journal_says_what_to_do(tmp_path):
    """Before the first window there is a sentence instead of a report, and the browser asks again by itself."""
    with serving(tmp_path / "none.sqlite3") as url:
        answer = ask(url, **BEARER)
    assert answer.status == 503
    assert "There is no journal at" in answer.text
    assert 'http-equiv="refresh"' in answer.text


@pytest.mark.server
def test_the_page_is_off_without_a_token(tmp_path):
    """Neither the option nor the mount shows that there is a page at all."""
    port = free_port()
    with running(*uvicorn(port), port=port, LEAKGUARD_JOURNAL=str(tmp_path / "j")):
        for path in ("_leakguard/", "_leakguard/static/page.css", "inside/", "inside/sign-in"):
            assert ask(f"http://127.0.0.1:{port}/{path}", **BEARER).status == 404, path


@pytest.mark.server
def test_the_page_is_in_no_figure_and_is_drawn_elsewhere(tmp_path):
    """However often it is looked at: no request, no route, no error of it is counted, none in flight, none kept; the
    worker has not even loaded what draws it.
    """
    port, path = free_port(), tmp_path / "j"
    home = f"http://127.0.0.1:{port}"
    with running(*uvicorn(port), port=port, LEAKGUARD_JOURNAL=str(path), LEAKGUARD_PAGE_TOKEN=TOKEN):
        for _ in range(7):
            assert ask(f"{home}/plain").status == 200
        wait_for(lambda: path.exists() and any(each.windows for each in read(path).workers))
        for place in ("_leakguard", "inside"):
            assert "GET /plain" in ask(f"{home}/{place}/", **BEARER).text
            for _ in range(5):
                ask(f"{home}/{place}/")
                ask(f"{home}/{place}/static/page.css")
        assert ask(f"{home}/plain").text == '{"drawn here":false}'
        wait_for(lambda: sum(r.count for r in routes(path)) >= 8)
        time.sleep(0.5)  # two more windows, in case something came late
    assert {route.route for route in routes(path)} == {"GET /plain"}
    assert sum(route.count for route in routes(path)) == 8
    windows = [window for each in read(path).workers for window in each.windows]
    assert windows[-1].requests == 8
    assert windows[-1].in_flight == 0


@pytest.mark.server
def test_a_worker_that_leaves_does_not_wait_for_who_watches(tmp_path):
    """Ended by its server while a browser keeps its connection and a picture is being drawn, the worker goes at once."""
    import http.client

    port = free_port()
    with running(
        *uvicorn(port), port=port, LEAKGUARD_JOURNAL=str(tmp_path / "j"), LEAKGUARD_PAGE_TOKEN=TOKEN
    ) as process:
        watcher = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        watcher.request("GET", "/_leakguard/", headers=BEARER)
        watcher.getresponse().read()
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) in {0, -signal.SIGTERM}
        watcher.close()


def uvicorn(port):
    return ("uvicorn", "web_app:app", "--port", str(port), "--log-level", "warning")


def routes(path):
    return read(path).routes


def wait_for(holds):
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)
