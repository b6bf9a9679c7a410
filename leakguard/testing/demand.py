"""What a leak test demands: how many calls, which kinds, and what is forgiven. Checked when it is made."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from leakguard.config import Config
from leakguard.detection.forgiveness import Forgiveness, KnownLeak, known_leaks
from leakguard.errors import ConfigError

MEASURED: dict[str, tuple[str, ...]] = {
    "memory": ("blocks", "heap", "resident"),
    "threads": ("threads",),
    "tasks": ("tasks",),
    "descriptors": ("fds",),
    "processes": ("processes",),
    "files": ("files",),
}
"""The kinds that are judged by growth, and the quantities that each one means."""

KINDS = (*MEASURED, "warnings")
"""Every kind; ``warnings`` (unclosed resources, coroutines never awaited) is judged only where it is asked for."""

USUAL = tuple(MEASURED)
"""The kinds that are judged when none are named."""

SHIPPED = "shipped"
"""Stands in ``known_leaks`` for the list of known leaks that comes with leakguard."""

Texts = str | Iterable[str]


@dataclass(frozen=True, slots=True)
class Demand:
    """What one leak test demands. Made by ``demand``, which checks it.

    ``rules`` are those of ``ignore``, ``ignore_type``, ``ignore_holder`` and ``ignore_site`` together, as ``kind:pattern``.
    """

    n: int = 100
    kinds: tuple[str, ...] = USUAL
    rules: tuple[str, ...] = ()
    known_leaks: tuple[str, ...] = (SHIPPED,)

    @property
    def quantities(self) -> frozenset[str]:
        """The names of the measured quantities that may be accused."""
        return frozenset(name for kind in self.kinds for name in MEASURED.get(kind, ()))

    @property
    def forgiveness(self) -> Forgiveness:
        """What forgives findings: the rules, those of ``LEAKGUARD_IGNORE``, and the known leaks."""
        everywhere = Config.load().ignore
        known = tuple(leak for source in self.known_leaks for leak in _known(source))
        return Forgiveness((*self.rules, *(rule for rule in everywhere if rule not in self.rules)), known=known)


def demand(
    *,
    n: int = 100,
    ignore: Texts = (),
    ignore_type: Texts = (),
    ignore_holder: Texts = (),
    ignore_site: Texts = (),
    kinds: Texts = USUAL,
    known_leaks: Texts = (SHIPPED,),
) -> Demand:
    """Return what these options demand.

    Args:
        n: calls per round. 100 is quick; 500 sees rarer leaks and acquits larger caches.
        ignore: rules of every kind: ``"type:app.Session"``, ``"holder:app.cache.*"``, ``"site:vendor/*"``.
        ignore_type: patterns of types that may stay, such as ``"app.Session"``.
        ignore_holder: patterns of holders that may grow, such as ``"app.cache.*"``.
        ignore_site: patterns of files whose allocations may stay, such as ``"vendor/*"``.
        kinds: what is judged: memory, threads, tasks, descriptors, processes, files, warnings. All but the last by default.
        known_leaks: files of known leaks in TOML; ``"shipped"`` is leakguard's own list. Nothing at all: none is forgiven.

    Raises:
        ConfigError: an option has a value that it cannot have.
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ConfigError("n", "must be a whole number of at least 1", n, "n=100")
    rules = [
        *Config.load(ignore=ignore if isinstance(ignore, str) else list(ignore)).ignore,
        *(f"type:{pattern}" for pattern in _texts("ignore_type", ignore_type, "app.Session")),
        *(f"holder:{pattern}" for pattern in _texts("ignore_holder", ignore_holder, "app.cache.*")),
        *(f"site:{pattern}" for pattern in _texts("ignore_site", ignore_site, "vendor/*")),
    ]
    wanted = _texts("kinds", kinds, "memory")
    unknown = [kind for kind in wanted if kind not in KINDS]
    if unknown or not wanted:
        raise ConfigError("kinds", f"must be among {', '.join(KINDS)}", unknown or kinds, 'kinds=["memory", "threads"]')
    sources = _texts("known_leaks", known_leaks, SHIPPED)
    for source in sources:
        _known(source)
    return Demand(n, tuple(dict.fromkeys(wanted)), tuple(dict.fromkeys(rules)), sources)


def _texts(option: str, value: Texts, example: str) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    try:
        listed = tuple(texts)
    except TypeError:
        listed = (None,)  # type: ignore[assignment]
    if not all(isinstance(text, str) and text.strip() for text in listed):
        raise ConfigError(option, "must be a text or a list of texts", value, f'{option}=["{example}"]')
    return tuple(text.strip() for text in listed)


@functools.lru_cache(maxsize=64)
def _known(source: str) -> tuple[KnownLeak, ...]:
    if source == SHIPPED:
        return known_leaks()
    try:
        entries = tomllib.loads(Path(source).read_text("utf-8")).get("leak", [])
        return tuple(KnownLeak(**entry) for entry in entries)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            "known_leaks",
            f"must be 'shipped' or a TOML file of [[leak]] tables ({error.__class__.__name__}: {error})",
            source,
            'known_leaks=["shipped", "tests/known_leaks.toml"]',
        ) from None
