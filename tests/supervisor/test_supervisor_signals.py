"""Signals, exit codes and ends: what systemd, Docker and a person at a terminal see of the supervisor."""

import importlib.util
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from supervised_server import UVICORN, wait_for
from support.needs import require

pytestmark = pytest.mark.server

SLEEPER = (
    "import signal, sys, time; signal.signal(signal.SIG{0}, lambda *_: sys.exit({1}));"
    "print('up', flush=True); time.sleep(60)"
)
TERMINAL = (  # makes its standard input its terminal, as a login does
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.execv(sys.argv[1], sys.argv[1:])"
)


def run(code, **more):
    """Start ``leakguard run -- python -c code``."""
    command = [sys.executable, "-m", "leakguard", "run", "--", sys.executable, "-c", code]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **more)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("import sys; sys.exit(0)", 0),
        ("import sys; sys.exit(7)", 7),
        ("import os; os.kill(os.getpid(), 9)", 137),
        ("import os; os.kill(os.getpid(), 15)", -signal.SIGTERM),
    ],
)
def test_it_ends_as_its_process_ended(code, status):
    """The exit code is the command's, 128 and the number after a signal; a SIGTERM is died of, as systemd wants it."""
    with run(code) as process:
        assert process.wait(30) == status


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "WINCH"])
def test_signals_are_passed_on(name):
    """A process that is no server of ours gets every signal that its supervisor gets, and decides itself."""
    with run(SLEEPER.format(name, 30)) as process:
        assert process.stdout.readline() == "up\n"
        process.send_signal(getattr(signal, f"SIG{name}"))
        assert process.wait(30) == 30


def test_ctrl_c_reaches_the_process_once():
    """A terminal sends Ctrl-C to everybody: passed on as well it would come twice, and servers take that for impatience."""
    code = "import signal, time; got = []; signal.signal(signal.SIGINT, lambda *_: got.append(1)); print('up', flush=True);\n"
    code += (
        "end = time.monotonic() + 2\nwhile time.monotonic() < end: time.sleep(0.05)\nraise SystemExit(40 + len(got))"
    )
    here, there = pty.openpty()
    words = [sys.executable, "-m", "leakguard", "run", "--", sys.executable, "-c", code]
    process = subprocess.Popen(
        [sys.executable, "-c", TERMINAL, *words], stdin=there, stdout=there, stderr=there, start_new_session=False
    )
    os.close(there)
    said = b""
    while b"up" not in said:
        said += os.read(here, 1000)
    os.write(here, b"\x03")
    assert process.wait(30) == 41
    os.close(here)


def test_a_command_that_is_not_there():
    """A mistyped command is said in one line, with the code that shells use."""
    command = [sys.executable, "-m", "leakguard", "run", "--", "no-such-server"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 127
    assert done.stderr == "leakguard: no-such-server cannot be run: No such file or directory\n"


def test_a_wrong_option_is_said_before_anything_runs():
    """A ceiling that is none ends the command with the usage code, the rule and an example."""
    command = [sys.executable, "-m", "leakguard", "run", "--ceiling", "much", "--", "true"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "'ceiling' must be a size such as '384 MiB'" in done.stderr


def test_the_server_gets_what_leakguard_does_not_need(supervise):
    """SIGUSR1, SIGUSR2 and SIGWINCH go to the app that may have a use for them."""
    server = supervise(UVICORN)
    server.await_serving()
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH):
        server.process.send_signal(number)
        wait_for(lambda name=number.name: name in server.ask("/signals"))


SERVERS = {
    "uvicorn": (UVICORN, -signal.SIGTERM),
    "hypercorn": (["hypercorn", "-b", "127.0.0.1:PORT", "supervised_apps:asgi"], 0),
    "daphne": (["daphne", "-b", "127.0.0.1", "-p", "PORT", "-v", "0", "supervised_apps:asgi"], 0),
    "waitress": (["waitress", "--listen", "127.0.0.1:PORT", "--threads", "8", "supervised_apps:wsgi"], 0),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "code", "everybody"),
    [
        pytest.param(*SERVERS["uvicorn"], False, id="uvicorn"),
        pytest.param(*SERVERS["hypercorn"], False, id="hypercorn", marks=pytest.mark.long),
        pytest.param(*SERVERS["daphne"], False, id="daphne", marks=pytest.mark.long),
        pytest.param(*SERVERS["waitress"], False, id="waitress", marks=pytest.mark.long),
        pytest.param(*SERVERS["uvicorn"], True, id="uvicorn-everybody", marks=pytest.mark.long),
        pytest.param(*SERVERS["hypercorn"], True, id="hypercorn-everybody", marks=pytest.mark.long),
        pytest.param(*SERVERS["waitress"], True, id="waitress-everybody", marks=pytest.mark.long),
    ],
)
def test_sigterm_drains_before_it_ends(supervise, command, code, everybody):
    """At a deploy what is connected is answered in full; refused is only who comes after the door was closed.

    Also where systemd tells everybody at once, and after a recycle, when the process has its socket from the supervisor.
    """
    require(importlib.util.find_spec(command[0]), command[0])
    server = supervise(command)
    first = server.await_ready()
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: first not in server.children(), 30, server.said)
    server.await_ready(2)
    began = time.monotonic()
    sent = []

    def over():
        if not sent and time.monotonic() - began > 2:
            sent.append(True)
            for pid in server.children() if everybody else []:
                os.kill(pid, signal.SIGTERM)
            server.process.send_signal(signal.SIGTERM)
        return server.process.poll() is not None

    outcome = server.drive(over, stream_share=0)
    assert set(outcome.counts) <= {"ok", "refused"}, (outcome.counts, outcome.details[:10], server.said())
    assert outcome.counts["ok"] > 50
    assert server.stop() == code


@pytest.mark.slow
def test_a_crash_ends_the_supervisor_with_its_code(supervise):
    """A process that ends by itself is not started again: that is for systemd or Kubernetes, which must see it."""
    server = supervise(UVICORN)
    server.await_serving()
    server.ask("/exit")
    assert server.process.wait(30) == 7


@pytest.mark.slow
def test_sighup_replaces_the_process(supervise):
    """``systemctl reload`` and ``kill -HUP``: the successor serves the code of now, and nothing is lost meanwhile."""
    server = supervise(UVICORN)
    first = server.await_ready()
    server.process.send_signal(signal.SIGHUP)
    outcome = server.drive(lambda: server.ask("/pid") != str(first) and first not in server.children())
    assert outcome.lost == 0, outcome.details
    assert first not in server.children()
    assert server.recycles()[0]["reason"] == "asked for by SIGHUP"


@pytest.mark.slow
def test_without_its_supervisor_the_process_drains_and_ends(supervise):
    """After a SIGKILL of the supervisor nobody is left behind on the port."""
    server = supervise(UVICORN)
    pid = server.await_ready()
    server.process.kill()
    server.process.wait()
    wait_for(lambda: not Path(f"/proc/{pid}").exists())
