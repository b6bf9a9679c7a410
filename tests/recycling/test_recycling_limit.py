"""A memory limit that kills: the kernel's own where a control group can be made, else a watcher that kills as it does."""

import contextlib
import os
import signal
import sys
import threading
import time
import uuid
from pathlib import Path

import psutil
import pytest
from recycling_server import RunningServer

pytestmark = [pytest.mark.server, pytest.mark.long]

LIMIT = 360 * 1024 * 1024
GUNICORN = ["gunicorn", "-k", "uvicorn_worker.UvicornWorker", "-w", "1", "-b", "127.0.0.1:PORT", "--no-control-socket"]


class ControlGroup:
    """A control group of our own with a memory limit; version 1 or 2, wherever one can be made."""

    def __init__(self, directory, version):
        self.directory = directory
        self.version = version
        directory.mkdir()
        try:
            name = "memory.limit_in_bytes" if version == 1 else "memory.max"
            (directory / name).write_text(str(LIMIT))
            for swap in ("memory.memsw.limit_in_bytes", "memory.swap.max"):
                with contextlib.suppress(OSError):
                    if (directory / swap).exists():
                        (directory / swap).write_text(str(LIMIT) if version == 1 else "0")
        except OSError:
            directory.rmdir()
            raise

    @property
    def before(self):
        """What runs a command inside."""
        return ["/bin/sh", "-c", f'echo $$ > {self.directory}/cgroup.procs && exec "$@"', "sh"]

    def watch(self, server):
        """The kernel watches."""

    def kills(self):
        """Return how many processes the kernel has killed for their memory."""
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        lines = dict(line.split() for line in (self.directory / name).read_text().splitlines())
        return int(lines["oom_kill"])

    def close(self):
        """Remove the group, once its last process is gone."""
        for _ in range(100):
            with contextlib.suppress(OSError):
                self.directory.rmdir()
                return
            time.sleep(0.1)


class Watcher:
    """The stand-in: a thread that kills the largest process when all together are over the limit."""

    before = ()

    def __init__(self):
        self._killed = 0
        self._over = threading.Event()

    def watch(self, server):
        """Begin to watch the processes of a server."""
        threading.Thread(target=self._run, args=(psutil.Process(server.process.pid),), daemon=True).start()

    def _run(self, parent):
        while not self._over.wait(0.02):
            with contextlib.suppress(psutil.Error):
                family = [(each.memory_info().rss, each.pid) for each in [parent, *parent.children()]]
                if sum(size for size, _ in family) > LIMIT:
                    os.kill(max(family)[1], signal.SIGKILL)
                    self._killed += 1

    def kills(self):
        """Return how many were killed."""
        return self._killed

    def close(self):
        """Cease to watch."""
        self._over.set()


def group():
    """Return a control group of our own, or the stand-in where none can be made, and say which."""
    name = f"leakguard-test-{uuid.uuid4().hex[:8]}"
    for directory, version in ((Path("/sys/fs/cgroup/memory"), 1), (Path("/sys/fs/cgroup"), 2)):
        controllers = directory / "cgroup.subtree_control"
        if version == 2 and not (controllers.exists() and "memory" in controllers.read_text().split()):
            continue
        with contextlib.suppress(OSError):
            return ControlGroup(directory / name, version)
    print("no control group can be made here: a watcher kills instead", file=sys.stderr)
    return Watcher()


@pytest.fixture
def serve(tmp_path):
    """Start a server under a limit; both end with the test."""
    with contextlib.ExitStack() as stack:

        def start(**environment):
            limit = group()
            stack.callback(limit.close)
            server = RunningServer(
                [*GUNICORN, "recycling_apps:asgi"], tmp_path, {"RECYCLING_LEAK": "1000000", **environment}, limit.before
            )
            stack.callback(server.stop)
            limit.watch(server)
            return limit, server

        yield start


def test_without_recycling_the_limit_kills(serve):
    """So that the next test says something: the same app under the same limit is killed, and requests are lost."""
    limit, server = serve(LEAKGUARD_RECYCLE="none")
    outcome = server.drive(lambda: limit.kills() > 0, seconds=60)
    assert limit.kills() > 0
    assert outcome.lost > 0


def test_with_recycling_the_kernel_never_kills(serve):
    """Worker after worker leaves before the limit: nobody is killed and no request is lost."""
    limit, server = serve(LEAKGUARD_CEILING="40%" if isinstance(group_kind(), int) else "144 MB")
    outcome = server.drive_recycles(5, seconds=60)
    assert len(server.said("recycle")) >= 5, server.said("note")
    assert outcome.lost == 0, (outcome.counts, outcome.details[:20])
    assert limit.kills() == 0


def group_kind():
    """Return the version of control groups that the test gets, or ``None`` for the stand-in."""
    probe = group()
    probe.close()
    return getattr(probe, "version", None)
