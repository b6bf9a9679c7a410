"""The zero-code way in: the middleware is around the app, once, whatever server loads it."""

import importlib.util
import os
import signal
import subprocess
import sys

import pytest
from supervised_server import ROOT, UVICORN, wait_for
from support.needs import require

pytestmark = [pytest.mark.server, pytest.mark.slow]

ASGI, WSGI = "supervised_apps:asgi", "supervised_apps:wsgi"

COMMANDS = {
    "uvicorn": UVICORN,
    "uvicorn-workers": [*UVICORN, "--workers", "2"],
    "gunicorn-sync": ["gunicorn", "-w", "2", "-b", "127.0.0.1:PORT", WSGI],
    "gunicorn-gthread": ["gunicorn", "-k", "gthread", "--threads", "4", "-b", "127.0.0.1:PORT", WSGI],
    "gunicorn-asgi": ["gunicorn", "-k", "asgi", "-b", "127.0.0.1:PORT", "--graceful-timeout", "5", ASGI],
    "gunicorn-uvicorn": ["gunicorn", "-k", "uvicorn_worker.UvicornWorker", "-b", "127.0.0.1:PORT", ASGI],
    "hypercorn": ["hypercorn", "-w", "2", "-b", "127.0.0.1:PORT", ASGI],
    "granian-asgi": ["granian", "--interface", "asgi", "--port", "PORT", ASGI],
    "granian-wsgi": ["granian", "--interface", "wsgi", "--port", "PORT", WSGI],
    "waitress": ["waitress", "--listen", "127.0.0.1:PORT", WSGI],
    "daphne": ["daphne", "-b", "127.0.0.1", "-p", "PORT", "-v", "0", ASGI],
}


def counted(server):
    """Return how many requests for plain pages the windows of the journal tell of."""
    total = 0
    for window in server.rows("window"):
        total += sum(route["count"] for route in window["routes"] if "plain" in route["route"])
    return total


PLAIN = {"uvicorn", "gunicorn-sync", "waitress"}


@pytest.mark.parametrize(
    "command",
    [pytest.param(words, id=name, marks=() if name in PLAIN else pytest.mark.long) for name, words in COMMANDS.items()],
)
def test_every_server_gets_the_middleware(supervise, command):
    """An app that knows nothing of leakguard is watched: each request is counted, once."""
    require(importlib.util.find_spec(command[0]), command[0])
    server = supervise(command, environment={"APP_BOOT": "0", "APP_LEAK": "10"})
    server.await_serving()
    for _ in range(12):
        assert server.ask("/plain/0") == "done\n"
    wait_for(lambda: counted(server) >= 12, 20, lambda: str(server.rows("window")[-1:]) + server.said()[-2000:])
    assert counted(server) == 12


@pytest.mark.parametrize(("app", "ceiling"), [("app", 999), ("made", 888), ("inside", 888)])
def test_an_app_that_has_the_middleware_keeps_its_options(supervise, app, ceiling):
    """What the source says wins over the command line, and each request counts once."""
    command = [*UVICORN[:-1], f"guarded_app:{app}"]
    server = supervise(command, "--ceiling", "700 MiB", environment={"LEAKGUARD_HARD_CEILING": ""})
    wait_for(lambda: server.ask("/plain/1"))
    for _ in range(5):
        server.ask("/plain/2")
    wait_for(lambda: counted(server) == 6)
    assert server.rows("worker")[0]["ceiling"] == ceiling * 1024 * 1024


def test_a_command_may_be_a_shell_that_starts_the_server(supervise):
    """What is run need not be the server itself: a script that migrates first, then serves, is supervised just so."""
    words = f"{sys.executable} -c 'print(1)' && {sys.executable} -m {' '.join(UVICORN)}; exit $?"
    server = supervise(["sh", "-c", words], module=False)
    pid = server.await_ready()
    assert pid not in server.children(), "the shell was to stay in between"
    assert "leakguard run" in server.rows("worker")[0]["strategy"]
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: server.ask("/pid") not in {None, str(pid)}, 30, server.said)


def test_what_the_app_starts_has_no_part_in_the_link(supervise):
    """The served process takes the link out of its environment, so that a helper it starts is not taken for a server."""
    server = supervise(UVICORN)
    server.await_serving()
    assert server.ask("/link") == "none"


def test_another_sitecustomize_still_runs(tmp_path):
    """A module of that name that was there before is imported after ours, and PYTHONPATH keeps its other entries."""
    (tmp_path / "sitecustomize.py").write_text("print('theirs')\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    code = (
        "import sitecustomize, sys; print(sitecustomize.__file__); print(any('bootstrap' in path for path in sys.path))"
    )
    command = [sys.executable, "-m", "leakguard", "run", "--", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=30)
    # Once for leakguard's own process, once for the command's.
    assert done.stdout.splitlines()[1:] == ["theirs", str(tmp_path / "sitecustomize.py"), "False"], done


def test_a_python_without_leakguard_runs_all_the_same(tmp_path):
    """A command of another environment runs, and one line says what is missing there."""
    bare = "import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p]"
    bootstrap = ROOT / "leakguard" / "supervisor" / "bootstrap"
    environment = {"PYTHONPATH": str(bootstrap), "_LEAKGUARD_RUN": "1", "PATH": os.environ["PATH"]}
    command = [sys.executable, "-S", "-c", f"{bare}; import sitecustomize; print('ran')"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=30, cwd=tmp_path)
    assert done.stdout == "ran\n"
    assert "has no leakguard; install it there, too. Running without it" in done.stderr
