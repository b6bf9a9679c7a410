"""The ledger: which function of C and which line keeps what is lost, told from what is given back."""

from __future__ import annotations

import collections
import sys
from pathlib import Path

import msgspec
import pytest

from leakguard.detection.finding import OUTSIDE
from leakguard.detection.suspicion import Suspicion
from leakguard.probes.extensions import Extension
from leakguard.records import Explanation, Kind, Status
from leakguard.testing import outside
from leakguard.testing.ledger import Entry, Ledger, functions, lines, parties

HERE = Path(__file__).name
CALLS = 20


class Memory:
    """A level that the test moves itself, as the heap in use moves under a call of C."""

    def __init__(self) -> None:
        self.used = 0

    def level(self) -> int:
        return self.used

    def keep(self, _thing: object) -> str:
        """Take 64 bytes and never give them back."""
        self.used += 64
        return ""

    def borrow(self, _thing: object) -> str:
        """Take 64 bytes for a moment."""
        self.used += 64
        self.used -= 64
        return ""


@pytest.fixture
def memory() -> Memory:
    return Memory()


def test_function_of_c_that_keeps_memory_is_named_with_its_extension(memory: Memory) -> None:
    """The call after which the level is higher is named, innermost first, and one that gives back what it took is not."""
    ledger = Ledger()
    with functions(memory.level, ledger):
        for _ in range(CALLS):
            msgspec.json.encode(object(), enc_hook=memory.keep)
            msgspec.json.decode(b"[1, 2]")
    name = ledger.function(64 * CALLS)
    assert name is not None
    assert "encode" in name
    told = ledger.extensions[name]
    assert told is not None
    assert told.package == "msgspec"
    assert ledger.functions[name] == Entry(runs=CALLS, kept=64 * CALLS)

    cured = Ledger()
    with functions(memory.level, cured):
        for _ in range(CALLS):
            msgspec.json.encode(object(), enc_hook=memory.borrow)
    assert cured.function(64 * CALLS) is None


def test_function_that_fails_is_counted_like_any_other(memory: Memory) -> None:
    """What a call of C took before it raised is its own."""

    def fail(thing: object) -> str:
        memory.keep(thing)
        raise ValueError

    ledger = Ledger()
    with functions(memory.level, ledger):
        for _ in range(CALLS):
            with pytest.raises(ValueError):
                msgspec.json.encode(object(), enc_hook=fail)
    name = ledger.function(64 * CALLS)
    assert name is not None
    assert "encode" in name


def test_line_that_keeps_memory_is_named(memory: Memory) -> None:
    """Of all lines that ran the one that keeps is named, with its function; after the cure none is."""

    def leaky() -> None:
        text = "before"
        memory.keep(text)  # the line
        text.upper()

    def cured() -> None:
        memory.borrow("text")  # takes it in one line and gives it back in the next

    ledger = Ledger()
    with lines(memory.level, ledger):
        for _ in range(CALLS):
            leaky()
    found = ledger.line(64 * CALLS)
    assert found is not None
    assert found.file.endswith(HERE)
    assert "leaky" in found.function or "keep" in found.function

    ledger = Ledger()
    with lines(memory.level, ledger):
        for _ in range(CALLS):
            cured()
    assert ledger.line(64 * CALLS) is None


def test_amounts_far_from_what_is_lost_name_nothing(memory: Memory) -> None:
    """A result that is kept beside the loss, or a tenth of it, does not stand for the loss."""
    ledger = Ledger()
    with lines(memory.level, ledger):
        memory.keep("once")
    assert ledger.line(64 * CALLS) is None
    assert ledger.line(8) is None


def test_tracer_of_somebody_else_gets_its_place_back(memory: Memory) -> None:
    """A debugger's tracer and a profiler's are in force again after the block."""

    def tracer(_frame: object, _event: str, _argument: object) -> None:
        return None

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        with lines(memory.level, Ledger()):
            assert sys.gettrace() is not tracer
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)


def test_extensions_on_a_line_are_counted() -> None:
    """Objects of an extension that stand on a line of the application are seen, without running what they do."""
    encoder = msgspec.json.Encoder()

    def act() -> bytes:
        return encoder.encode([1])

    found: collections.Counter[tuple[Extension, object]] = collections.Counter()
    with parties(None, found):  # type: ignore[arg-type]
        for _ in range(3):
            act()
    assert any(extension.package == "msgspec" for extension, _ in found)


def test_table_of_atexit_is_the_holder_when_it_grows_in_step() -> None:
    """What seems lost in C while callbacks are registered with atexit is held by that table; otherwise nothing is changed."""
    lost = Suspicion(Kind.LEAK, Status.CONFIRMED, "blocks", "blocks", per_request=4.0)
    seen = Explanation(holder=OUTSIDE, note="x")
    suspicion, told = outside.at_exit((lost, seen), registered=1.0)
    assert told is not None
    assert (told.holder, told.note) == (outside.EXIT, None)
    assert "callbacks registered with atexit per call" in suspicion.reasons[-1]
    assert outside.at_exit((lost, seen), registered=0.0) == (lost, seen)
    assert outside.at_exit((lost, Explanation(holder="app.rows")), registered=1.0)[1] == Explanation(holder="app.rows")
