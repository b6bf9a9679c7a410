"""The demo's servers: started in a group of their own, ended whatever happens, and heard when they fail."""

from __future__ import annotations

import asyncio
import io
import os
import time
from pathlib import Path

import psutil
import pytest

from leakguard.demo import run, server
from leakguard.demo.progress import Progress
from leakguard.demo.server import Server
from leakguard.demo.side import run_side
from leakguard.demo.watch import Watch
from leakguard.errors import NotMeasuredError

APP = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
ballast = []

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] == "/grow":
        ballast.append(b"x" * 30_000_000)
    body = str(child.pid).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
"""


def write_app(folder: Path, source: str) -> Path:
    """Write an app.py into a folder of its own."""
    place = folder / "app"
    place.mkdir()
    (place / "app.py").write_text(source)
    return place


def get(port: int, path: str) -> bytes:
    """Return the body of one answer, asked for until it comes."""

    async def ask() -> bytes:
        deadline = time.monotonic() + 30
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                answer = await reader.read()
                writer.close()
                if answer:
                    return answer.partition(b"\r\n\r\n")[2]
            except OSError:
                pass
            assert time.monotonic() < deadline, "the server never answered"
            await asyncio.sleep(0.05)

    return asyncio.run(ask())


def gone(pid: int) -> bool:
    """Whether a process has ended (a zombie that nobody reaps counts as ended), within a generous time."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.server
def test_the_end_of_a_server_is_the_end_of_all_its_processes(tmp_path: Path) -> None:
    """Workers and what they started are gone after the block, also when it is left by Ctrl-C."""
    started = []
    with (
        pytest.raises(KeyboardInterrupt),
        Server(write_app(tmp_path, APP), {"LEAKGUARD_LEVEL": "off"}, tmp_path / "log") as one,
    ):
        started = [int(get(one.port, "/")), *(worker.pid for worker in one.workers())]
        assert len(started) == 2
        raise KeyboardInterrupt
    assert all(gone(pid) for pid in started)


@pytest.mark.server
def test_the_watch_kills_a_worker_above_the_mark_and_sees_the_next(tmp_path: Path) -> None:
    """The hard kill of the story: above the mark the worker is gone and another one answers."""
    with Server(write_app(tmp_path, APP), {"LEAKGUARD_LEVEL": "off"}, tmp_path / "log") as one:
        get(one.port, "/")
        (first,) = one.workers()
        watch = Watch(one, kill_at=first.memory_info().rss + 20_000_000)
        watch.look()
        assert not watch.killed
        get(one.port, "/grow")
        watch.look()
        assert watch.killed == {first.pid}
        assert gone(first.pid)
        get(one.port, "/")
        watch.look()
        assert len(watch.pids) == 2
        assert watch.peak > 30_000_000


@pytest.mark.server
def test_a_server_that_cannot_start_is_reported_with_its_own_words(tmp_path: Path) -> None:
    """An app that breaks at import: an error at once, and the log has what the server said."""
    place = write_app(tmp_path, "raise RuntimeError('the roof is on fire')")
    with Server(place, {}, tmp_path / "log") as one:
        with pytest.raises(NotMeasuredError, match="did not come up"):
            asyncio.run(run_side("x", one, [], None, Progress(io.StringIO())))
        assert "the roof is on fire" in one.log_tail(60)


def test_the_callers_options_do_not_reach_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A LEAKGUARD_CEILING in the shell would make the two sides unequal."""
    monkeypatch.setenv("LEAKGUARD_CEILING", "1 GiB")
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--workers 4")
    environment = server._environment({"LEAKGUARD_LEVEL": "off"})
    assert {name for name in environment if name.startswith(("LEAKGUARD_", "GUNICORN_"))} == {"LEAKGUARD_LEVEL"}


def test_missing_packages_are_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without gunicorn the demo says in one line what to install."""
    monkeypatch.setattr(server, "NEEDED", ("asyncio", "not_there_at_all"))
    with pytest.raises(NotMeasuredError) as caught:
        server.check_installed()
    assert str(caught.value).startswith("the demo needs not-there-at-all; install the extra: pip install ")
    assert "\n" not in str(caught.value)


def test_where_the_app_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The given directory, then the checkout's example under the working directory, then leakguard's own."""
    mine, theirs = tmp_path / "mine", tmp_path / "examples" / "game_server"
    for place in (mine, theirs):
        place.mkdir(parents=True)
        (place / "app.py").touch()
    monkeypatch.chdir(tmp_path)
    assert run.find_app(mine) == mine
    assert run.find_app() == theirs
    os.chdir(mine)
    assert (run.find_app() / "game.py").is_file()
    with pytest.raises(NotMeasuredError, match="--app DIR"):
        run.find_app(tmp_path)
