"""``leakguard check`` as a user runs it: what leaks is found, what does not is clean, and nothing else is ever called clean."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest
from check_apps import AIOHTTP, PLAIN_ASGI, PLAIN_WSGI, check
from support.needs import ROOT, module

from leakguard.detection.finding import fingerprint
from leakguard.records import Kind

pytestmark = pytest.mark.server

# Enough for a leak of one per request, and quick.
QUICK = ("--loops", "8")


@pytest.mark.parametrize(
    ("app", "paths", "holder", "route"),
    [
        (PLAIN_ASGI, ["/leak", "/ok"], "app.KEPT", "GET /leak"),
        (PLAIN_WSGI, ["POST /leak/{n}", "/ok"], "app.KEPT", "POST /leak/{n}"),
        (AIOHTTP, [], "app.KEPT", "GET /leak/{id}"),
    ],
    ids=["asgi", "wsgi", "aiohttp"],
)
def test_a_leak_is_found_and_told(tmp_path, app, paths, holder, route):
    """Exit code 1; the JSON keeps to the schema and names holder, route and rate, whatever the app speaks."""
    jsonschema = module("jsonschema")
    ran = check(tmp_path, "app", *QUICK, "--format", "json", *(f"--path={path}" for path in paths), app=app)
    assert ran.code == 1, ran.err
    report = ran.report
    jsonschema.validate(report, json.loads((ROOT / "docs/report.schema.json").read_text()))
    (finding,) = report["findings"]
    assert (finding["kind"], finding["holder"], finding["route"]) == ("leak", holder, route)
    assert finding["per_request"] == pytest.approx(1, abs=0.2)
    assert report["verdict"] == "leak"
    assert report["requests"] == sum(n for each in report["check"]["requests"] for n in each["statuses"].values())


def test_nothing_leaks(tmp_path):
    """Exit code 0, verdict steady, and what was measured; nothing on stderr."""
    ran = check(tmp_path, "app:app", *QUICK, "--path", "/ok", "--path", "/{n}", app=PLAIN_ASGI)
    assert ran.code == 0
    assert "Verdict: steady" in ran.out
    assert "GET /ok, GET /{n}" in ran.out
    assert ran.err == ""


def test_each_route_alone(tmp_path):
    """``--separate`` judges every request by itself: the leak is the one's that leaks, and the other is steady."""
    paths = ("--path", "/ok", "--path", "/leak")
    ran = check(tmp_path, "app", *QUICK, "--separate", "--format", "json", *paths, app=PLAIN_ASGI)
    assert ran.code == 1
    assert [finding["route"] for finding in ran.report["findings"]] == ["GET /leak"]
    assert len(ran.report["check"]["loops"]) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--path", "/boom"], 3, ["GET /boom answered 500 every time", "KeyError at app.py:", "unknown"]),
        (["--path", "/boom", "--errors-expected"], 0, ["Verdict: steady"]),
        (["--path", "/leaky-boom"], 1, ["app.KEPT"]),
        (["--path", "/missing"], 3, ["every request was answered 404", "wrong path"]),
        (["--path", "/missing", "--path", "/ok"], 0, ["GET /missing was answered 404 every time"]),
    ],
)
def test_errors_are_never_called_clean(tmp_path, arguments, code, words):
    """A route that always fails is named and not measured, unless that is expected; a leak on its error path is a leak."""
    ran = check(tmp_path, "app", *QUICK, *arguments, app=PLAIN_ASGI)
    assert ran.code == code, ran.out + ran.err
    said = " ".join(ran.out.split())
    for word in words:
        assert word in said
    assert "secret" not in ran.out


HANGING = """
    import asyncio, ctypes, os, re, sys, threading, time

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            raise RuntimeError("no lifespan")
        match scope["path"]:
            case "/waits":
                await asyncio.Event().wait()
            case "/blocks":
                time.sleep(1000)  # the loop with it
            case "/burns":
                re.match("(a+)+$", "a" * 40 + "b")  # never gives the interpreter away
            case "/crashes":
                ctypes.string_at(0)
            case "/leaves":
                os._exit(5)

    def sleeper(environ, start_response):
        time.sleep(1000)

    async def never(scope, receive, send):
        await receive()
        await asyncio.Event().wait()
"""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["app:app", "--path", "/waits"], ["GET /waits hangs", "app.py:9"]),
        (["app:app", "--path", "/blocks"], ["GET /blocks hangs", "app.py:11 in app"]),
        (["app:app", "--path", "/burns"], ["GET /burns hangs", "app.py:13 in app"]),
        (["app:sleeper", "--path", "/"], ["GET / hangs", "app.py:20 in sleeper"]),
        (["app:sleeper", "--path", "/", "--concurrency", "3"], ["GET / hangs", "app.py:20 in sleeper"]),
        (["app:app", "--path", "/crashes"], ["crashed (SIGSEGV) while GET /crashes was on its way", "app.py:15"]),
        (["app:app", "--path", "/leaves"], ["ended its process (exit code 5) while GET /leaves"]),
    ],
)
def test_an_app_that_hangs_or_dies(tmp_path, arguments, words):
    """In whatever way it hangs, crashes or leaves: exit code 3, the request and the line; never clean, never a traceback."""
    ran = check(tmp_path, *arguments, "--request-timeout", "500ms", app=HANGING)
    assert ran.code == 3, ran.out + ran.err
    assert ran.out == ""
    for word in words:
        assert word in ran.err
    assert "Traceback" not in ran.err


def test_an_import_that_hangs(tmp_path):
    """The deadline holds while the app is imported too, and the line is told."""
    ran = check(tmp_path, "app", "--path", "/", "--deadline", "1.5s", app="import time\ntime.sleep(1000)")
    assert ran.code == 3
    assert "the deadline of 1.5 s passed while importing the app; it is at app.py:2" in ran.err


def test_the_deadline_is_met(tmp_path):
    """What is not concluded when the time is over is unknown, exit code 3."""
    slow = """
        import asyncio

        async def app(scope, receive, send):
            await asyncio.sleep(0.2)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})
    """
    ran = check(tmp_path, "app", "--loops", "100", "--path", "/", "--deadline", "3s", "--format", "json", app=slow)
    assert ran.code == 3
    assert ran.report["verdict"] == "unknown"
    assert "deadline" in ran.report["reasons"][0]
    assert ran.report["check"]["seconds"] < 10


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothere:app"], ["there is no module 'nothere'"]),
        (["app:ap", "--path", "/"], ["no attribute 'ap'", "did you mean"]),
        (["app"], ["tells no routes", "--path"]),
        (["app", "--path", "items"], ["--path", "begins with /"]),
        (["app", "--requests", "none.json"], ["--requests", "No such file"]),
        (["app", "--requests", "app.py"], ["--requests", "must be JSON"]),
        (["app", "--path", "/", "--env", "NAME"], ["--env", "NAME=VALUE"]),
        (["app", "--path", "/", "--fail-on", "leek"], ["--fail-on", "'leek'"]),
        (["app", "--path", "/", "--finding", "xy"], ["--finding", "fingerprint"]),
        (["app", "--path", "/", "--ignore", "nope"], ["ignore", "holder:"]),
        (["app", "--path", "/", "--deadline", "0"], ["duration"]),
        (["app", "--path", "/", "--loops", "0"], ["--loops"]),
        (["broken"], ["ZeroDivisionError: division by zero (at broken.py:3 in helper)"]),
        ([], ["TARGET"]),
    ],
)
def test_bad_input_is_exit_code_two(tmp_path, arguments, words):
    """Every mistake of the user's is one message with the rule and the way out, no traceback, nothing on stdout."""
    broken = "\ndef helper():\n    return 1 / 0\nhelper()"
    ran = check(tmp_path, *arguments, app=PLAIN_ASGI, broken=broken)
    assert ran.code == 2, ran.out + ran.err
    assert ran.out == ""
    assert "Traceback" not in ran.err
    for word in words:
        assert word in ran.err


def test_what_the_app_prints_stays_out_of_the_report(tmp_path):
    """Standard output carries the report alone, however the app writes: from Python, from C, from a child process."""
    loud = """
        import os, subprocess, sys
        print("imported")

        def app(environ, start_response):
            print("python")
            sys.__stdout__.write("stream")
            sys.__stdout__.flush()
            os.write(1, b"descriptor")
            start_response("200 OK", [])
            return []
    """
    ran = check(tmp_path, "app", *QUICK, "--path", "/", "--format", "json", app=loud)
    assert ran.code == 0
    assert ran.report["verdict"] == "steady"
    assert "imported" in ran.err
    assert ran.err.count("descriptor") == 1  # of the first request: later ones are told nobody


def test_the_requests_of_a_file_are_one_round_trip(tmp_path):
    """Numbers rise with every request, bodies and headers arrive, and the environment is the app's."""
    app = """
        import json, os
        SEEN = []

        def app(environ, start_response):
            body = environ["wsgi.input"].read().decode()
            ok = {
                "/a": environ["QUERY_STRING"].isdigit(),
                "/b": environ.get("HTTP_X_N", "").isdigit() and json.loads(body or "{}").get("id", "").isdigit(),
                "/c": body == "hello" and os.environ["SHOP"] == "open=always",
            }[environ["PATH_INFO"]]
            start_response("200 OK" if ok else "418 No", [])
            return []
    """
    requests = [
        {"method": "GET", "path": "/a?{n}"},
        {"method": "PUT", "path": "/b", "headers": {"X-N": "{n}"}, "body_json": {"id": "{n}"}},
        {"method": "POST", "path": "/c", "body_base64": "aGVsbG8="},
    ]
    (tmp_path / "r.json").write_text(json.dumps(requests))
    ran = check(
        tmp_path, "app", *QUICK, "--requests", "r.json", "--env", "SHOP=open=always", "--format", "json", app=app
    )
    asked = ran.report["check"]["requests"]
    assert [(each["name"], list(each["statuses"])) for each in asked] == [
        ("GET /a", ["200"]),
        ("PUT /b", ["200"]),
        ("POST /c", ["200"]),
    ]
    assert len({sum(each["statuses"].values()) for each in asked}) == 1


def test_a_finding_is_reproduced_by_its_fingerprint(tmp_path):
    """``--finding`` with the fingerprint that the middleware would give to this leak, or its beginning: exit code 1."""
    known = fingerprint(Kind.LEAK, holder="app.KEPT")
    ran = check(tmp_path, "app", *QUICK, "--path", "/leak", "--finding", known[:6], app=PLAIN_ASGI)
    assert ran.code == 1
    assert known in ran.out


def test_progress_on_a_terminal(tmp_path):
    """A terminal sees how far it is, and nothing of it stays."""
    (tmp_path / "app.py").write_text("import time\ntime.sleep(1)\ndef app(environ, start_response): return []")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "leakguard", "check", "app", "--path", "/", "--errors-expected", *QUICK]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=theirs, check=False)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.returncode == 0
    assert "importing the app" in shown
    assert shown.endswith("\r\x1b[K")
