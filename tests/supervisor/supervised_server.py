"""``leakguard run -- <command>`` as a process on loopback, seen from outside and through the journal."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
from support.load import drive

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

UVICORN = ["uvicorn", "--port", "PORT", "--log-level", "warning", "supervised_apps:asgi"]


class Supervised:
    """One ``leakguard run`` with its journal.

    Args:
        command: words after ``python -m``; PORT stands for the port.
        directory: for journal and output.
        options: more words for ``leakguard run``.
        environment: more variables.
        listener: a socket to pass as systemd does.
        module: whether ``python -m`` comes before the command.
    """

    def __init__(self, command, directory, options=(), *, environment=None, listener=None, port=None, module=True):
        self.port = port or free_port()
        self.journal = directory / "journal.sqlite3"
        self.output = directory / "output"
        python = [sys.executable, "-m"] if module else []
        settings = {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)]),
            "XDG_RUNTIME_DIR": str(directory),
            "LEAKGUARD_JOURNAL": str(self.journal),
            "LEAKGUARD_INTERVAL": "250ms",
            "LEAKGUARD_WARMUP": "1s",
            "LEAKGUARD_MIN_LIFETIME": "300ms",
            "LEAKGUARD_DRAIN": "5s",
        }
        if "--ceiling" in options:
            settings["LEAKGUARD_HARD_CEILING"] = "1 GiB"
        words = [word.replace("PORT", str(self.port)) for word in command]
        run = [sys.executable, "-m", "leakguard", "run", *options, "--", *python, *words]
        if listener is not None:
            run = [sys.executable, "-c", _AS_SYSTEMD, str(listener.fileno()), *run]
        with self.output.open("a") as output:
            self.process = subprocess.Popen(
                run,
                env={**os.environ, **settings, **(environment or {})},
                cwd=HERE,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=() if listener is None else (listener.fileno(),),
            )

    def await_serving(self, seconds=30):
        """Wait until it answers, and return the process id of the one who did."""
        wait_for(lambda: self.ask("/pid") is not None or self.ended(), seconds, self.said)
        return int(self.ask("/pid"))

    def ended(self):
        """Fail if the process is gone."""
        assert self.process.poll() is None, self.said()

    def ask(self, path):
        """Return the body of the answer, ``None`` while there is none."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.read().decode()
        except OSError:
            return None

    def said(self):
        """Return what was printed."""
        return self.output.read_text()

    def rows(self, table, kind=None):
        """Return the payloads of a table of the journal, oldest first: a look that costs no more than it must."""
        where = "" if kind is None else f" WHERE kind = '{kind}'"
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(self.journal)) as journal:
            return [json.loads(row[0]) for row in journal.execute(f"SELECT payload FROM {table}{where}")]
        return []

    def await_ready(self, count=1):
        """Wait until so many processes have said that they serve, and return the answering one's process id."""
        self.await_ready_count(count)
        return self.await_serving()

    def await_ready_count(self, count):
        """Wait until so many processes have said that they serve."""

        def ready():
            with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(self.journal)) as journal:
                return journal.execute("SELECT count(ready) FROM worker").fetchone()[0] >= count
            return False

        wait_for(ready, 30, self.said)

    def recycles(self):
        """Return the recycles so far."""
        return self.rows("event", "recycle")

    def notes(self):
        """Return the notes so far."""
        return [str(note) for note in self.rows("event", "note")]

    def children(self):
        """Return the process ids of what the supervisor runs."""
        try:
            return [child.pid for child in psutil.Process(self.process.pid).children()]
        except psutil.Error:
            return []

    def drive(self, until, seconds=30, **load):
        """Let the load run until ``until()`` or the time is up, and return what it saw."""
        end = time.monotonic() + seconds
        looked = [0.0, False]

        def over():
            if time.monotonic() > end:
                return True
            if time.monotonic() - looked[0] > 0.3:
                looked[:] = [time.monotonic(), bool(until())]
            return looked[1]

        return asyncio.run(drive(self.port, over, **load))

    def drive_recycles(self, count, **load):
        """Let the load run until so many processes have left and one more second."""
        reached = []

        def over():
            if len(self.recycles()) >= count:
                reached.append(time.monotonic())
            return reached and time.monotonic() - reached[0] > 1

        return self.drive(over, **load)

    def stop(self, number=signal.SIGTERM, seconds=30):
        """End it and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            for pid in self.children():
                os.kill(pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"it did not end:\n{self.said()}") from None


# What systemd does between fork and exec: the socket becomes descriptor 3, and the variables name the process.
_AS_SYSTEMD = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1');"
    "os.execv(sys.argv[2], sys.argv[2:])"
)


def free_port():
    """Return a loopback port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(holds, seconds=30, otherwise=lambda: "it did not come"):
    """Wait until ``holds()``."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.05)
