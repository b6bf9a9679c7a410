"""The ledger: where a level rises while calls are made, function of C by function of C and line by line.

Memory that C code loses leaves no trace in Python. But somebody called that code: so the level is read before and after every
call of C and at every line of the application and of what it has installed, and whatever keeps about as much as is lost with
every call is where it goes. A call can also keep what is freed later; it is the amount that tells them apart.
"""

from __future__ import annotations

import collections
import contextlib
import sys
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from leakguard.observer import naming
from leakguard.observer.edges import Edge, local_variables
from leakguard.probes import extensions
from leakguard.probes.code import origin, shorten, site
from leakguard.probes.extensions import Extension
from leakguard.records import Site

# What is kept must be this near to what is lost, as a share of it; a call that keeps a result besides keeps more.
_LEAST, _MOST = 0.7, 1.5
# The function around a line must keep at least this share of what is lost, or another of its lines gives it back.
_LEAST_OF_FUNCTION = 0.3
_MOST_DEPTH = 200

Level = Callable[[], int]
Key = typing.TypeVar("Key", bound=typing.Hashable)


@dataclass(slots=True)
class Entry:
    """What one function or line kept: how often it ran, and by how much the level was higher after it than before, in all."""

    runs: int = 0
    kept: int = 0


@dataclass(slots=True)
class Ledger:
    """What was seen in some calls: functions of C by name, with their extension, and lines by file, line and function.

    ``around`` are the functions that the lines lie in, from call to return, by file and function.
    """

    functions: dict[str, Entry] = field(default_factory=dict)
    extensions: dict[str, Extension | None] = field(default_factory=dict)
    lines: dict[tuple[str, int, str], Entry] = field(default_factory=dict)
    around: dict[tuple[str, str], Entry] = field(default_factory=dict)

    def function(self, lost: float) -> str | None:
        """Return the function of an extension that kept about ``lost`` in all: the nearest, innermost first."""
        fitting = [
            (abs(entry.kept - lost), name)
            for name, entry in self.functions.items()
            if self.extensions.get(name) is not None and _about(entry.kept, lost)
        ]
        return min(fitting, default=(0.0, None))[1]

    def line(self, lost: float) -> Site | None:
        """Return the line that kept about ``lost`` in all: the application's own where there is one."""
        fitting = [
            (origin(file) != "own", abs(entry.kept - lost), file, line, function)
            for (file, line, function), entry in self.lines.items()
            if _about(entry.kept, lost) and self._keeps(file, function, lost)
        ]
        if not fitting:
            return None
        _, _, file, line, function = min(fitting)
        return site(file, line, function)

    def _keeps(self, file: str, function: str, lost: float) -> bool:
        whole = self.around.get((file, function))
        return whole is None or whole.kept >= _LEAST_OF_FUNCTION * lost


def _write(entries: dict[Key, Entry], key: Key, kept: int) -> None:
    entry = entries.get(key)
    if entry is None:
        entry = entries[key] = Entry()
    entry.runs += 1
    entry.kept += kept


def _about(kept: float, lost: float) -> bool:
    return _LEAST * lost <= kept <= _MOST * lost


@contextlib.contextmanager
def functions(level: Level, ledger: Ledger) -> Iterator[None]:
    """Write every call of C code in this thread into the ledger while the block runs, with what it calls in turn.

    Since Python 3.12 that includes classes and functions of Cython; before, builtin functions and methods only.
    """
    stack: list[tuple[str, int]] = []

    def begin(function: object) -> None:
        if len(stack) < _MOST_DEPTH:
            name = _name(function)
            if name not in ledger.extensions:
                ledger.extensions[name] = extensions.of(function)
            stack.append((name, level()))

    def end(function: object) -> None:
        if stack and stack[-1][0] == _name(function):
            name, before = stack.pop()
            _write(ledger.functions, name, level() - before)

    if sys.version_info >= (3, 12) and _free_tool() is not None:
        with _monitored(begin, end):
            yield
        return

    def profile(_frame: types.FrameType, event: str, function: object) -> None:
        if event == "c_call":
            begin(function)
        elif event in {"c_return", "c_exception"}:
            end(function)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(before)


@contextlib.contextmanager
def _monitored(begin: Callable[[object], None], end: Callable[[object], None]) -> Iterator[None]:
    monitoring: typing.Any = sys.monitoring  # type: ignore[attr-defined]  # since 3.12
    tool, events = _free_tool(), monitoring.events

    def called(_code: object, _offset: int, function: object, _first: object) -> None:
        begin(function)

    def returned(_code: object, _offset: int, function: object, _first: object) -> None:
        end(function)

    monitoring.use_tool_id(tool, "leakguard")
    try:
        monitoring.register_callback(
            tool, events.CALL, lambda c, o, f, a: None if _of_python(f) else called(c, o, f, a)
        )
        monitoring.register_callback(tool, events.C_RETURN, returned)
        monitoring.register_callback(tool, events.C_RAISE, returned)
        monitoring.set_events(tool, events.CALL)
        yield
    finally:
        monitoring.set_events(tool, 0)
        monitoring.free_tool_id(tool)


def _free_tool() -> int | None:
    monitoring: typing.Any = getattr(sys, "monitoring", None)
    return next((tool for tool in range(5) if monitoring.get_tool(tool) is None), None) if monitoring else None


def _of_python(function: object) -> bool:
    kind = type(function)
    if kind is types.MethodType:
        kind = type(typing.cast("types.MethodType", function).__func__)
    return kind is types.FunctionType


def _name(function: object) -> str:
    kind = type(function)
    if kind is types.MethodType:
        function = typing.cast("types.MethodType", function).__func__
        kind = type(function)
    if kind is types.BuiltinFunctionType or kind.__name__ == "cython_function_or_method":
        builtin = typing.cast("types.BuiltinFunctionType", function)
        module = naming.plain(builtin.__module__)
        return f"{module}.{builtin.__qualname__}" if module else builtin.__qualname__
    if kind in {types.MethodDescriptorType, types.WrapperDescriptorType}:
        descriptor = typing.cast("types.MethodDescriptorType", function)
        return f"{naming.type_name(descriptor.__objclass__)}.{descriptor.__name__}"
    if naming.is_class(function):
        return naming.type_name(typing.cast("type", function))
    return naming.type_name(kind)


@contextlib.contextmanager
def _tracing(trace: typing.Callable[[types.FrameType, str, object], typing.Any]) -> Iterator[None]:
    """Trace this thread while the block runs, and give the place back to whoever had it."""
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


@contextlib.contextmanager
def lines(level: Level, ledger: Ledger) -> Iterator[None]:
    """Write every line of the application and of installed packages into the ledger, with what it calls, while the block runs.

    In this thread and on this Python's one place for a tracer: a debugger that uses it gets it back after the block.
    """
    running: dict[int, tuple[int, int]] = {}
    called: dict[int, int] = {}

    def trace(frame: types.FrameType, event: str, _argument: object) -> typing.Any:
        code = frame.f_code
        if event == "call":
            if origin(code.co_filename) not in {"own", "package"}:
                return None
            called[id(frame)] = level()
            running[id(frame)] = (frame.f_lineno, called[id(frame)])
            return trace
        now = level()
        seen = running.get(id(frame))
        if seen is not None:
            _write(ledger.lines, (code.co_filename, seen[0], code.co_qualname), now - seen[1])
        if event == "return":
            running.pop(id(frame), None)
            began = called.pop(id(frame), None)
            if began is not None:
                _write(ledger.around, (code.co_filename, code.co_qualname), now - began)
        else:
            running[id(frame)] = (frame.f_lineno, level())
        return trace

    with _tracing(trace):
        yield


@contextlib.contextmanager
def parties(
    places: typing.Collection[Site] | None, found: collections.Counter[tuple[Extension, Site]]
) -> Iterator[None]:
    """Count the extensions whose objects stand on some lines while the block runs: functions called, variables, attributes.

    Args:
        places: the lines; ``None`` for every line of the application's own.
        found: how often an object of an extension was seen on a line.
    """
    wanted = {(place.file, place.line): place for place in places or ()}
    files = {place.file for place in places or ()}

    def trace(frame: types.FrameType, event: str, _argument: object) -> typing.Any:
        code = frame.f_code
        if event == "call":
            if places is None:
                return trace if origin(code.co_filename) == "own" else None
            return trace if shorten(code.co_filename) in files else None
        if event != "line":
            return trace
        place = wanted.get((shorten(code.co_filename), frame.f_lineno))
        if places is None:
            place = site(code.co_filename, frame.f_lineno, code.co_qualname)
        if place is not None:
            for value in _on_line(frame):
                extension = extensions.of(value)
                if extension is not None:
                    found[extension, place] += 1
        return trace

    with _tracing(trace):
        yield


def _on_line(frame: types.FrameType) -> Iterator[object]:
    """Yield the objects named on the current line of a frame, without running an attribute's code."""
    names = set(_names(frame.f_code, frame.f_lineno))
    scopes: list[dict[str, object]] = [_plain(local_variables(frame)), frame.f_globals]
    for name in names:
        value = next((scope[name] for scope in scopes if name in scope), None)
        if value is None:
            continue
        yield value
        # What is read from it on this line: a function of a module, a method of an object.
        for other in names:
            if type(value) is types.ModuleType:
                held = value.__dict__.get(other)
                if held is not None:
                    yield held


def _plain(found: Iterator[Edge]) -> dict[str, object]:
    return {label.rpartition(".")[2]: held for label, held in found}


def _names(code: types.CodeType, line: int) -> Iterator[str]:
    import dis

    here = False
    for instruction in dis.get_instructions(code):
        position = instruction.positions.lineno if instruction.positions else None
        here = position == line if position is not None else here
        if here and isinstance(instruction.argval, str):
            yield instruction.argval
        if here and isinstance(instruction.argval, tuple):  # two variables in one instruction, since 3.13
            yield from (name for name in instruction.argval if isinstance(name, str))
