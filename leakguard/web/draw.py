"""The process that reads the journal and makes the page's document; prints it, or one line on stderr why not.

It is last in the queue, like the copy of a forked look: lowest processor priority, first for the kernel's OOM killer, and
a deadline of its own in case that whoever started it has gone. It is never the worker, so that the dear reading neither holds
up requests nor raises the memory that the page is about.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

from leakguard.errors import JournalError, LeakGuardError, NotMeasuredError
from leakguard.journal.reading import read
from leakguard.reports.html import render_page
from leakguard.reports.model import build

DEADLINE = 30  # seconds
NOTHING = "serve some of the app's usual load and wait a few windows"


def main(journal: str) -> None:
    """Print the document of a journal to stdout. Exit code 3 with one line on stderr when there is nothing to show."""
    os.nice(19)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(DEADLINE)
    try:
        document = document_of(Path(journal))
    except LeakGuardError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a process's answer
        sys.exit(3)
    sys.stdout.buffer.write(document.encode())


def document_of(journal: Path) -> str:
    """Return the page's document for a journal.

    Raises:
        JournalError: when there is none, or it cannot be read.
        NotMeasuredError: when there is nothing in it yet.
        MissingExtraError: without Jinja.
    """
    try:
        story = read(journal)
    except JournalError as error:
        if not journal.exists():
            raise JournalError(f"{error}; {NOTHING}") from error
        raise
    if not (story.windows or story.findings):
        raise NotMeasuredError(f"no worker has closed a window yet; {NOTHING}")
    return render_page(build(story))
