"""Names of types, modules, functions and attributes, read without running a line of the host's code.

A class can have a ``__module__`` that is no string, a property called ``__class__``, a metaclass with its own
``__getattribute__`` or ``__hash__``. So everything here goes through the descriptors of ``type`` and of the builtin
types, which are C, and types are compared by identity: to look one up in a set would hash it.
"""

from __future__ import annotations

import functools
import sys
import types
import typing
from collections.abc import Iterable

# A name is for a reader. Nobody reads more, and generated class names can be as long as their authors like.
LONGEST = 160

_MODULE = type.__dict__["__module__"]
_QUALNAME = type.__dict__["__qualname__"]
_MRO = type.__dict__["__mro__"]
_CLASS_DICT = type.__dict__["__dict__"]
HEAP_TYPE_FLAGS = type.__dict__["__flags__"]
_MODULE_DICT: typing.Any = types.ModuleType.__dict__["__dict__"]  # type: ignore[index]  # typeshed takes it for a method


def plain(text: object) -> str | None:
    """Return ``text`` as an exact, clipped ``str``; ``None`` when it is no string."""
    if type(text) is not str:
        if not inherits(type(text), str):
            return None
        text = str.__str__(typing.cast("str", text))
    return text[:LONGEST]


def mro(kind: type) -> tuple[type, ...]:
    """Return the classes that ``kind`` inherits from, itself first."""
    bases: tuple[type, ...] = _MRO.__get__(kind)
    return bases


def inherits(kind: type, base: type) -> bool:
    """Tell whether ``kind`` is ``base`` or inherits from it."""
    return type.__subclasscheck__(base, kind)  # C as well: ``issubclass`` would ask the metaclass of ``base``


def identities(kinds: Iterable[type]) -> frozenset[int]:
    """Return the identities of some types that live as long as the interpreter, to look others up by ``id``."""
    return frozenset(map(id, kinds))


def class_dict(kind: type) -> typing.Mapping[str, object]:
    """Return the namespace of a class."""
    names: typing.Mapping[str, object] | None = _CLASS_DICT.__get__(kind)
    return {} if names is None else names  # a static type of C that was never initialised has none


def module_dict(module: types.ModuleType) -> dict[str, object]:
    """Return the namespace of a module, also of one whose class reads attributes lazily."""
    names: dict[str, object] | None = _MODULE_DICT.__get__(module)
    return {} if names is None else names  # a module object that was never initialised has none


def type_module(kind: type) -> str:
    """Return the name of the module that a type says it is from; empty when it does not say so in a string."""
    try:
        return plain(_MODULE.__get__(kind)) or ""
    except AttributeError:
        return ""


def type_name(kind: type) -> str:
    """Return ``module.qualname`` of a type, ``qualname`` alone for builtins."""
    module, name = type_module(kind), plain(_QUALNAME.__get__(kind)) or "?"
    return name if module in {"", "builtins"} else f"{module}.{name}"[:LONGEST]


def name_of(value: object) -> str:
    """Return the name of the type of ``value``."""
    return type_name(type(value))


def function_name(function: types.FunctionType) -> str:
    """Return ``module.qualname`` of a Python function."""
    module = plain(function.__module__)
    return f"{module}.{function.__qualname__}"[:LONGEST] if module else function.__qualname__[:LONGEST]


def is_class(value: object) -> bool:
    """Tell whether ``value`` is a class, whatever its metaclass says."""
    return inherits(type(value), type)


def attribute(name: object) -> str | None:
    """Return ``name`` when it can stand in a dotted path: an identifier of sensible length.

    Anything else in a namespace was made at run time, maybe out of a request, and is nobody's business.
    """
    return name if type(name) is str and len(name) <= 60 and name.isidentifier() else None


def is_ours(module: str) -> bool:
    """Tell whether a module is leakguard's: never counted, never a holder."""
    return (module == "leakguard" or module.startswith("leakguard.")) and not module.startswith(
        "leakguard.demo.game_server"
    )


def modules() -> dict[str, types.ModuleType]:
    """Return the host's modules by name; a stand-in that is no module object is left out."""
    return {
        name: module
        for name, module in list(sys.modules.items())
        if type(name) is str and inherits(type(module), types.ModuleType) and not is_ours(name)
    }


# Machinery that keeps the last request of every idle connection, and everything else for a while: a chain through it is
# the weakest explanation. asyncio's locks, queues, tasks and futures are not here, for the host uses them itself.
_SERVERS = frozenset(
    {"uvicorn", "gunicorn", "hypercorn", "granian", "daphne", "waitress", "uvloop", "h11", "httptools"}
)
_SERVERS |= {"h2", "wsproto", "websockets", "selectors", "select", "socketserver", "http", "_socket", "socket", "ssl"}
_LOOPS = frozenset({"base_events", "selector_events", "unix_events", "events", "streams", "sslproto", "transports"})
_LOOPS |= {"protocols", "runners", "proactor_events", "base_subprocess", "threads"}


def is_machinery(module: str) -> bool:
    """Tell whether what a module's own variables hold says nothing: a registry of all threads, of all tasks, of all modules."""
    return is_server(module) or module.partition(".")[0] in {"threading", "asyncio", "concurrent", "importlib", "gc"}


@functools.lru_cache(maxsize=4096)
def is_server(module: str) -> bool:
    """Tell whether a module belongs to a server or an event loop."""
    top, _, rest = module.partition(".")
    return top in _SERVERS or (top == "asyncio" and rest in _LOOPS)
