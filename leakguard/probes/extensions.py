"""Which C extension is it: the shared object that a type or a function of C lies in, its module, package and version."""

from __future__ import annotations

import ctypes
import functools
import importlib.machinery
import importlib.metadata
import sys
import types
import typing
from dataclasses import dataclass
from pathlib import Path

from leakguard.probes import library
from leakguard.probes.code import origin

_SUFFIXES = tuple(importlib.machinery.EXTENSION_SUFFIXES)
_METHODS = (types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType)
# Where a type keeps the function that frees its objects: behind reference count, type, size, name, basic and item size.
_DEALLOC = 48
_MODULE = type.__dict__["__module__"]


@dataclass(frozen=True, slots=True)
class Extension:
    """A C extension: the module's dotted name, and the distribution that installed it, where that can be told."""

    module: str
    package: str | None = None
    version: str | None = None

    def __str__(self) -> str:
        return f"{self.module} ({self.package} {self.version})" if self.package else self.module


def of(value: object) -> Extension | None:
    """Return the installed extension that a function, a type or an object of C belongs to; ``None`` for anything else.

    No line of the host's code runs: functions and types are read where C keeps them.
    """
    file = _file_of(value)
    return None if file is None else of_file(file)


def in_extension(kind: type) -> bool:
    """Tell whether a class is an installed extension's, or inherits from one. Reads no file, keeps the interpreter lock."""
    file = _of_type(kind)
    return file is not None and origin(file) in {"package", "own"}


@functools.lru_cache(maxsize=1024)
def of_file(file: str) -> Extension | None:
    """Return the extension in a shared object; ``None`` for those of the interpreter and of the system."""
    if origin(file) not in {"package", "own"} or not file.endswith(_SUFFIXES):
        return None
    module = next((name for name, path in _loaded().items() if path == file), None) or _dotted(file)
    package = _distribution(module, file)
    return Extension(module, package, _version(package))


def _loaded() -> dict[str, str]:
    found = {}
    for name, module in list(sys.modules.items()):
        names = types.ModuleType.__dict__["__dict__"].__get__(module) if isinstance(module, types.ModuleType) else {}  # type: ignore[index]
        file = (names or {}).get("__file__")
        if type(file) is str and type(name) is str:
            found[name] = file
    return found


def _file_of(value: object) -> str | None:
    kind = type(value)
    if kind is types.BuiltinFunctionType:
        return library.path_of(_function_address(value))
    if kind in _METHODS:
        return _of_type(typing.cast("typing.Any", value).__objclass__)
    if kind.__name__ == "cython_function_or_method":
        # Cython's modules share this type, so that it lies in the one that was imported first. The function knows its own.
        module = sys.modules.get(str(getattr(value, "__module__", "")))
        file = getattr(module, "__file__", None)
        return file if type(file) is str else None
    if issubclass(kind, type):
        return _of_type(typing.cast("type", value))
    return _of_type(kind)


def _of_type(kind: type) -> str | None:
    """Return the library of the first C class among a class and what it inherits from, the interpreter's own left out."""
    for base in type.__dict__["__mro__"].__get__(kind):
        file = library.path_of(id(base)) or library.path_of(ctypes.c_void_p.from_address(id(base) + _DEALLOC).value)
        if file is not None and file.endswith(_SUFFIXES):
            return file
        try:
            module = _MODULE.__get__(base)
        except AttributeError:
            continue
        home = sys.modules.get(module) if type(module) is str else None
        file = getattr(home, "__file__", None) if home is not None else None
        if type(file) is str and file.endswith(_SUFFIXES):
            return file
    return None


def _function_address(function: object) -> int | None:
    get = ctypes.pythonapi.PyCFunction_GetFunction
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object]
    address: int | None = get(function)
    return address


def _dotted(file: str) -> str:
    """Return the module that a shared object in an import path is."""
    path = Path(file)
    for entry in sys.path:
        if entry and path.is_relative_to(entry):
            parts = path.relative_to(entry).parts
            return ".".join([*parts[:-1], parts[-1].partition(".")[0]])
    return path.name.partition(".")[0]


@functools.cache
def _tops() -> typing.Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _distribution(module: str, file: str) -> str | None:
    candidates = list(dict.fromkeys(_tops().get(module.partition(".")[0], [])))
    if len(candidates) == 1:
        return candidates[0]
    for name in candidates:  # several share a namespace, as google.* does: the one that lists the file
        try:
            files = importlib.metadata.files(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        if any(str(each.locate()) == file for each in files):
            return name
    return candidates[0] if candidates else None


def _version(package: str | None) -> str | None:
    try:
        return importlib.metadata.version(package) if package else None
    except importlib.metadata.PackageNotFoundError:
        return None
