"""The one interface between a worker and whatever remembers what it saw."""

from __future__ import annotations

import typing
from collections.abc import Iterable

from leakguard.records import Cost, Failure, Finding, Recycle, Relief, Window, Worker


class Journal(typing.Protocol):
    """The write side of a journal: used by one worker, from any of its threads.

    No method raises. What could not be written is counted in ``lost``; ``why`` says, while it lasts, what is wrong.
    """

    lost: int
    why: str | None

    def register(self, worker: Worker) -> None:
        """Introduce this worker; first of all calls, and again when something about it became known."""

    def ready(self, at: float) -> None:
        """Remember when this worker began to serve."""

    def window(self, window: Window) -> None:
        """Write down one closed window."""

    def finding(self, finding: Finding) -> None:
        """Write down a finding as it stands now; the one with the same fingerprint is replaced."""

    def withdraw(self, fingerprint: str) -> None:
        """Take a finding of this worker's back: what grew has stopped growing."""

    def failures(self, failures: Iterable[Failure]) -> None:
        """Add up failures: each brings its count since the last call."""

    def recycle(self, recycle: Recycle) -> None:
        """Write down that this worker is being replaced."""

    def relief(self, relief: Relief) -> None:
        """Write down what relief gave back."""

    def note(self, text: str) -> None:
        """Write down one sentence for whoever reads the report."""

    def cost(self, cost: Cost) -> None:
        """Write down what leakguard itself cost this worker so far."""

    def recall(self) -> tuple[Finding, ...]:
        """Return the confirmed findings that the workers of this journal have made so far."""

    def close(self) -> None:
        """Write what still waits and let go of the file; a later call opens it again."""


class NullJournal:
    """Remembers nothing: ``journal='off'``."""

    lost = 0
    why: str | None = None

    def register(self, worker: Worker) -> None:
        """Forget it."""

    def ready(self, at: float) -> None:
        """Forget it."""

    def window(self, window: Window) -> None:
        """Forget it."""

    def finding(self, finding: Finding) -> None:
        """Forget it."""

    def withdraw(self, fingerprint: str) -> None:
        """Nothing was remembered."""

    def failures(self, failures: Iterable[Failure]) -> None:
        """Forget them."""

    def recycle(self, recycle: Recycle) -> None:
        """Forget it."""

    def relief(self, relief: Relief) -> None:
        """Forget it."""

    def note(self, text: str) -> None:
        """Forget it."""

    def cost(self, cost: Cost) -> None:
        """Forget it."""

    def recall(self) -> tuple[Finding, ...]:
        """Return nothing."""
        return ()

    def close(self) -> None:
        """Nothing to let go of."""
