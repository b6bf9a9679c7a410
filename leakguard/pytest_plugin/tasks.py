"""Tasks that an asynchronous test leaves on its event loop, seen from inside, for the loop ends with the test."""

from __future__ import annotations

import asyncio
import functools
import typing
from collections.abc import Awaitable, Callable

if typing.TYPE_CHECKING:
    from leakguard.records import Site
    from leakguard.testing.checker import Judged
    from leakguard.testing.demand import Demand

_PAUSES = (0.0, 0.0, 0.0, 0.001, 0.01, 0.05)


class Leftover:
    """Notes where the tasks hang that one run of a body leaves behind. Knows the loops of asyncio, also under anyio."""

    def __init__(self) -> None:
        self.sites: list[Site | None] = []

    def around(self, body: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[None]]:
        """Return the body with a look at the loop's tasks before and after it."""

        @functools.wraps(body)
        async def watched(*values: typing.Any, **named: typing.Any) -> None:
            __tracebackhide__ = True
            try:
                before = asyncio.all_tasks()
            except RuntimeError:  # trio's nurseries leave nothing behind
                await body(*values, **named)
                return
            await body(*values, **named)
            for pause in _PAUSES:
                left = [task for task in asyncio.all_tasks() - before if not task.done()]
                if not left:
                    break
                await asyncio.sleep(pause)
            if left:  # else nothing is imported: every asynchronous test comes by here
                from leakguard.probes.tasks import where_task

                self.sites = [where_task(task) for task in left]

        return watched

    def judged(self, wanted: Demand, seconds: float) -> Judged | None:
        """Return the finding that the tasks make, which every repetition left; ``None`` when this run left none."""
        if not self.sites:
            return None
        from leakguard.detection.finding import compose
        from leakguard.records import Kind
        from leakguard.testing.checker import Judged
        from leakguard.testing.measuring import Measurement
        from leakguard.testing.scene import Left

        places = [site for site in self.sites if site is not None]
        left = Left("tasks", len(self.sites), "asyncio task", max(places, key=places.count) if places else None)
        finding = compose(left.suspicion(), None, {}, wanted.forgiveness)
        assert finding.kind is Kind.TASKS
        return Judged(Measurement(0, 3), (finding,), None, wanted, seconds * 3)
