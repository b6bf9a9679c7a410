"""One row's server as processes, ended whatever happens."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.recycling.rows import GUNICORN_23, PM2, Row

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(tempfile.gettempdir()) / f"leakguard-benchmark-tools-{os.geteuid()}"


class Server:
    """``row.command`` on a free port, restarted when it ends where the row says so. Use it as a context manager."""

    def __init__(self, row: Row, directory: Path) -> None:
        self.row = row
        self.port = free_port()
        self.log = directory / "log"
        self.ready = directory / "ready"
        self.starts = 0
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._over = threading.Event()

    def __enter__(self) -> Server:
        if self.row.needs == PM2:
            self._start_pm2()
        else:
            self._start()
        if self.row.restarted:
            threading.Thread(target=self._restart, daemon=True).start()
        self._await_listening()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self.row.needs == PM2:
            self._pm2("kill")
            return
        process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            pass
        finally:
            # The group is of this row's processes alone: they were started in a session of their own.
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()

    @property
    def alive(self) -> bool:
        """Whether the command runs, or is about to again."""
        return (
            self.row.restarted or self.row.needs == PM2 or (self._process is not None and self._process.poll() is None)
        )

    def _environment(self) -> dict[str, str]:
        paths = [str(ROOT)]
        if self.row.needs == GUNICORN_23:
            paths.insert(0, str(gunicorn_23()))
        own = {
            "PYTHONPATH": os.pathsep.join(paths),
            "BENCH_WAY": self.row.way,
            "LEAKGUARD_JOURNAL": str(self._directory / "journal.sqlite3"),
            "XDG_RUNTIME_DIR": str(self._directory),
            **self.row.environment,
        }
        if self.row.way == "leakguard" and self.row.workers > 2:
            own["BENCH_READY"] = str(self.ready)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LEAKGUARD_", "BENCH_"))}
        return {**kept, **own}

    def _start(self) -> None:
        self.starts += 1
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [word.replace("PORT", str(self.port)) for word in self.row.command],
                env=self._environment(),
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _restart(self) -> None:
        while not self._over.is_set():
            if self._process is not None and self._process.poll() is not None:
                self._start()
            time.sleep(0.02)

    def _start_pm2(self) -> None:
        words = [word.replace("PORT", str(self.port)) for word in self.row.command]
        options = ["--interpreter", sys.executable, "--max-memory-restart", "75M", "--name", "bench"]
        self._pm2("start", words[0], *options, "--", *words[1:])

    def _pm2(self, *words: str) -> None:
        environment = {**self._environment(), "PM2_HOME": str(self._directory / "pm2"), "PM2_WORKER_INTERVAL": "1000"}
        with self.log.open("ab") as log:
            subprocess.run(
                [str(pm2()), *words],
                env=environment,
                cwd=self._directory,
                stdout=log,
                stderr=log,
                check=False,
                timeout=60,
            )

    def _await_listening(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1):
                    return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"{self.row.name} did not start:\n{self.log.read_text(errors='replace')[-2000:]}")


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def gunicorn_23() -> Path:
    """Return a directory with gunicorn 23, the release that most installations have; installed on first use."""
    directory = TOOLS / GUNICORN_23
    if not (directory / "gunicorn").exists():
        pip = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-deps",
            "--target",
            str(directory),
            "gunicorn==23.0.0",
        ]
        subprocess.run(pip, check=True)
    return directory


def pm2() -> Path:
    """Return the real PM2's program; installed by npm on first use."""
    directory = TOOLS / PM2
    program = directory / "node_modules/.bin/pm2"
    if not program.exists():
        directory.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "pm2"], cwd=directory, check=True)
    return program
