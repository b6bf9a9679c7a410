"""Leaving the worker alone, and saying why."""

from __future__ import annotations


class NoStrategy:
    """Report only: the readiness flips, nothing ever ends the process.

    Args:
        why: a sentence for the doctor and the journal: what was found and why nothing is done there.
        workers: how many workers the server was told to keep, for shares of the limit.
    """

    name = "none"
    acts = False
    told = False
    grace: float | None = None

    def __init__(self, why: str, workers: int | None = None) -> None:
        self.why = why
        self.workers = workers

    def serving(self) -> bool:
        """Return true: whoever said that it serves is believed."""
        return True

    def can_overlap(self) -> bool:
        """Return false: nobody is called."""
        return False

    def call_successor(self) -> None:
        """Do nothing."""

    def stop_accepting(self) -> bool:
        """Do nothing."""
        return False

    def connections(self) -> int | None:
        """Return ``None``: not known."""
        return None

    def keep_alive(self) -> float:
        """Return zero: nothing is waited for."""
        return 0.0

    def leave(self, *, called: bool) -> None:
        """Do nothing: this process is not ours to end."""

    def describe(self) -> tuple[str, ...]:
        """Return why nothing is done."""
        return (self.why,)
