"""``leakguard serve``: starts, says where and with which token, ends quietly, and says why it cannot."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
from support.needs import ROOT
from web_server import DEADLINE, TOKEN, ask, free_port

pytestmark = pytest.mark.server


def start(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "leakguard", "serve", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_token_is_made_when_none_is_set(story):
    """Without LEAKGUARD_PAGE_TOKEN one is made and printed, with the address; it opens the page; Ctrl-C ends it with 0."""
    process = start("--journal", str(story), "--port", "0")
    try:
        url = re.search(r"http://\S+", process.stderr.readline())[0]
        token = re.search(r"token (\S+)", process.stderr.readline())[1]
        wait_for(url)
        assert ask(url, Authorization=f"Bearer {token}").status == 200
        assert ask(url, Authorization=f"Bearer {token}x").status == 401
        home = ask(url.replace("_leakguard/", ""))
        assert (home.status, home.headers["Location"]) == (307, "/_leakguard/")
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=DEADLINE)
        assert (process.returncode, out, error) == (0, "", "")
    finally:
        process.kill()
        process.communicate()


def test_a_port_that_is_taken_is_said(story):
    """Exit code 2, one line with the port and the way out; the token is not printed when it was set."""
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        process = start("--journal", str(story), "--port", str(port), LEAKGUARD_PAGE_TOKEN=TOKEN)
        out, error = process.communicate(timeout=DEADLINE)
    assert process.returncode == 2
    assert out == ""
    assert f"cannot listen on 127.0.0.1 port {port} (address already in use); name another: --port" in error
    assert TOKEN not in error


def test_a_missing_extra_is_said(story):
    """Without uvicorn or Jinja: one line that names the extra, not a traceback."""
    for package in ("uvicorn", "jinja2"):
        code = f"import sys; sys.modules[{package!r}] = None; from leakguard.cli import main; main(sys.argv[1:])"
        command = [sys.executable, "-c", code, "serve", "--journal", str(story)]
        done = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert done.returncode == 3
        assert "pip install 'leakguard-middleware[serve]'" in done.stderr
        assert done.stderr.count("\n") == 1


def wait_for(url):
    port = int(url.split(":")[2].split("/")[0])
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
