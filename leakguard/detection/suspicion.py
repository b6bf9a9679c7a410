"""What judging starts from and what it comes to: the history of one worker, and suspicions."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from leakguard.records import Census, Kind, Site, Status, Window


@dataclass(frozen=True, slots=True)
class History:
    """What one worker has seen of itself, oldest first.

    ``sizes`` gives bytes per object where a deep look has measured them, by the suspicion's ``key``: with them the judge
    can tell whether what it knows is all there is, or whether something else grows beside it. ``collects`` says whether the
    cyclic collector is on.
    """

    windows: tuple[Window, ...] = ()
    censuses: tuple[Census, ...] = ()
    python: tuple[int, ...] = tuple(sys.version_info[:3])
    sizes: Mapping[int | str, int] = field(default_factory=dict)
    collects: bool = True


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Something that grows with the requests.

    ``key`` says what to look at: the id of a container, the name of a type, a route (kept requests, GC debt), or one of
    ``blocks``, ``heap``, ``rss``, ``threads``, ``fds``, ``tasks``. ``name`` is the same for people. ``per_request`` counts per
    request of ``route`` where there is one (per failed request when ``failed``), else per request of the whole worker.
    ``failure`` is the fingerprint of the failure that the kept requests ended in. ``holder`` is a container that grows in
    step with it. ``site`` is the place where tasks hang. ``growth`` is what was gained over the judged requests and
    ``requests`` how many those were. ``needs_census`` means that looks at the containers may yet explain it,
    ``needs_collection`` that it may be garbage which waits for the cyclic collector.
    """

    kind: Kind
    status: Status
    key: int | str
    name: str
    per_request: float
    bytes_per_request: float | None = None
    count: int | None = None
    route: str | None = None
    failure: str | None = None
    reasons: tuple[str, ...] = ()
    failed: bool = False
    holder: str | None = None
    type: str | None = None
    site: Site | None = None
    growth: float = 0.0
    requests: int = 0
    needs_census: bool = False
    needs_collection: bool = False

    @property
    def total_rate(self) -> float:
        """Growth per request of the whole worker, whatever the route."""
        return self.growth / self.requests if self.requests > 0 else 0.0
