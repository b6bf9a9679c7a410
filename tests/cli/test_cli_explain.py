"""``leakguard explain``: from a finding to its source line, and to a test that finds it again."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time

import pytest
from cli_journals import LEAK, ROOT, run, write_journal
from support.needs import module

from leakguard.detection.finding import fingerprint
from leakguard.journal.sqlite import SqliteJournal
from leakguard.records import Kind, Site


@pytest.fixture
def several(tmp_path):
    """A journal with findings whose fingerprints begin alike, and one that does not."""
    path = tmp_path / "j"
    for number, print_ in enumerate(("abc123", "abd456", "ff0000")):
        write_journal(path, dataclasses.replace(LEAK, fingerprint=print_, holder=f"game.h{number}"), pid=7 + number)
    return path


def test_a_prefix_is_enough(several):
    """The first digits of a fingerprint are enough, in either case."""
    for prefix in ("f", "FF00", "ff0000"):
        result = run("explain", prefix, "--journal", several)
        assert (result.exit_code, result.stderr) == (0, ""), result.output
        assert "held by game.h2" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("ab",), "beginning of several"), ((), "there are several findings"), (("0123",), "no finding begins with 0123")],
)
def test_what_is_not_one_finding_lists_those_that_are(several, arguments, said):
    """An ambiguous, missing or unknown fingerprint is a usage error that lists the findings with their holders."""
    result = run("explain", *arguments, "--journal", several)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert "abc123  game.h0" in result.stderr


def test_the_only_finding_needs_no_name(tmp_path):
    """With one finding, ``leakguard explain`` alone means that one."""
    result = run("explain", "--journal", write_journal(tmp_path / "j", LEAK))
    assert result.exit_code == 0
    assert "held by game.pending" in result.stdout
    none = run("explain", "--journal", write_journal(tmp_path / "clean"))
    assert none.exit_code == 2
    assert "no finding" in none.stderr
    assert run("explain", "abc", "--journal", tmp_path / "missing").exit_code == 3


def test_from_the_report_to_the_source_line_in_two_commands(tmp_path, monkeypatch):
    """The report prints the command that explains its first finding; that one prints the guilty source line."""
    (tmp_path / "backend").mkdir()
    (tmp_path / "backend" / "game.py").write_text(
        "\n" * 86 + "def ingest(request):\n    pending[request.client] = request\n"
    )
    monkeypatch.chdir(tmp_path)
    journal = write_journal(tmp_path / "j", LEAK)
    told = run("report", "--journal", journal).stdout
    command = next(line for line in told.splitlines() if line.strip().startswith("leakguard explain ")).split()
    explained = run(*command[1:3], "--journal", journal)
    assert "> 88 |     pending[request.client] = request" in explained.stdout


APP = """
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

SEEN = []


async def basket(request):
    SEEN.append({"items": [0] * 10, "of": object()})
    return JSONResponse({})


app = Starlette(routes=[Route("/basket/{player}", basket, methods=["POST"])])
"""


def leaking(folder, target: str = "shop_under_test:app"):
    """Write an app that leaks, and the journal of a worker that found it; return the journal."""
    (folder / "shop_under_test.py").write_text(APP)
    holder = "shop_under_test.SEEN"
    found = dataclasses.replace(
        LEAK,
        fingerprint=fingerprint(Kind.LEAK, holder=holder),
        route="POST /basket/{player}",
        holder=holder,
        site=Site("shop_under_test.py", 10, "basket"),
    )
    path = write_journal(folder / "j", found)
    journal = SqliteJournal(path)
    journal.register(dataclasses.replace(_worker(path), target=target))
    journal.close()
    return path, found


def _worker(path):
    from leakguard.journal.reading import read

    return read(path).workers[-1].worker


@pytest.mark.slow
def test_the_command_that_is_printed_finds_it_again(tmp_path):
    """What ``Reproduce it`` prints, run as it stands in the app's folder, finds the same leak by its fingerprint."""
    path, found = leaking(tmp_path)
    told = run("explain", "--journal", path).stdout
    command = next(line.strip() for line in told.splitlines() if line.strip().startswith("leakguard check "))
    assert command.endswith(f"--finding {found.fingerprint} --journal {path}")
    words = command.replace("leakguard", f"{sys.executable} -m leakguard", 1) + " --format json"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        words, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment, timeout=150
    )
    assert done.returncode == 1, done.stdout + done.stderr
    (again,) = json.loads(done.stdout)["findings"]
    assert (again["fingerprint"], again["holder"]) == (found.fingerprint, found.holder)


@pytest.mark.long
def test_the_test_that_is_printed_fails_until_the_leak_is_cured(tmp_path):
    """The test, copied into a file, fails with the same fingerprint; once the app is cured it passes."""
    module("httpx")
    path, found = leaking(tmp_path)
    told = run("explain", "--journal", path).stdout
    test = told.partition("that comes with leakguard:")[2].splitlines()
    (tmp_path / "test_it.py").write_text("\n".join(line.removeprefix("    ") for line in test))
    command = [sys.executable, "-m", "pytest", "-q", "-W", "ignore", "-p", "no:cacheprovider", "test_it.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    leaks = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert leaks.returncode == 1, leaks.stdout + leaks.stderr
    assert f"fingerprint {found.fingerprint}" in leaks.stdout
    time.sleep(0.01)
    (tmp_path / "shop_under_test.py").write_text(APP.replace("SEEN.append(", "dict("))
    cured = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert cured.returncode == 0, cured.stdout + cured.stderr
