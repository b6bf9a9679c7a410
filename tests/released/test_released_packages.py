"""Real leaks of released packages, live under a real server: the leaky release is found, the fixed one is steady."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import socket
import subprocess
import sys
import threading
import time
import typing
from pathlib import Path

import pytest
from support.needs import ROOT, require

HERE = Path(__file__).parent
SECONDS = 28.0
CONNECTIONS = 4
PACE = 0.012  # seconds between two requests of one connection: about 250 requests a second in all

# Half a minute of live traffic on a shared machine, judged as it comes: what is broken fails every time.
pytestmark = [
    pytest.mark.server,
    pytest.mark.long,
    pytest.mark.registry,
    pytest.mark.timeout(240),
    pytest.mark.flaky(reruns=2),
]


def install(target: Path, requirement: str) -> None:
    """Install one released package, without what it needs, into a folder of the test's own."""
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    require(done.returncode == 0, f"the package registry, to install {requirement}")


@contextlib.contextmanager
def serving(package: str, packages: Path, journal: Path) -> typing.Iterator[int]:
    """Run the shop under uvicorn and give the port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(packages), str(HERE), str(ROOT)]),
        "SHOP_PACKAGE": package,
        "LEAKGUARD_INTERVAL": "0.5s",
        "LEAKGUARD_WARMUP": "2s",
        "LEAKGUARD_JOURNAL": str(journal),
    }
    command = [sys.executable, "-m", "uvicorn", "shop:app", "--port", str(port), "--log-level", "warning"]
    server = subprocess.Popen(command, env=environment, cwd=HERE)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert server.poll() is None, "the server ended"
                assert time.monotonic() < deadline, "the server did not start"
                time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait(20)


def drive(port: int) -> int:
    """Send mixed traffic, a fifth of it to the route in question, and return how many requests were answered."""
    until = time.monotonic() + SECONDS
    answered = itertools.count()

    def client(first: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        for number in itertools.count(first):
            if time.monotonic() > until:
                break
            if number % 5 == 0:
                connection.request("POST", "/job")
            else:
                connection.request("GET", "/hello" if number % 2 else f"/items/{number}")
            connection.getresponse().read()
            next(answered)
            time.sleep(PACE)
        connection.close()

    threads = [threading.Thread(target=client, args=(n,)) for n in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return next(answered)


def report_of(tmp_path: Path, package: str, requirement: str) -> dict[str, typing.Any]:
    packages, journal = tmp_path / "packages", tmp_path / "journal.sqlite3"
    install(packages, requirement)
    with serving(package, packages, journal) as port:
        assert drive(port) > 1000
    command = [sys.executable, "-m", "leakguard", "report", "--format", "json", "--journal", str(journal)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode in {0, 1}, done.stderr
    return typing.cast("dict[str, typing.Any]", json.loads(done.stdout))


def test_a_python_leak_of_a_released_package_is_named(tmp_path: Path) -> None:
    """structlog 25.5.0 keeps every file it logged to: route and holder are right."""
    report = report_of(tmp_path, "structlog", "structlog==25.5.0")
    assert report["verdict"] == "leak"
    finding = report["findings"][0]
    assert finding["kind"] == "leak"
    assert finding["status"] == "confirmed"
    assert finding["route"] == "POST /job"
    assert finding["holder"] == "structlog._output.WRITE_LOCKS"
    assert finding["per_request"] == pytest.approx(1.0, rel=0.15)
    assert finding["site"]["file"].endswith(("shop.py", "structlog/_output.py"))
    assert len(report["findings"]) == 1


def test_the_fixed_release_is_steady(tmp_path: Path) -> None:
    """structlog 26.1.0 lets go: no finding."""
    report = report_of(tmp_path, "structlog", "structlog==26.1.0")
    assert report["findings"] == []
    assert report["verdict"] == "steady"


def test_a_native_leak_of_a_released_package_is_named(tmp_path: Path) -> None:
    """ujson 5.11.0 loses a buffer of C memory per long number: kind and route are right."""
    report = report_of(tmp_path, "ujson", "ujson==5.11.0")
    finding = report["findings"][0]
    assert finding["kind"] == "native"
    assert finding["route"] == "POST /job"
    assert finding["bytes_per_request"] == pytest.approx(6016, rel=0.25)
    assert report["verdict"] == "native"


def test_the_fixed_native_release_is_steady(tmp_path: Path) -> None:
    """ujson 5.12.0 frees it: no finding."""
    report = report_of(tmp_path, "ujson", "ujson==5.12.0")
    assert report["findings"] == []
    assert report["verdict"] == "steady"
