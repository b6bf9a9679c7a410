"""What is to be checked, and how: the command line's words as one record."""

from __future__ import annotations

from dataclasses import dataclass

from leakguard.check.interface import Interface
from leakguard.check.request import Request
from leakguard.detection.forgiveness import fits


@dataclass(frozen=True, slots=True)
class Plan:
    """One check.

    Args:
        target: ``module:attribute``, or ``module``.
        requests: one round trip; ``None`` for those that the app's own routes give.
        interface: what the app speaks; ``None`` to find out.
        factory: the attribute is to be called.
        loops: round trips per round of the rate law; ``None`` for as many as there is time for.
        concurrency: requests at a time.
        deadline: seconds for all of it.
        patience: seconds without an answer after which the app hangs.
        separate: judge each request alone.
        errors_expected: requests that are answered 500 every time count as measured.
        ignore: the user's rules.
        routes: shell patterns; of the app's own routes those that fit one are requested. All when empty.
        environment: variables that the app finds.
    """

    target: str
    requests: tuple[Request, ...] | None = None
    interface: Interface | None = None
    factory: bool = False
    loops: int | None = None
    concurrency: int = 1
    deadline: float = 60.0
    patience: float = 10.0
    separate: bool = False
    errors_expected: bool = False
    ignore: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()

    def wants(self, name: str) -> bool:
        """Say whether a route of the app's is to be requested."""
        return not self.routes or any(fits(name, pattern) for pattern in self.routes)
