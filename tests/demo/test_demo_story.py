"""The main job: the demo from end to end, and that nothing in it knows the answer."""

from __future__ import annotations

import ast
import asyncio
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from leakguard.demo.comparison import column
from leakguard.demo.progress import Progress
from leakguard.demo.run import GUARDED, ROOM
from leakguard.demo.schedule import plan
from leakguard.demo.server import Server
from leakguard.demo.side import run_side
from leakguard.journal.reading import read
from leakguard.reports import json_
from leakguard.reports.model import build

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "game_server"
DEMO = [sys.executable, "-c", "from leakguard.cli import main; main()", "demo"]
BASE = 45 * 1024 * 1024  # about a fresh armed worker; the planted leak's own test does not measure it first


def line_that_makes(source: Path, function: str, name: str) -> int:
    """Return the line in a function that calls ``name``: where what leaks is allocated."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function:
            for call in ast.walk(node):
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == name:
                    return call.lineno
    raise AssertionError(f"{function} does not call {name}")


def environment() -> dict[str, str]:
    """Return an environment in which a subprocess finds this leakguard."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


# Workers that live for eight seconds on a shared machine, judged as it comes: what is broken fails every time.
@pytest.mark.flaky(reruns=2)
@pytest.mark.slow
@pytest.mark.server
@pytest.mark.timeout(240)
def test_the_demo_finds_the_leak_and_loses_no_request() -> None:
    """Route, line and holder of the story's leak, zero lost over three recycles, and the hard kill loses some."""
    ran = subprocess.run([*DEMO, "--json"], capture_output=True, text=True, env=environment(), cwd=ROOT, timeout=200)
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)
    assert report["schema"] == 1
    finding = report["findings"][0]
    assert finding["status"] == "confirmed"
    assert finding["route"] == "POST /telemetry"
    assert finding["holder"] == "game.pending"
    assert finding["site"]["file"] == "game.py"
    assert finding["site"]["line"] == line_that_makes(EXAMPLE / "game.py", "ingest", "Submission")
    assert finding["error"].startswith("KeyError at game.py:")
    without, guarded = report["demo"]["without"], report["demo"]["with"]
    assert without["requests"] == guarded["requests"]
    assert (without["lost"] > 0, without["killed"] >= 3) == (True, True)
    assert guarded["lost"] == 0, guarded["lost_by_fate"]
    assert len(report["recycles"]) >= 3
    assert guarded["restarts"] >= 3
    assert "2/2 with leakguard" in ran.stderr, "progress is shown"


CURED = [  # the story's leak: the player is asked for before the submission is put aside
    ('    player = batch["player"]\n', ""),
    ("    if await is_at_work(submission)", '    player = batch["player"]\n    if await is_at_work(submission)'),
]
A_LIST_OF_RECEIPTS = '''

async def claim_reward(claim: dict[str, Any]) -> dict[str, Any]:
    """Hand out a reward and keep its receipt for good."""
    player = claim["player"]
    receipts.append(Kept(player, b"receipt " * 60_000))
    await database(40)
    return {"player": player, "reward": 100}


@dataclass
class Kept:
    """What was handed out."""

    player: str
    picture: bytes


receipts: list[Kept] = []
'''
A_CACHE_OF_REQUESTS = '''

class Kept(dict):
    """One claim with its request."""


class Desk:
    """Where rewards are claimed."""

    def __init__(self) -> None:
        self.claims: dict[str, Kept] = {}


desk = Desk()


async def claim_reward(claim: dict[str, Any], request: Request) -> dict[str, Any]:
    """Hand out a reward and keep the request for good."""
    kept = Kept(request=request, picture=b"receipt " * 60_000)
    desk.claims[f"{time.time()} {claim}"] = kept
    await database(40)
    return {"player": claim["player"], "reward": 100}
'''


@pytest.mark.flaky(reruns=2)
@pytest.mark.long
@pytest.mark.server
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("planted", "call", "holder", "options"),
    [
        pytest.param(A_CACHE_OF_REQUESTS, "await request.json(), request", "game.desk.claims", {}, id="requests"),
        # Containers are found by comparing looks: in half a minute that takes this level and a worker that stays.
        pytest.param(
            A_LIST_OF_RECEIPTS,
            "await request.json()",
            "game.receipts",
            {"LEAKGUARD_LEVEL": "paranoid", "LEAKGUARD_CEILING": "1 GiB"},
            id="container",
        ),
    ],
)
def test_another_leak_gives_another_report(
    planted: str, call: str, holder: str, options: dict[str, str], tmp_path: Path
) -> None:
    """The same load on a copy whose telemetry is cured and whose rewards leak: the report names rewards, line and holder."""
    place = tmp_path / "game_server"
    shutil.copytree(EXAMPLE, place, ignore=shutil.ignore_patterns("__pycache__"))
    rules, routes = (place / "game.py").read_text(), (place / "app.py").read_text()
    for old, new in CURED:
        assert rules.count(old) == 1
        rules = rules.replace(old, new)
    assert routes.count("claim_reward(await request.json())") == 1
    (place / "game.py").write_text(rules + planted)
    (place / "app.py").write_text(routes.replace("claim_reward(await request.json())", f"claim_reward({call})"))
    journal = tmp_path / "journal.sqlite3"
    options = {**GUARDED, "LEAKGUARD_CEILING": str(BASE + ROOM), "LEAKGUARD_JOURNAL": str(journal), **options}
    with Server(place, options, tmp_path / "log") as server:
        side = asyncio.run(run_side("with", server, plan(24), None, Progress(io.StringIO())))
        assert column(side).lost == 0, column(side).lost_by_fate
    report = json_.as_dict(build(read(journal)))
    assert report["findings"], report
    finding = report["findings"][0]
    assert finding["status"] == "confirmed", report["findings"]
    assert finding["route"] == "POST /rewards/daily"
    assert finding["holder"] == holder
    assert finding["site"]["file"] == "game.py"
    assert finding["site"]["line"] == line_that_makes(place / "game.py", "claim_reward", "Kept")
    assert not any((each["holder"] or "").startswith("game.pending") for each in report["findings"])


@pytest.mark.server
def test_ctrl_c_ends_the_servers_too(tmp_path: Path) -> None:
    """Interrupted in the middle of the load, the demo leaves no process behind and says so with exit code 130."""
    with (tmp_path / "err").open("wb") as errors:
        demo = subprocess.Popen(DEMO, stdout=subprocess.DEVNULL, stderr=errors, env=environment(), cwd=ROOT)
    try:
        processes = []
        deadline = time.monotonic() + 60
        while len(processes) < 2 and time.monotonic() < deadline:  # the server's first process and its worker
            time.sleep(0.1)
            processes = psutil.Process(demo.pid).children(recursive=True)
        assert len(processes) >= 2
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 130
        _, alive = psutil.wait_procs(processes, timeout=20)
        assert not alive
    finally:
        demo.kill()
        demo.wait()


def test_a_directory_without_an_app_is_a_clear_error(tmp_path: Path) -> None:
    """One line that names the way out, and exit code 3."""
    ran = subprocess.run([*DEMO, "--app", str(tmp_path)], capture_output=True, text=True, env=environment(), timeout=60)
    assert ran.returncode == 3
    assert "no app.py" in ran.stderr
    assert "--app DIR" in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert ran.stdout == ""
