"""One server under the demo: gunicorn with one uvicorn worker, in its own process group, ended whatever happens."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

import leakguard
from leakguard.errors import NotMeasuredError

NEEDED = ("gunicorn", "uvicorn", "uvicorn_worker")
STOP_WITHIN = 8.0  # seconds for a graceful end; then the whole process group is killed
_SETTINGS = (
    "control_socket_disable = True\n"  # nothing of gunicorn 27's is left in the user's home; older ones ignore it
)


def check_installed() -> None:
    """Raise ``NotMeasuredError`` with the way out when a package that the demo starts is missing."""
    missing = [name.replace("_", "-") for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise NotMeasuredError(
            f"the demo needs {', '.join(missing)}; install the extra: "
            "pip install 'leakguard-middleware[demo]' (in a checkout: pip install '.[demo]')"
        )


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """``gunicorn app:app`` with one worker for the application in ``directory``; its output goes to the file ``log``.

    Use it as a context manager. ``options`` are the ``LEAKGUARD_*`` variables that it gets; the caller's own are not passed on.
    """

    def __init__(self, directory: Path, options: Mapping[str, str], log: Path) -> None:
        self.port = free_port()
        self.log = log
        self._directory = directory
        self._environment = _environment(options)
        self._settings = log.with_suffix(".conf.py")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def command(self) -> list[str]:
        """The command line, the same on both sides but for the port."""
        return [
            *[sys.executable, "-m", "gunicorn", "app:app"],
            *["--config", str(self._settings), "--chdir", str(self._directory)],
            *["--bind", f"127.0.0.1:{self.port}", "--workers", "1"],
            *["--worker-class", "uvicorn_worker.UvicornWorker"],
        ]

    def __enter__(self) -> Server:
        self._settings.write_text(_SETTINGS)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is ours: we end the server in order
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the server's first process is alive."""
        return self._process is not None and self._process.poll() is None

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes alive now, oldest first."""
        if self._process is None:
            return []
        try:
            children = psutil.Process(self._process.pid).children()
            return sorted(children, key=lambda child: child.create_time())
        except psutil.Error:
            return []

    def stop(self) -> None:
        """End the server: SIGTERM, some seconds, then SIGKILL to its process group, which also ends what it left behind."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            if process.poll() is None:
                process.terminate()
            _await_end(process.pid, STOP_WITHIN)
        finally:
            # The first process is not reaped yet, so its number, the group's too, cannot belong to anybody else.
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines of the server's output."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError as error:
            return f"(no log: {error})"


def _await_end(pid: int, seconds: float) -> None:
    """Wait until a child has ended, without reaping it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return
        except ChildProcessError:
            return
        time.sleep(0.02)


def _environment(options: Mapping[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("LEAKGUARD_", "GUNICORN_"))}
    root = str(Path(leakguard.__file__).resolve().parent.parent)
    paths = [os.path.abspath(path) for path in inherited.get("PYTHONPATH", "").split(os.pathsep) if path]  # noqa: PTH100
    if root not in {sysconfig.get_path("purelib"), *paths}:
        paths.append(
            root
        )  # a checkout that is not installed: the server starts elsewhere and must find the same leakguard
    return {**inherited, "PYTHONPATH": os.pathsep.join(paths), **options}
