"""Reading a server's workers from outside, ten times a second, and the hard kill at a ceiling that the story had."""

from __future__ import annotations

import asyncio

import psutil

from leakguard.demo.server import Server

EVERY = 0.1


class Watch:
    """What was seen of a server's workers: their ids, the greatest memory, and how many were killed at the ceiling.

    With ``kill_at`` a worker whose RSS is above it is killed by SIGKILL, as PM2's ``max_memory_restart`` ends a process
    that has no handler for its signal; the server starts another one.
    """

    def __init__(self, server: Server, kill_at: int | None = None) -> None:
        self.pids: set[int] = set()
        self.killed: set[int] = set()
        self.rss = 0  # of the greatest worker now
        self.peak = 0
        self.together = 0  # the most that all workers had at one time: a successor boots beside its predecessor
        self._server = server
        self._kill_at = kill_at

    async def run(self) -> None:
        """Look at the workers until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(EVERY)

    def look(self) -> None:
        """Look once."""
        self.rss = together = 0
        for worker in self._server.workers():
            try:
                rss = worker.memory_info().rss
            except psutil.Error:
                continue  # it ended between the listing and the look
            if not rss:
                continue  # a zombie
            self.pids.add(worker.pid)
            together += rss
            self.rss = max(self.rss, rss)
            self.peak = max(self.peak, rss)
            if self._kill_at is not None and rss > self._kill_at and worker.pid not in self.killed:
                self.killed.add(worker.pid)
                worker.kill()
        self.together = max(self.together, together)
