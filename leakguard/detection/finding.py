"""From suspicions to findings: what the deep look says is joined in, and each leak gets a name that stays."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from leakguard.detection import words
from leakguard.detection.forgiveness import Forgiveness
from leakguard.detection.suspicion import Suspicion
from leakguard.detection.vitals import SMALL_OBJECT
from leakguard.records import Explanation, Failure, Finding, Kind, Site, Status
from leakguard.units import format_size

OUTSIDE = "outside Python"
_NOTHING = Explanation()
_INDEX = re.compile(r"\[[^\]]*\]")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")
_NUMBER = re.compile(r"(?<=[-_#])\d+\b")
_RANK = (
    Kind.RETAINED_REQUESTS,
    Kind.TASKS,
    Kind.THREADS,
    Kind.DESCRIPTORS,
    Kind.LEAK,
    Kind.NATIVE,
    Kind.ALLOCATOR,
    Kind.GC_DEBT,
)


def compose(
    suspicion: Suspicion,
    explanation: Explanation | None,
    failures: Mapping[str, Failure],
    forgiveness: Forgiveness,
) -> Finding:
    """Return the finding that a suspicion, what a deep look found out about it and the recorded failures make together.

    Args:
        suspicion: from ``judge``.
        explanation: of the object behind it; ``None`` when there was no look, or it found nothing.
        failures: by fingerprint; the one that the kept requests ended in is named.
        forgiveness: fills ``known``.
    """
    seen = explanation or _NOTHING
    kind = _kind(suspicion, explanation)
    failure = failures.get(suspicion.failure) if suspicion.failure else None
    holder = seen.holder or suspicion.holder
    per_request, bytes_per_request = _rates(suspicion, seen)
    site = seen.site or suspicion.site
    finding = Finding(
        kind=kind,
        status=suspicion.status,
        fingerprint="",
        route=suspicion.route,
        type=seen.type or suspicion.type,
        also_types=seen.also_types,
        site=site,
        holder=holder,
        chain=seen.chain,
        per_request=per_request,
        bytes_per_request=bytes_per_request,
        retained_bytes=_retained(suspicion, seen),
        size_method=seen.size_method,
        error=str(failure) if failure else None,
        reasons=(*suspicion.reasons, *_said(kind, explanation, failure)),
        count=suspicion.count,
        failed=suspicion.failed,
    )
    finding = replace(
        finding,
        fingerprint=fingerprint(
            kind, holder=holder, type=finding.type, site=site, route=suspicion.route, name=suspicion.name
        ),
    )
    accepted = forgiveness.accepted(finding) is not None
    return replace(finding, known=forgiveness.reason(finding), accepted=accepted)


def fingerprint(
    kind: Kind,
    *,
    holder: str | None = None,
    type: str | None = None,  # noqa: A002 - the record's own word
    site: Site | None = None,
    route: str | None = None,
    name: str | None = None,
) -> str:
    """Return the stable id of a leak: twelve hex digits, the same in every worker, release and test that meets it.

    Who holds it says it best, with indexes and numbers blurred; lines move between releases, so that a site counts as file and
    function. What C code lost has its site. Without a holder: type and site; without those, and for native growth: kind and
    route.
    """
    if kind is Kind.NATIVE:
        parts = ["growth", kind.value, route or ""]  # its line is known only where there is time to look for it
    elif holder is not None and holder != OUTSIDE:
        parts = ["holder", blur(holder)]
    elif holder == OUTSIDE and site is not None:
        parts = ["lost", site.file, site.function]
    elif site is not None or type is not None:
        parts = ["object", type or "", site.file if site else "", site.function if site else ""]
    else:
        parts = ["growth", kind.value, route or "", blur(name or "")]
    return hashlib.blake2s("\0".join(parts).encode("utf-8", "backslashreplace"), digest_size=6).hexdigest()


def blur(name: str) -> str:
    """Return a name without what differs from run to run: indexes and keys, addresses, trailing numbers."""
    return _NUMBER.sub("…", _ADDRESS.sub("0x…", _INDEX.sub("[…]", name)))


def join(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings with those of one fingerprint made one, confirmed first.

    The kind nearest to the cause stays (kept requests before the container that keeps them); what it does not know is taken
    from the others.
    """
    joined: dict[str, Finding] = {}
    for finding in findings:
        other = joined.get(finding.fingerprint)
        joined[finding.fingerprint] = finding if other is None else _merged(other, finding)
    return tuple(
        sorted(joined.values(), key=lambda f: (f.status is not Status.CONFIRMED, f.accepted, f.known is not None))
    )


def _merged(one: Finding, other: Finding) -> Finding:
    best, rest = (one, other) if _RANK.index(one.kind) <= _RANK.index(other.kind) else (other, one)
    confirmed = Status.CONFIRMED in {one.status, other.status}
    return replace(
        best,
        status=Status.CONFIRMED if confirmed else Status.SUSPECT,
        route=best.route or rest.route,
        type=best.type or rest.type,
        also_types=best.also_types or rest.also_types,
        site=best.site or rest.site,
        chain=best.chain or rest.chain,
        bytes_per_request=best.bytes_per_request or rest.bytes_per_request,
        retained_bytes=best.retained_bytes or rest.retained_bytes,
        size_method=best.size_method or rest.size_method,
        error=best.error or rest.error,
        known=best.known or rest.known,
        accepted=best.accepted or rest.accepted,
        reasons=tuple(dict.fromkeys((*best.reasons, *rest.reasons))),
        new=best.new and rest.new,
        count=best.count if best.count is not None else rest.count,
    )


def _kind(suspicion: Suspicion, explanation: Explanation | None) -> Kind:
    if explanation is None:
        return suspicion.kind
    if explanation.garbage and suspicion.kind in {Kind.LEAK, Kind.RETAINED_REQUESTS}:
        return Kind.GC_DEBT
    if _lost_buffer(suspicion, explanation):
        return Kind.NATIVE
    held = explanation.holder is not None and explanation.holder != OUTSIDE
    if suspicion.kind is Kind.NATIVE and held:
        return Kind.LEAK  # large bytes and strings lie in the C heap too, but something in Python holds these
    return suspicion.kind


def _lost_buffer(suspicion: Suspicion, seen: Explanation) -> bool:
    """Say whether the blocks that grow are buffers of C code: nothing refers to them, and they are too large for small objects.

    Each is one block of Python's allocator, which passes it on to malloc.
    """
    large = (seen.bytes_each or 0) > SMALL_OBJECT
    return suspicion.key == "blocks" and seen.holder == OUTSIDE and large and seen.type is None


def _rates(suspicion: Suspicion, seen: Explanation) -> tuple[float | None, float | None]:
    """Return objects and bytes per request; a level in bytes has a number of objects only once their size is known."""
    if suspicion.key in {"heap", "rss", "resident"}:
        known = seen.bytes_each and suspicion.bytes_per_request
        return (suspicion.bytes_per_request / seen.bytes_each if known else None), suspicion.bytes_per_request  # type: ignore[operator]
    if seen.bytes_each and (suspicion.key != "blocks" or seen.holder == OUTSIDE):
        return suspicion.per_request, suspicion.per_request * seen.bytes_each
    return suspicion.per_request, suspicion.bytes_per_request


def _retained(suspicion: Suspicion, seen: Explanation) -> int | None:
    if seen.retained_bytes is not None:
        return seen.retained_bytes
    if seen.bytes_each is not None and suspicion.count is not None:
        return seen.bytes_each * suspicion.count
    return None


def _said(kind: Kind, explanation: Explanation | None, failure: Failure | None) -> list[str]:
    said = []
    if failure is not None:
        said.append(f"they ended in {failure} (raised {words.count(failure.count)} times)")
    if explanation is None:
        return said
    own = explanation.frames[0] if explanation.frames else None
    if own is not None and own != explanation.site and explanation.site is not None:
        said.append(f"called from {own} in {own.function}")
    if explanation.holder == OUTSIDE and kind is Kind.NATIVE:
        where = f"; it stays behind at {explanation.site} in {explanation.site.function}" if explanation.site else ""
        said.append(f"no object of Python accounts for it: memory that C code keeps{where}")
    elif explanation.holder == OUTSIDE:
        last = f", last seen from {explanation.site} in {explanation.site.function}" if explanation.site else ""
        said.append(f"nothing in Python refers to it: a reference lost in a C extension{last}")
    elif explanation.holder is not None:
        said.append(f"held by {explanation.holder}")
    if explanation.garbage:
        said.append("only a reference cycle keeps it: the cyclic collector will free it")
    if explanation.bytes_each is not None:
        method = f" ({explanation.size_method})" if explanation.size_method else ""
        said.append(f"about {format_size(explanation.bytes_each)} each{method}")
    if explanation.note:
        said.append(explanation.note)
    return said
