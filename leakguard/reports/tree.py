"""A holder chain drawn as a tree, after LeakCanary's leak trace: root first, the suspect reference underlined."""

from __future__ import annotations

from leakguard.records import Finding
from leakguard.reports.escape import safe


def draw(finding: Finding) -> list[str]:
    """Return the lines of a finding's chain; empty when there is none.

    The suspect reference is the last edge that names the holder: everything below it is what it keeps.
    """
    chain = [safe(edge) for edge in finding.chain]
    if not chain:
        return []
    suspect = suspect_edge(finding)
    lines = []
    for number, edge in enumerate(chain):
        mark = "┬ " if number == 0 and len(chain) > 1 else "╰→ " if number == len(chain) - 1 else "├─ "
        lines.append(mark + edge)
        if number == suspect and finding.holder is not None:
            name = safe(finding.holder)
            rail = " " if number == len(chain) - 1 else "│"
            start = len(mark) + edge.rindex(name)
            lines.append(rail + " " * (start - 1) + "~" * len(name))
    return lines


def suspect_edge(finding: Finding) -> int | None:
    """Return which edge names the holder: the last that ends in just its name, else the last that has it at all."""
    if not finding.holder:
        return None
    named = [number for number, edge in enumerate(finding.chain) if finding.holder in edge]
    exact = [number for number in named if finding.chain[number].rpartition(" ")[2] == finding.holder]
    return max(exact or named, default=None)
