"""The load driver: an open loop. Each request goes out when it was meant to, whether or not earlier ones were answered.

A client that waits for its answer before it sends the next request stops measuring just when the server stands still
("coordinated omission"; Gil Tene, "How NOT to Measure Latency", 2013). So latency counts from the time that was meant.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from leakguard.demo.client import Client, Outcome
from leakguard.demo.schedule import Planned


async def drive(
    planned: Sequence[Planned], client: Client, on_outcome: Callable[[Outcome], object] | None = None
) -> list[Outcome]:
    """Send every request of the plan at its time and return the outcomes in the order of the plan.

    ``on_outcome`` is called with each as it comes. Takes as long as the plan, and at the end the client's timeout at most.
    """
    start = time.perf_counter()

    async def send(each: Planned) -> Outcome:
        outcome = await client.send(each, start + each.at)
        if on_outcome is not None:
            on_outcome(outcome)
        return outcome

    async with asyncio.TaskGroup() as group:
        tasks = []
        for each in planned:
            await asyncio.sleep(max(start + each.at - time.perf_counter(), 0))
            tasks.append(group.create_task(send(each)))
    return [task.result() for task in tasks]
