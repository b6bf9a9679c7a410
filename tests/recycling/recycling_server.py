"""A real server as a process on loopback, running one of the leaking apps of this directory."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from support.load import drive

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


class RunningServer:
    """One server with its log of what its workers said."""

    def __init__(self, command, directory, environment, before=()):
        self.port = free_port()
        self.log = directory / "said"
        self.log.touch()
        self.output = directory / "output"
        self.words = [word.replace("PORT", str(self.port)) for word in command]
        settings = {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)]),
            "RECYCLING_LOG": str(self.log),
            "XDG_RUNTIME_DIR": str(directory),
            "LEAKGUARD_CEILING": "64 MiB",
            "LEAKGUARD_MIN_LIFETIME": "300ms",
            "LEAKGUARD_DRAIN": "5s",
        }
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [*before, *program(self.words)],
                env={**os.environ, **settings, **environment},
                cwd=HERE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.await_listening()

    def await_listening(self):
        """Wait until the port takes connections."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.02)
        raise AssertionError(f"the server did not start:\n{self.output.read_text()}")

    def said(self, kind):
        """Return the entries of one kind that the workers wrote."""
        entries = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [entry for entry in entries if entry["kind"] == kind]

    def await_said(self, kind, count=1, seconds=30):
        """Wait until at least ``count`` entries of one kind are there, and return them."""
        deadline = time.monotonic() + seconds
        while len(self.said(kind)) < count:
            assert time.monotonic() < deadline, f"{count} x {kind} did not come:\n{self.output.read_text()}"
            assert self.process.poll() is None, self.output.read_text()
            time.sleep(0.05)
        return self.said(kind)

    def drive(self, until, seconds=20, **load):
        """Let the load run until ``until()`` or the time is up, and return what it saw."""
        end = time.monotonic() + seconds
        return asyncio.run(drive(self.port, lambda: time.monotonic() > end or until(), **load))

    def drive_recycles(self, recycles, *, seconds=20, **load):
        """Let the load run until so many workers have left and the last one's successor serves."""

        def over():
            left = [entry["at"] for entry in self.said("recycle")]
            return len(left) >= recycles and any(entry["at"] > left[recycles - 1] + 1 for entry in self.said("ticks"))

        return self.drive(over, seconds, **load)

    def await_workers(self):
        """Wait until uWSGI's workers have booted: told to end while one boots, it never ends, whatever app it runs."""
        deadline = time.monotonic() + 20
        while "--lazy-apps" in self.words and time.monotonic() < deadline:
            output = self.output.read_text()
            if output.count(" ready in ") >= output.count("pawned uWSGI worker "):
                return
            time.sleep(0.05)

    def stop(self):
        """End the server and all its workers."""
        self.await_workers()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the server did not end:\n{self.output.read_text()}") from None


def program(words):
    """Return the command line of a server that is a Python module, or of uWSGI, which is a program of its own."""
    if words[0] == "uwsgi":
        return [Path(sys.executable).with_name("uwsgi"), "--virtualenv", sys.prefix, *words[1:]]
    return [sys.executable, "-m", *words]


def free_port():
    """Return a loopback port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
