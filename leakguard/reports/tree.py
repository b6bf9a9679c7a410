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
            name = safe(_name(finding.holder))
            rail = " " if number == len(chain) - 1 else "│"
            start = len(mark) + edge.rindex(name)
            lines.append(rail + " " * (start - 1) + "~" * len(name))
    return lines


def suspect_edge(finding: Finding) -> int | None:
    """Return which edge names the holder: the last that ends in just its name, else the last that has it at all."""
    if not finding.holder:
        return None
    name = _name(finding.holder)
    named = [number for number, edge in enumerate(finding.chain) if name in edge]
    exact = [number for number in named if finding.chain[number].rpartition(" ")[2] == name]
    return max(exact or named, default=None)


def _name(holder: str) -> str:
    """Return the name of a holder as chains have it: the cache of a function is called by the function."""
    return holder.removesuffix(".lru_cache")


def is_underline(line: str) -> bool:
    """Return whether a line of a drawn chain is the one under the suspect reference."""
    return line.endswith("~") and not line.lstrip("│ ").strip("~")


def edges(finding: Finding) -> list[str]:
    """Return what each entry of a finding's chain is, in words: the root, the variable, the attribute, the entry."""
    told = []
    for number, entry in enumerate(finding.chain):
        told.append(_root(entry) if number == 0 else _edge(entry, finding.chain[number - 1]))
    return told


def _root(entry: str) -> str:
    for start, said in (
        ("module ", "a module: lives as long as the worker"),
        ("thread ", "a function that runs in a thread, and its variables"),
        ("task ", "a task that waits, and its variables"),
        ("class ", "a class: lives as long as its module, with all its instances refer to"),
        ("context", "a context of context variables"),
    ):
        if entry.startswith(start):
            return said
    return "the root"


def _edge(entry: str, before: str) -> str:
    if entry == "…":
        return "edges left out"
    kind, _, name = entry.rpartition(" ")
    if not kind:
        return f"the {safe(name)} that is kept" if name else "what is kept"
    if name.endswith("]"):
        return "an entry of it"
    if name == ".?":
        return "referred to by it, the name is not known"
    if name.startswith("."):
        return f"its attribute {safe(name[1:])}"
    if kind == "functools._lru_cache_wrapper":
        return "the cache of a function"
    owner, _, last = name.rpartition(".")
    if before.rpartition(" ")[2] == owner and before.startswith("module "):
        return f"the module's variable {safe(last)}"
    return f"its attribute {safe(last)}" if owner else f"its variable {safe(last)}"
