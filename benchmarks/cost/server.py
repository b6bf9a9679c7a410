"""One uvicorn worker as a process, and wrk against it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import typing
from collections.abc import Iterator
from pathlib import Path

_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
_BOOT = 120.0
_UVICORN = [sys.executable, "-m", "uvicorn", "--factory", "--log-level", "warning", "--no-access-log"]


class Load(typing.NamedTuple):
    """What wrk saw: answers per second, and latency in milliseconds."""

    per_second: float
    p50: float
    p99: float
    p999: float
    longest: float


@contextlib.contextmanager
def serving(app: str, **environment: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Serve ``benchmarks.cost.apps:<app>`` with uvicorn on a free port; yield port and process, end it afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [*_UVICORN, f"benchmarks.cost.apps:{app}", "--port", str(port)],
            env={**os.environ, "LEAKGUARD_JOURNAL": str(Path(folder) / "journal.sqlite3"), **environment},
        )
        try:
            _wait(port, server)
            yield port, server
        finally:
            server.terminate()
            server.wait(30)


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _BOOT
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the server did not start")
        time.sleep(0.05)


def wrk(port: int, path: str, seconds: float, connections: int = 16) -> Load:
    """Send as many requests as the server takes for some seconds.

    Raises:
        RuntimeError: wrk is not installed, or requests failed.
    """
    tool = shutil.which("wrk")
    if tool is None:
        raise RuntimeError("wrk is not installed (Debian: apt-get install wrk)")
    url = f"http://127.0.0.1:{port}{path}"
    script = ["-s", str(Path(__file__).with_name("percentile.lua"))]
    command = [tool, "-t1", f"-c{connections}", f"-d{max(round(seconds), 1)}s", "--latency", *script, url]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Socket errors" in out or "Non-2xx" in out:
        raise RuntimeError(f"requests failed: {out}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    longest = re.search(r"Latency\s+\S+\s+\S+\s+([\d.]+)(us|ms|s|m)\b", out)
    if rate is None or longest is None:
        raise RuntimeError(f"wrk said something else than usual: {out}")
    p50, p99, p999 = (_percentile(out, name) for name in ("50%", "99%", "99.9%"))
    return Load(float(rate[1]), p50, p99, p999, _ms(longest))


def _percentile(out: str, name: str) -> float:
    found = re.search(rf"{re.escape(name)}\s+([\d.]+)(us|ms|s|m)\b", out)
    if found is None:
        raise RuntimeError(f"wrk named no {name}: {out}")
    return _ms(found)


def _ms(found: re.Match[str]) -> float:
    return float(found[1]) * _UNITS[found[2]]
