"""A story in which every name that can come from elsewhere is hostile to some format."""

from __future__ import annotations

import dataclasses

import report_stories as stories

from leakguard.journal.story import Note, WorkerStory
from leakguard.records import Failure, Recycle, Site, Stuck
from leakguard.reports.model import Report, build

NASTY = (
    "GET /\x1b[2J\u202e\x00\ud800\ufffe<script>alert(1)</script>\"'&]]>|`` `@everyone #1 **b** _i_ [a](http://x.y) "
    "![i](//z) \n::error::x\r%0A%,:~~s~~ $x$ :smile: www.evil.example &lt; \\ --> <!-- http://evil.example a@b.c"
)


def report() -> Report:
    """Return a report with the name in every place."""
    finding = dataclasses.replace(
        stories.RETAINED,
        fingerprint=NASTY,
        route=NASTY,
        type=NASTY,
        also_types=(NASTY,),
        site=Site(NASTY + ".py", 3, NASTY),
        holder=NASTY,
        chain=("module " + NASTY, "dict " + NASTY),
        size_method=NASTY,
        error=NASTY,
        known=NASTY,
        reasons=(NASTY, "1. " + NASTY),
    )
    accepted = dataclasses.replace(finding, accepted=True, site=Site("../../etc/passwd", 0, "f"))
    window = stories.windows(kept=15, route=NASTY)[-1]
    stuck = Stuck(NASTY, 9.0, Site(NASTY, 1, NASTY), "request")
    windows = (*stories.windows(route=NASTY), dataclasses.replace(window, stuck=(stuck,)))
    worker = stories.worker(server=NASTY, target=NASTY, strategy=NASTY, python=NASTY)
    return build(
        stories.story(
            finding,
            accepted,
            path=NASTY,
            workers=(WorkerStory(worker, windows, None, stories.NOW),),
            failures=(Failure("f1", NASTY, Site(NASTY, 9, NASTY), NASTY, 3, 1, NASTY),),
            recycles=(Recycle(stories.NOW, 1, NASTY, 1, 1, 0),),
            notes=(Note(stories.NOW, 1, NASTY),),
        ),
        stories.NOW,
    )
