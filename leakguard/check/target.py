"""``module:app``: imported from the current directory as uvicorn does, an attribute path followed, a factory called."""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import sys
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from leakguard.check.interface import Interface, detect, is_factory
from leakguard.errors import ConfigError
from leakguard.probes.code import own_first, shorten
from leakguard.records import Site

NAMES = (
    "app",
    "application",
    "api",
    "asgi",
    "wsgi",
    "asgi_app",
    "wsgi_app",
    "create_app",
    "make_app",
    "get_app",
    "build_app",
)
"""What an app is usually called, and its factories."""

_EXAMPLE = "for example 'shop.main:app'"
_FACTORY = "; if it takes no argument and returns the app: --factory"


class TargetError(ConfigError):
    """The target cannot be imported or is no app; the message is for the one who typed it."""

    def __init__(self, target: str, said: str, way_out: str = "") -> None:
        Exception.__init__(self, f"{target}: {said}" + (f"; {way_out}" if way_out else ""))
        self.option, self.rule, self.value, self.way_out = "TARGET", said, target, way_out


@dataclass(frozen=True, slots=True)
class Target:
    """An app ready to be driven.

    Args:
        name: ``module:attribute`` as it was found.
        app: what was found; a coroutine of an aiohttp factory must still be awaited.
        interface: what it speaks.
        module: where it was found.
    """

    name: str
    app: typing.Any
    interface: Interface
    module: types.ModuleType


def load(target: str, *, interface: Interface | None = None, factory: bool = False) -> Target:
    """Import the target and return the app.

    Args:
        target: ``module:attribute.path``, or ``module`` alone.
        interface: what it speaks, if that is not to be found out.
        factory: the attribute is to be called even if it looks like an app.

    Raises:
        TargetError: it cannot be imported, is not there, or is no app.
    """
    if os.curdir not in sys.path and os.getcwd() not in sys.path:  # noqa: PTH109 - sys.path has texts
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    module_name, _, attributes = target.partition(":")
    module = _import(target, module_name)
    if attributes:
        found = _follow(target, module, attributes)
        return _made(target, found, module, interface, factory)
    name, found = _search(target, module)
    return _made(f"{target}:{name}", found, module, interface, factory)


def _import(target: str, name: str) -> types.ModuleType:
    if not name or name.endswith(".py") or os.sep in name or not all(part.isidentifier() for part in name.split(".")):
        raise TargetError(target, "is not module:attribute", _spelled(target))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise TargetError(target, f"there is no module {error.name!r} here", _near_module(name)) from None
        raise TargetError(target, *_own_error(error)) from None
    except SystemExit as error:
        raise TargetError(target, f"the module ended the program while it was imported: {_exit(error)}") from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise TargetError(target, *_own_error(error)) from None


def _own_error(error: BaseException, doing: str = "cannot be imported") -> tuple[str, str]:
    """Return the app's own error: type, message, and the innermost line of its own."""
    where = site_of(error)
    place = f" (at {where} in {where.function})" if where else ""
    if isinstance(error, SyntaxError) and error.filename:
        place = f" (at {shorten(error.filename)}:{error.lineno})"
        message = error.msg
    else:
        message = _message(error)
    return f"{doing}: {type(error).__name__}: {message}{place}", ""


def site_of(error: BaseException) -> Site | None:
    """Return the innermost line of the application's own that an exception passed."""
    places = []
    traceback = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        places.append((code.co_filename, traceback.tb_lineno, code.co_name))
        traceback = traceback.tb_next
    found = own_first(reversed(places))
    return found if found is not None and not found.file.startswith("<") else None


def _message(error: BaseException, longest: int = 500) -> str:
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = "(its message cannot be shown)"
    return text if len(text) <= longest else text[:longest] + "…"


def _exit(error: SystemExit) -> str:
    where = site_of(error)
    return f"sys.exit({error.code!r})" + (f" at {where}" if where else "")


def _spelled(target: str) -> str:
    path, _, attributes = target.partition(":")
    if path.endswith(".py"):
        module = path.removesuffix(".py").strip("./").replace(os.sep, ".")
        return f"write {module}:{attributes or 'app'}"
    if os.sep in path:
        return f"write {path.strip('./').replace(os.sep, '.')}:{attributes or 'app'}"
    return _EXAMPLE


def _near_module(name: str) -> str:
    """Return what may have been meant, or where was looked."""
    first = name.partition(".")[0]
    here = Path.cwd()
    found = [p.stem for p in here.glob("*.py")] + [p.parent.name for p in here.glob("*/__init__.py")]
    near = difflib.get_close_matches(first, found, 3, 0.6)
    if near:
        return f"did you mean {' or '.join(near)}? (in {here})"
    return f"looked in {here} and on Python's path: run it in the directory where the server is started"


def _follow(target: str, module: types.ModuleType, attributes: str) -> object:
    found: object = module
    walked = module.__name__
    for name in attributes.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            near = difflib.get_close_matches(name, _public(found), 3, 0.5)
            apps = [n for n in _public(found) if _is_app(getattr(found, n, None))][:3]
            said = f"did you mean {' or '.join(near)}?" if near else f"apps there: {', '.join(apps)}" if apps else ""
            raise TargetError(target, f"{walked} has no attribute {name!r}", said) from None
        except Exception as error:
            raise TargetError(target, *_own_error(error, f"cannot get {name!r}")) from None
        walked = f"{walked}.{name}"
    return found


def _public(found: object) -> list[str]:
    return [name for name in getattr(found, "__dict__", {}) if not name.startswith("__")]


def _is_app(found: object) -> bool:
    return (
        not isinstance(found, type | types.FunctionType | types.ModuleType) and callable(found) and bool(detect(found))
    )


def _search(target: str, module: types.ModuleType) -> tuple[str, object]:
    for name in NAMES:
        found = getattr(module, name, None)
        if found is not None and (detect(found) is not None or is_factory(found)):
            return name, found
    apps = [(name, found) for name, found in vars(module).items() if not name.startswith("_") and _is_app(found)]
    if len(apps) == 1:
        return apps[0]
    named = f"one of {', '.join(f'{target}:{name}' for name, _ in apps[:5])}" if apps else f"{target}:NAME"
    raise TargetError(target, f"has no attribute of a usual name ({', '.join(NAMES)})", f"name the app: {named}")


def _made(name: str, found: object, module: types.ModuleType, interface: Interface | None, factory: bool) -> Target:
    called = False
    if factory or (is_factory(found) and (interface is None or detect(found) is None)):
        found, called = _call(name, found), True
    if inspect.isawaitable(found):
        speaks = (
            interface or Interface.AIOHTTP
        )  # awaited on the loop: only aiohttp's factories are coroutines by custom
        return Target(name, found, speaks, module)
    speaks_ = interface or detect(found)
    if speaks_ is None or not (callable(found) or speaks_ is Interface.AIOHTTP):
        what = f"{'what it returns' if called else 'it'} is {_article(type(found).__name__)}"
        way_out = "say what it speaks: --interface asgi, wsgi or aiohttp"
        way_out += _FACTORY if callable(found) and not called else ""
        raise TargetError(name, f"is not an app that leakguard can speak to: {what}", way_out)
    return Target(name, found, speaks_, module)


def _call(name: str, factory: object) -> object:
    if not callable(factory):
        raise TargetError(name, f"is {_article(type(factory).__name__)}, which cannot be called", "leave out --factory")
    try:
        return factory()
    except KeyboardInterrupt:
        raise
    except SystemExit as error:
        raise TargetError(name, f"the factory ended the program: {_exit(error)}") from None
    except BaseException as error:
        raise TargetError(name, *_own_error(error, "the factory failed")) from None


def _article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def close_names(name: str, known: Iterable[str]) -> str:
    """Return the names that may have been meant, as a question, or nothing."""
    near = difflib.get_close_matches(name, list(known), 3, 0.5)
    return f"did you mean {' or '.join(near)}?" if near else ""
