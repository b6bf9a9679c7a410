"""One scenario watched once: what stays is told, what ends a little later is not, and nothing of ours is left behind."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import hold
import pytest
from hold import HOLD, Node
from starlette.requests import Request

from leakguard.errors import ConfigError, LeaksFoundError, NotMeasuredError
from leakguard.testing.fixture import LeakChecker

leakguard = LeakChecker()


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    """Each test plants its own leak and digs it up again; the collector is as it was."""
    HOLD.reset()
    frozen = gc.get_freeze_count()
    yield
    HOLD.stop.set()
    HOLD.close()
    HOLD.reset()
    assert gc.get_freeze_count() <= frozen


def test_what_ends_is_no_leak() -> None:
    """Threads, sockets, files and children that end, also a little later, and objects that die pass."""
    with leakguard.watching(repeats=5) as watch:
        threading.Timer(0.05, lambda: None).start()
        socket.socket().close()
        with tempfile.NamedTemporaryFile():
            subprocess.run([sys.executable, "-c", ""], check=True)
        for _ in range(5):
            node = Node()
            node.other = node
            watch.expect_gone(node)
            del node


def test_everything_that_stays_is_told() -> None:
    """A thread with the line where it waits, a socket, a child nobody waits for, a file and the line that made it."""

    def wait_for_ever() -> None:
        HOLD.stop.wait()

    with pytest.raises(LeaksFoundError) as raised, leakguard.watching():
        threading.Thread(target=wait_for_ever, daemon=True).start()
        HOLD.rows.append(socket.socket())
        child = subprocess.Popen([sys.executable, "-c", ""])
        directory = tempfile.mkdtemp()
    child.wait()
    Path(directory).rmdir()
    text = str(raised.value)
    assert "threads: 1 thread did not end, waiting at test_pytest_plugin_watching.py:" in text
    assert "in wait_for_ever" in text
    assert "descriptors: 1 socket was left open" in text
    assert "1 child process was not waited for" in text
    assert "1 temporary file was not removed, made at test_pytest_plugin_watching.py:" in text


def test_object_that_should_be_gone_is_told_with_its_holder() -> None:
    """What is named by expect_gone and lives on fails, and its own holder is found, although the heap was frozen.

    Older objects of the class, here with a reference lost in C, are none of the block's business.
    """
    for older in [Node() for _ in range(10)]:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(older))
    with pytest.raises(LeaksFoundError, match=r"1 hold\.Node should be gone and is not, held by hold\.HOLD\.rows"):
        with leakguard.watching() as watch:
            node = Node()
            HOLD.rows.append(node)
            watch.expect_gone(node)
            del node


def test_request_that_outlives_its_response_is_told() -> None:
    """A request of a web framework that is kept is a finding of its own kind."""
    with pytest.raises(
        LeaksFoundError, match=r"retained-requests: 1 starlette\.requests\.Request outlived its response"
    ):
        with leakguard.watching():
            HOLD.rows.append(Request({"type": "http", "headers": [], "query_string": b"", "path": "/"}))


def test_repeated_scenario_tells_objects() -> None:
    """Of a block that repeats its scenario, objects that stay each time are told; a single one that stays is not."""
    with pytest.raises(LeaksFoundError, match=r"5 hold\.Node is still there after 5 repeats"):
        with leakguard.watching(repeats=5):
            HOLD.rows += [Node() for _ in range(5)]
    with leakguard.watching(repeats=5):
        HOLD.rows.append(hold.Slotted())


def test_kinds_and_rules_are_heeded() -> None:
    """Only what is asked for is judged, and what is forgiven by name passes."""
    with leakguard.watching(kinds=["threads"]):
        HOLD.rows.append(socket.socket())
    with leakguard.watching(ignore_type="temporary file"):
        left = tempfile.mkdtemp()
    Path(left).rmdir()


def test_block_that_fails_fails_by_itself() -> None:
    """An error in the block is the block's; what it left is not told on top."""
    with pytest.raises(KeyError), leakguard.watching():
        HOLD.rows.append(socket.socket())
        raise KeyError("the block's own")


def test_running_loop_takes_async_with() -> None:
    """Inside a loop `with` is refused and `async with` tells a task that hangs, and lets one end that only ends later."""

    async def scenario() -> None:
        with pytest.raises(NotMeasuredError, match="async with"), leakguard.watching():
            pass
        async with leakguard.watching():
            soon = asyncio.get_running_loop().create_task(asyncio.sleep(0.05))
        assert soon.done()
        with pytest.raises(LeaksFoundError, match="tasks: 1 asyncio task did not end, waiting at"):
            async with leakguard.watching():
                HOLD.tasks.add(asyncio.get_running_loop().create_task(asyncio.sleep(100)))
        for task in HOLD.tasks:
            task.cancel()

    asyncio.run(scenario())


def test_wrong_use_is_refused() -> None:
    """A wrong number of repeats, and a thing that nothing can refer to weakly, get one line."""
    with pytest.raises(ConfigError, match="'repeats' must be a whole number"):
        leakguard.watching(repeats=0)
    with pytest.raises(ConfigError, match="referred to weakly"), leakguard.watching() as watch:
        watch.expect_gone(1)


def test_it_is_quick_where_nothing_is_left() -> None:
    """Nothing is waited for when nothing is left."""
    began = time.process_time()
    for _ in range(20):
        with leakguard.watching():
            pass
    assert time.process_time() - began < 10
