"""How grave a finding is, in the three steps that code hosts and test reports know."""

from __future__ import annotations

import enum

from leakguard.records import Finding, Kind, Status


class Grade(enum.StrEnum):
    """``error``: confirmed; ``warning``: suspected; ``note``: accepted by a rule of the user's."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


TITLES = {
    Kind.LEAK: "Python objects kept per request",
    Kind.NATIVE: "C memory grows per request",
    Kind.RETAINED_REQUESTS: "Requests kept after their answer",
    Kind.GC_DEBT: "Requests that only the cyclic collector frees",
    Kind.ALLOCATOR: "Freed memory that is not returned",
    Kind.TASKS: "Tasks that never end",
    Kind.THREADS: "Threads that never end",
    Kind.DESCRIPTORS: "Descriptors left open",
}
"""A few words for each kind of finding."""


def grade(finding: Finding) -> Grade:
    """Return how grave a finding is."""
    if finding.accepted:
        return Grade.NOTE
    return Grade.ERROR if finding.status is Status.CONFIRMED else Grade.WARNING
