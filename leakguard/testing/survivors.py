"""What was born since the heap was frozen and is still alive, counted by class: requests, and objects of classes that tell."""

from __future__ import annotations

import collections
import contextlib
import functools
import gc
import itertools
import sys
import typing
import weakref
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

_REQUESTS = frozenset(
    {
        "starlette.requests.HTTPConnection",
        "werkzeug.sansio.request.Request",
        "django.http.request.HttpRequest",
        "aiohttp.web_request.BaseRequest",
        "tornado.httputil.HTTPServerRequest",
        "sanic.request.types.Request",
        "falcon.request.Request",
    }
)
SCOPE, ENVIRON = "ASGI scope", "WSGI environ"

# Packages whose objects live as long as the test session, or for its sake; what of them stays says nothing about the code.
_TESTING = frozenset(
    (
        "_pytest",
        "pytest",
        "pluggy",
        "py",
        "iniconfig",
        "xdist",
        "execnet",
        "leakguard",
        "coverage",
        "pytest_cov",
        "pytest_asyncio",
        "pytest_timeout",
        "pytest_randomly",
        "pytest_rerunfailures",
        "pytest_mock",
        "hypothesis",
        "_hypothesis_pytestplugin",
        "memray",
        "pytest_memray",
    )
)


@dataclass(frozen=True, slots=True)
class Survivors:
    """How many there are, by the name of their class: requests of a web framework apart."""

    requests: Mapping[str, int] = field(default_factory=dict)
    objects: Mapping[str, int] = field(default_factory=dict)


def survivors(spared: Collection[type] = ()) -> Survivors:
    """Return what is alive and not frozen, of classes outside the standard library and the test runner.

    Runs no code of the objects. Costs about 50 nanoseconds for each of them.

    Args:
        spared: classes that do not count, such as the test's own.
    """
    alive = gc.get_objects()
    kinds = list(map(type, alive))
    told = _told(kinds)
    for each in spared:
        told.pop(id(each), None)
    requests: collections.Counter[str] = collections.Counter()
    objects: collections.Counter[str] = collections.Counter()
    for key in filter(told.__contains__, map(id, kinds)) if told else ():
        name, request = told[key]
        (requests if request else objects)[name] += 1
    for value in [value for value, kind in zip(alive, kinds, strict=True) if kind is dict]:
        if "wsgi.input" in value:
            requests[ENVIRON] += 1
        elif "query_string" in value and "headers" in value and "type" in value:
            requests[SCOPE] += 1
    return Survivors(requests, objects)


def references(most: int) -> dict[str, list[weakref.ref[typing.Any]]]:
    """Return weak references to what ``survivors`` counts, at most so many by the name of each class.

    What nothing can refer to weakly is left out.
    """
    alive = gc.get_objects()
    told = _told(list(map(type, alive)))
    found: dict[str, list[weakref.ref[typing.Any]]] = {}
    for value in alive if told else ():
        name, _ = told.get(id(type(value)), ("", False))
        if name and len(found.setdefault(name, [])) < most:
            with contextlib.suppress(TypeError):
                found[name].append(weakref.ref(value))
    return found


def identities(name: str, most: int) -> tuple[int, ...]:
    """Return the identities of some objects of the class ``name`` that are alive and not frozen."""
    found = (id(value) for value in gc.get_objects() if _name_of(type(value)) == name)
    return tuple(itertools.islice(found, most))


# As the observer's naming does it, without importing the observer into every run: no line of a metaclass runs.
_MODULE, _QUALNAME, _MRO = (type.__dict__[name] for name in ("__module__", "__qualname__", "__mro__"))


def _name_of(kind: type) -> str:
    module, name = _MODULE.__get__(kind), _QUALNAME.__get__(kind)
    return f"{module}.{name}" if type(module) is str and module != "builtins" else str(name)


_MOST_KNOWN = 10_000
_known: dict[int, weakref.ref[type]] = {}
_telling: dict[int, tuple[str, bool]] = {}


def _told(kinds: list[type]) -> dict[int, tuple[str, bool]]:
    """Return the telling classes among these, by identity (a metaclass may have a hash of its own), with name and whether
    a request's. Most tests leave none, so what costs little is to see that: classes seen before are known by identity.
    """
    seen = set(map(id, kinds))
    if not seen <= _known.keys():
        for kind in kinds:
            if id(kind) not in _known:
                _learn(kind)
    return {key: _telling[key] for key in _telling.keys() & seen}


def _learn(kind: type) -> None:
    if len(_known) >= _MOST_KNOWN:
        _known.clear()
        _telling.clear()
    key = id(kind)
    told = _tell(kind)
    if told is not None:
        _telling[key] = told
    _known[key] = weakref.ref(kind, functools.partial(_unlearn, key, _known, _telling))


def _unlearn(key: int, known: dict[int, typing.Any], telling: dict[int, typing.Any], gone: object) -> None:
    """Forget a class that is dying, before another gets its identity."""
    if known.get(key) is gone:
        del known[key]
        telling.pop(key, None)


def _tell(kind: type) -> tuple[str, bool] | None:
    name = _name_of(kind)
    if "." not in name or type in _MRO.__get__(kind):
        return None
    package = name.partition(".")[0]
    if package in sys.stdlib_module_names or package in _TESTING:
        return None
    return name, any(_name_of(base) in _REQUESTS for base in _MRO.__get__(kind))
