"""The plugin on the oldest pytest that it promises, beside the plugins that people use with it."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from support.needs import ROOT

pytestmark = [pytest.mark.long, pytest.mark.registry, pytest.mark.timeout(600)]

BESIDE = [
    "pytest-xdist",
    "pytest-cov",
    "pytest-randomly",
    "pytest-rerunfailures",
    "pytest-asyncio",
    "pytest-mock",
    "trio",
]

SUITE = """
import asyncio

import anyio
import pytest


class Session:
    pass


PENDING, TRIED = [], []


@pytest.fixture(scope="session")
def server():
    return object()


@pytest.fixture
def user(server, tmp_path):
    return Session()


@pytest.mark.no_leaks(n=5)
def test_kept(user, mocker):
    assert user


@pytest.mark.no_leaks(n=5, fixtures="fresh")
def test_fresh(user, mocker, tmp_path):
    mocker.patch("os.getcwd")
    (tmp_path / "upload").mkdir()


@pytest.mark.asyncio
@pytest.mark.no_leaks(n=5)
async def test_asyncio():
    await asyncio.sleep(0)


@pytest.mark.asyncio
@pytest.mark.no_leaks(n=5, fixtures="fresh")
async def test_asyncio_fresh(user):
    await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_asyncio_fixture(leakguard):
    await leakguard.assert_no_leaks_async(lambda: asyncio.sleep(0), n=5)
    async with leakguard.watching():
        await asyncio.sleep(0)


@pytest.mark.anyio
@pytest.mark.no_leaks(n=5)
async def test_anyio():  # on asyncio and on trio
    await anyio.sleep(0)


@pytest.mark.anyio
async def test_anyio_fixture(leakguard):
    await leakguard.assert_no_leaks_async(lambda: anyio.sleep(0), n=5)


@pytest.mark.flaky(reruns=1)
def test_second_try():
    TRIED.append(1)
    assert len(TRIED) > 1


def test_leak(user):
    PENDING.append(user)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with pytest 8, the plugins beside it, and this leakguard."""
    home = tmp_path_factory.mktemp("pytest8")
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*install, "pytest<9", *BESIDE, "-e", str(ROOT)], check=True, capture_output=True)
    return python


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "xdist"])
def test_pytest_8_with_the_usual_company(python: Path, tmp_path: Path, workers: list[str]) -> None:
    """In random order, under coverage, with reruns and workers: clean tests pass on every loop, the leak alone is found."""
    (tmp_path / "test_app.py").write_text(SUITE)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    command = [
        str(python),
        "-m",
        "pytest",
        "--leakguard",
        "--leakguard-n=10",
        "--cov=test_app",
        "-p",
        "no:cacheprovider",
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    done = subprocess.run(
        [*command, *workers], cwd=tmp_path, capture_output=True, text=True, check=False, env=environment, timeout=500
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "11 passed, 1 rerun, 1 leaked" in done.stdout, done.stdout
    assert "test_app.py::test_leak passed, and leaks:" in done.stdout
    assert "held by test_app.PENDING" in done.stdout
    assert sys.version_info[:2] >= (3, 11)
