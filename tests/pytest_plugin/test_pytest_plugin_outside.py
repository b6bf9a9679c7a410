"""What is found by listening to a few more calls: the line after which more descriptors are open."""

from __future__ import annotations

import os
from collections.abc import Callable

from leakguard.detection.suspicion import Suspicion
from leakguard.records import Kind, Site, Status
from leakguard.testing import outside
from leakguard.testing.caller import Caller, drive
from leakguard.testing.measuring import Measurement


def site_of(function: Callable[[], object]) -> Site | None:
    """Return where ``function`` is said to leave one descriptor open per call."""
    suspicion = Suspicion(Kind.DESCRIPTORS, Status.CONFIRMED, key="fds", name="descriptors", per_request=1.0)

    async def listen(caller: Caller) -> Site | None:
        found, _ = await outside.deepen((suspicion, None), caller, Measurement(1, 1, {}, ()), 0.001, 10.0)
        return found.site

    return drive(function, listen)


def test_line_that_leaves_a_descriptor_open_is_the_site() -> None:
    """Descriptors that no object stands for have the application's line that opens them; closed ones have none."""
    opened: list[int] = []

    def leak() -> None:
        number = os.open(os.devnull, os.O_RDONLY)
        opened.append(number)

    def cured() -> None:
        os.close(os.open(os.devnull, os.O_RDONLY))

    try:
        site = site_of(leak)
    finally:
        for number in opened:
            os.close(number)
    assert site is not None
    assert (site.function.rpartition(".")[2], site.line) == ("leak", leak.__code__.co_firstlineno + 1)
    assert site_of(cured) is None
