"""Threads that pile up are told by their class and the line at which they hang."""

from __future__ import annotations

import threading

from leakguard.observer import threads


class Patient(threading.Thread):
    """Waits until it is told to end."""

    def __init__(self, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.over = over

    def run(self) -> None:
        self.over.wait()


def test_what_most_threads_are_and_where_they_hang_is_told() -> None:
    """Twenty threads of one class that wait at one line outweigh whatever else runs."""
    over = threading.Event()
    patient = [Patient(over) for _ in range(20)]
    for thread in patient:
        thread.start()
    try:
        told = threads.explain()
    finally:
        over.set()
        for thread in patient:
            thread.join()
    assert told.holder == "threading._active"
    assert told.type == "test_observer_threads.Patient"
    assert told.site is not None
    assert told.site.file.endswith("test_observer_threads.py")
    assert told.site.function.endswith("run")
