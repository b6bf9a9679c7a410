"""Response time beside memory, as the story's owner had to find out by hand: slow when memory is high, or slow always?"""

from __future__ import annotations

from leakguard.detection.responses import read_responses
from leakguard.probes import latency
from leakguard.records import Sketch, Window
from leakguard.reports.model import Report
from leakguard.reports.sections import Section
from leakguard.reports.words import count, milliseconds, size

QUARTERS = 4
FEWEST = 8  # windows with requests
TITLE = "Response time beside memory"


def beside(report: Report) -> Section:
    """Return the response times of the quarters of all windows with the least to the most memory, and how they go together."""
    served = [
        (window, latency.merge(route.sketch for route in window.routes))
        for each in report.story.workers
        for window in each.windows
        if window.routes
    ]
    responses = read_responses([each.windows for each in report.story.workers])
    if len(served) < FEWEST or responses is None:
        return Section(TITLE, said=("too few windows with requests to compare",))
    said = []
    if responses.correlation is None:
        said.append("memory or response time did not change, so that nothing can follow anything")
    else:
        follow = "response time follows memory" if responses.follows_memory else "response time does not follow memory"
        said.append(
            f"rank correlation of p95 and memory {responses.correlation:+.2f} over {responses.windows} windows: {follow}"
        )
    if responses.traffic is not None:
        said.append(f"rank correlation of p95 and requests per second {responses.traffic:+.2f}")
    return Section(TITLE, _quarters(served), said=tuple(said))


def _quarters(served: list[tuple[Window, Sketch]]) -> tuple[tuple[str, ...], ...]:
    ordered = sorted(served, key=lambda entry: entry[0].reading.rss)
    rows: list[tuple[str, ...]] = [("memory", "requests", "max", "99 %", "95 %", "50 %")]
    for part in range(QUARTERS):
        piece = ordered[part * len(ordered) // QUARTERS : (part + 1) * len(ordered) // QUARTERS]
        together = latency.merge(sketch for _, sketch in piece)
        times = (milliseconds(latency.quantile(together, q)) for q in (1.0, 0.99, 0.95, 0.5))
        least, most = size(piece[0][0].reading.rss), size(piece[-1][0].reading.rss)
        rows.append((f"{least} to {most}", count(latency.count(together)), *times))
    return tuple(rows)
