"""Was the app really served? What answers say about whether a check measured what it was meant to."""

from __future__ import annotations

from collections.abc import Sequence

from leakguard.check.plan import Plan
from leakguard.check.request import NUMBER, Request
from leakguard.check.result import Asked

_REFUSED = {401, 403, 407}
_NOWHERE = {404, 405}
_MOST_SAID = 5


def blocked(asked: Sequence[Asked], requests: Sequence[Request], plan: Plan) -> list[str]:
    """Return why what was measured must not be called clean: requests that the app never really served.

    Each that was answered 500 every time, unless that is expected; and all together, when all were refused, led nowhere, or
    had values of our own making that the app does not take. Paths with ``{n}`` may be scans, which lead nowhere on purpose.
    """
    said = []
    for each in asked:
        if each.always == 500 and not plan.errors_expected:
            cause = f" ({each.cause})" if each.cause else ""
            said.append(f"{each.name} answered 500 every time{cause}: only its error path was measured")
    statuses = {each.always for each in asked}
    named = ", ".join(each.name for each in asked[:_MOST_SAID])
    told = (
        f"every request was answered {' or '.join(str(status) for status in sorted(s or 0 for s in statuses))}: {named}"
    )
    varies = any(NUMBER in request.path for request in requests)
    if asked and statuses <= _REFUSED:
        said.append(f"{told}; send what lets them in: headers with --requests")
    elif asked and statuses <= _NOWHERE and (plan.requests is None or not varies):
        said.append(f"{told}; a wrong path?")
    elif asked and plan.requests is None and all(status is not None and 400 <= status < 500 for status in statuses):
        said.append(f"{told}; the app does not take the values made for it, name better ones: --requests")
    return said


def remarks(asked: Sequence[Asked]) -> list[str]:
    """Return what the reader should know about the answers."""
    said = []
    for each in asked:
        status = each.always
        if status is not None and status >= 400 and status != 500:
            said.append(f"{each.name} was answered {status} every time")
    return said
