"""One user of ``gc.freeze`` at a time: what leakguard froze is told apart from what the application froze."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

from leakguard.testing import quiet

# Python 3.12 starts with some 375 frozen objects of its own; an application that freezes has at least 5 000.
_INTERPRETER_FROZEN = 2000


class Freezer:
    """Keeps everything that exists out of the collector's sight, so that what is born later can be told from it.

    To freeze costs less than a microsecond, and a collection then scans only what is younger. The trap: while it lasts,
    neither ``gc.get_objects`` nor ``gc.get_referrers`` sees what is frozen, holders included, and its cycles are never
    collected. So whoever looks for holders does it inside ``lifted``, and who keeps on freezing lets go now and then.
    """

    def __init__(self) -> None:
        self.active = False

    def begin(self, *, collect: bool = True) -> bool:
        """Collect and freeze; ``False``, and nothing done, where the application has frozen objects itself.

        Asking costs a walk over all that is frozen, so it is asked only at the beginning. Without ``collect`` garbage is
        frozen too, until ``let_go``.
        """
        if not self.active and gc.get_freeze_count() > _INTERPRETER_FROZEN:
            return False
        if collect:
            quiet.collect()
        gc.freeze()
        self.active = True
        return True

    def again(self) -> None:
        """Freeze what was born since, after a collection of just that."""
        quiet.collect()
        gc.freeze()

    def let_go(self) -> None:
        """Free garbage that was frozen, in one collection of everything."""
        gc.unfreeze()
        gc.collect()
        gc.freeze()

    def end(self) -> None:
        """Let go of everything."""
        if self.active:
            self.active = False
            gc.unfreeze()

    @contextlib.contextmanager
    def lifted(self) -> Iterator[None]:
        """See everything while the block runs, frozen by us or not yet."""
        if not self.active:
            yield
            return
        gc.unfreeze()
        self.active = False
        try:
            yield
        finally:
            self.active = True
            self.again()


FREEZER = Freezer()
"""The one of the process, as there is one collector."""
