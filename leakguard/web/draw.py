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
import time
from pathlib import Path

from leakguard.errors import JournalError, LeakGuardError, NotMeasuredError
from leakguard.journal.reading import read
from leakguard.reports.html import render_page
from leakguard.reports.model import build

DEADLINE = 30  # seconds
QUICK = 3600.0  # seconds
NOTHING = "serve some of the app's usual load and wait a few windows"


def main(journal: str, how: str) -> None:
    """Print the processor seconds that it took and then the document of a journal.

    Exit code 3 with one line on stderr when there is nothing to show.

    Args:
        journal: its path.
        how: ``whole``, or ``quick`` for the last hour only.
    """
    os.nice(19)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(DEADLINE)
    try:
        document = document_of(Path(journal), QUICK if how == "quick" else None)
    except LeakGuardError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a process's answer
        sys.exit(3)
    sys.stdout.buffer.write(f"{time.process_time():.3f}\n{document}".encode())


def document_of(journal: Path, span: float | None) -> str:
    """Return the page's document for a journal, or for the ``span`` seconds before it was last written.

    Raises:
        JournalError: when there is none, or it cannot be read.
        NotMeasuredError: when there is nothing in it yet.
        MissingExtraError: without Jinja.
    """
    try:
        story = read(journal, None if span is None else _last_written(journal) - span)
    except JournalError as error:
        if not journal.exists():
            raise JournalError(f"{error}; {NOTHING}") from error
        raise
    if span is not None and not story.windows:
        return document_of(journal, None)
    if not (story.windows or story.findings):
        raise NotMeasuredError(f"no worker has closed a window yet; {NOTHING}")
    return render_page(build(story), "" if span is None else "The last hour so far; what was before is being read.")


def _last_written(journal: Path) -> float:
    files = (journal, journal.with_name(f"{journal.name}-wal"))
    return max((file.stat().st_mtime for file in files if file.exists()), default=time.time())
