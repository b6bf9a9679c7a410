"""What is nothing new: what the user's ignore rules accept, and known leaks in released packages.

Rules say ``type:``, ``holder:``, ``route:`` or ``site:`` and a shell pattern; what they accept is mentioned and no more. Known
leaks are data (``known_leaks.toml``): pattern, package, version range, reason and reference; they leak all the same and are
reported as leaks, with the reason and the release that cures them. They are read, and what reads them is imported, when there
is a finding to compare with them: a worker without a leak needs neither.
"""

from __future__ import annotations

import fnmatch
import functools
import re
import sys
import typing
from collections.abc import Callable, Sequence
from pathlib import Path

from leakguard.records import Finding

VersionOf = Callable[[str], str | None]


class KnownLeak(typing.NamedTuple):
    """A leak in someone else's code. Empty patterns match anything; at least one pattern is set.

    ``versions`` is a range such as ``>=3.8.12,<3.9.1`` of ``package`` (``python`` is the interpreter); empty: every version.
    """

    name: str
    package: str
    reason: str
    reference: str
    versions: str = ""
    kind: str = ""
    holder: str = ""
    type: str = ""
    site: str = ""
    extension: str = ""  # the package whose C code a reason of the finding names as the likely owner

    def matches(self, finding: Finding) -> bool:
        """Say whether a finding looks like this leak; versions are not asked here."""
        wanted = (
            (self.kind, finding.kind.value),
            (self.holder, finding.holder),
            (self.type, finding.type),
            (self.site, finding.site.file if finding.site else None),
        )
        named = not self.extension or any(f"({self.extension} " in reason for reason in finding.reasons)
        return named and all(not pattern or (text is not None and fits(text, pattern)) for pattern, text in wanted)


class Forgiveness:
    """The user's rules and the known leaks, to ask why a finding is nothing new.

    Args:
        rules: as in the option ``ignore``: ``type:app.Session``, ``holder:app.cache.*``, ``route:GET /health`` or
            ``site:vendor/*``.
        version_of: says which version of a package is installed, ``None`` when it is not.
        known: the known leaks; those of this release by default.
    """

    def __init__(
        self, rules: Sequence[str] = (), version_of: VersionOf | None = None, known: Sequence[KnownLeak] | None = None
    ) -> None:
        self._rules = [(kind, pattern, rule) for rule in rules for kind, _, pattern in [rule.partition(":")]]
        self._version_of = version_of or installed_version
        self._known = known

    def accepted(self, finding: Finding) -> str | None:
        """Return the user's rule that accepts the finding, ``None`` when there is none."""
        for kind, pattern, rule in self._rules:
            if any(fits(text, pattern) for text in _texts(kind, finding)):
                return rule
        return None

    def reason(self, finding: Finding) -> str | None:
        """Return why the finding is nothing new: a rule of the user's or a known leak of a package; else ``None``."""
        rule = self.accepted(finding)
        if rule is not None:
            return f"ignored by the rule {rule}"
        for leak in known_leaks() if self._known is None else self._known:
            if leak.matches(finding):
                version = self._version_of(leak.package)
                if version is not None and in_range(version, leak.versions):
                    return f"{leak.package} {version}: {leak.reason} ({leak.reference})"
        return None


def _texts(kind: str, finding: Finding) -> list[str]:
    found: dict[str, list[str | None]] = {
        "type": [finding.type, *finding.also_types],
        "holder": [finding.holder],
        "route": [finding.route],
        "site": [finding.site.file, str(finding.site)] if finding.site else [],
    }
    return [text for text in found.get(kind, []) if text]


def fits(text: str, pattern: str) -> bool:
    """Say whether a shell pattern fits; brackets are taken as they are, for they stand in holders' names."""
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]")) or text == pattern


@functools.cache
def known_leaks() -> tuple[KnownLeak, ...]:
    """Return the known leaks of this release. Read once from the packaged data file."""
    import tomllib

    # Not by importlib.resources, which brings zipfile and more into the worker.
    data = Path(__file__).with_name("known_leaks.toml").read_text("utf-8")
    return tuple(KnownLeak(**entry) for entry in tomllib.loads(data)["leak"])


def installed_version(package: str) -> str | None:
    """Return the installed version of a distribution (``python`` is the interpreter itself), ``None`` if there is none."""
    if package == "python":
        return ".".join(map(str, sys.version_info[:3]))
    import importlib.metadata

    try:
        return importlib.metadata.version(package)
    except (importlib.metadata.PackageNotFoundError, ValueError, OSError):
        return None


def in_range(version: str, versions: str) -> bool:
    """Say whether a version satisfies every bound of a range such as ``>=3.14.0,<3.14.5``; an empty range is every version."""
    for bound in filter(None, (part.strip() for part in versions.split(","))):
        operator = bound.rstrip("0123456789abcdefghijklmnopqrstuvwxyz.+-")
        mine, other = _ordered(version), _ordered(bound[len(operator) :])
        kept = {"<": mine < other, "<=": mine <= other, ">": mine > other, ">=": mine >= other, "==": mine == other}
        if not kept.get(operator, False):
            return False
    return True


_PART = re.compile(r"\d+|[a-z]+")
_BEFORE = {"dev": -4, "a": -3, "alpha": -3, "b": -2, "beta": -2, "rc": -1, "c": -1}


def _ordered(version: str) -> tuple[int, ...]:
    """Return a version as numbers that compare as PEP 440 orders releases and pre-releases (locals are cut off)."""
    release: list[int] = []
    tail: list[int] = []
    for part in _PART.findall(version.lower().partition("+")[0]):
        if part.isdigit():
            (tail or release).append(int(part))
        else:
            tail.append(_BEFORE.get(part, 1))
    while release and release[-1] == 0:
        release.pop()
    return (*(release + [0] * 6)[:6], *(tail or [0]))
