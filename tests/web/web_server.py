"""Real servers on loopback, and plain requests to them."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import typing
import urllib.error
import urllib.request
from pathlib import Path

from support.needs import ROOT

TOKEN = "a-token-for-tests-only"
DEADLINE = 60.0


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@contextlib.contextmanager
def running(*command: str, port: int, **environment: str) -> typing.Iterator[subprocess.Popen[str]]:
    """Run a server until the block ends; wait until it answers."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
            except OSError:
                assert process.poll() is None, process.communicate()[0]
                assert time.monotonic() < deadline, "the server does not come up"
                time.sleep(0.05)
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextlib.contextmanager
def serving(journal: Path) -> typing.Iterator[str]:
    """Run ``leakguard serve`` for a journal; its address."""
    port = free_port()
    command = ("leakguard", "serve", "--journal", str(journal), "--port", str(port))
    with running(*command, port=port, LEAKGUARD_PAGE_TOKEN=TOKEN):
        yield f"http://127.0.0.1:{port}/_leakguard/"


class Answer(typing.NamedTuple):
    status: int
    headers: typing.Any
    text: str


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def ask(url: str, *, data: bytes | None = None, method: str | None = None, **headers: str) -> Answer:
    """Send one request and return the answer, whatever its status; redirections are answers."""
    request = urllib.request.Request(url, data, {k.replace("_", "-"): v for k, v in headers.items()}, method=method)
    try:
        with urllib.request.build_opener(_Stay).open(request, timeout=DEADLINE) as answer:
            return Answer(answer.status, answer.headers, answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read().decode())
