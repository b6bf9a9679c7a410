"""Targets: found as a server finds them, and every way not to be one said in a line."""

from __future__ import annotations

import itertools
import sys
import textwrap

import pytest

from leakguard.check.interface import Interface
from leakguard.check.target import TargetError, load
from leakguard.errors import ConfigError

_NUMBERS = itertools.count()

APPS = """
    class Box: pass

    async def app(scope, receive, send): ...
    def wsgi(environ, start_response): ...
    def create(settings=None): return app
    def create_wsgi(): return wsgi
    async def create_later(): return app
    def broken(): raise LookupError("no settings")
    def leaves(): raise SystemExit(2)
    def nothing(): return 5
    box = Box(); box.inner = Box(); box.inner.app = wsgi
    number = 5
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module of a new name into the current directory and give its name."""

    def write(text: str, package: str = "") -> str:
        name = f"target_{next(_NUMBERS)}"
        folder = tmp_path / package if package else tmp_path
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
        return f"{package}.{name}" if package else name

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return write


@pytest.mark.parametrize(
    ("attribute", "interface"),
    [
        ("app", Interface.ASGI),
        ("wsgi", Interface.WSGI),
        ("create", Interface.ASGI),
        ("create_wsgi", Interface.WSGI),
        ("box.inner.app", Interface.WSGI),
        ("create_later", Interface.AIOHTTP),
    ],
)
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_an_app_is_found(module, attribute, interface):
    """A module and an attribute path, from the current directory; what needs no argument and is no app is called."""
    name = module(APPS)
    target = load(f"{name}:{attribute}")
    assert target.interface is interface
    assert target.name == f"{name}:{attribute}"


def test_a_package_is_found(module):
    """Dots lead into packages."""
    name = module(APPS, package="pkg")
    assert load(f"{name}:app").interface is Interface.ASGI


def test_a_module_alone_is_searched(module):
    """Without an attribute the usual names are tried, then the only app there is."""
    assert load(module("async def application(scope, receive, send): ...")).name.endswith(":application")
    assert load(module("def make_app():\n    async def a(scope, receive, send): ...\n    return a")).name.endswith(
        ":make_app"
    )
    only = load(module("class C:\n    def __call__(self, environ, start_response): ...\nshop = C()"))
    assert (only.name.rpartition(":")[2], only.interface) == ("shop", Interface.WSGI)


def test_the_interface_can_be_said(module):
    """What cannot be told, or is told wrong, is overridden."""
    name = module("class Odd:\n    def __call__(self, *whatever): ...\napp = Odd()")
    with pytest.raises(TargetError, match="--interface"):
        load(f"{name}:app")
    assert load(f"{name}:app", interface=Interface.WSGI).interface is Interface.WSGI


def test_a_factory_can_be_forced(module):
    """``--factory`` calls what looks like an app too."""
    name = module("async def app(scope, receive, send): ...\ndef make(a=None, b=None, c=None): return app")
    assert load(f"{name}:make", factory=True).interface is Interface.ASGI
    with pytest.raises(TargetError, match="the factory failed: TypeError"):
        load(f"{name}:app", factory=True)


@pytest.mark.parametrize(
    ("text", "target", "words"),
    [
        ("import json\ndef f():\n    json.loads('{')\nf()", "{m}:app", ["JSONDecodeError", ".py:3 in f"]),
        ("raise RuntimeError('no\\nway')", "{m}:app", ["RuntimeError: no way", ".py:1"]),
        ("import no_such_package_at_all", "{m}:app", ["No module named 'no_such_package_at_all'"]),
        ("def f(:", "{m}:app", ["SyntaxError", ".py:1"]),
        ("import sys; sys.exit(4)", "{m}:app", ["ended the program", "sys.exit(4)"]),
        (APPS, "{m}:ap", ["no attribute 'ap'", "did you mean", "app"]),
        (APPS, "{m}:box.iner", ["no attribute 'iner'", "inner"]),
        (APPS, "{m}:number", ["is not an app", "an int"]),
        (APPS, "{m}:nothing", ["is not an app", "what it returns is an int"]),
        (APPS, "{m}:broken", ["the factory failed: LookupError: no settings", "in broken"]),
        (APPS, "{m}:leaves", ["the factory ended the program"]),
        ("x = 1", "{m}", ["no attribute of a usual name", ":NAME"]),
        ("", "no_such_module_here:app", ["there is no module 'no_such_module_here'", "looked in"]),
        ("", "{m}.py:app", ["write {m}:app"]),
        ("", "folder/{m}.py", ["write folder.{m}:app"]),
        ("", ":app", ["is not module:attribute"]),
        ("", "", ["is not module:attribute"]),
    ],
)
def test_what_is_no_target_is_said_in_one_line(module, text, target, words):
    """The app's own error with its own line, names that are near, the way out; a usage error, without a traceback."""
    name = module(text)
    with pytest.raises(TargetError) as raised:
        load(target.replace("{m}", name))
    said = str(raised.value)
    assert isinstance(raised.value, ConfigError)
    assert "\n" not in said
    for word in words:
        assert word.replace("{m}", name) in said


def test_a_near_module_is_named(module, tmp_path):
    """A module misspelt is told which ones are here."""
    (tmp_path / "storefront.py").write_text("")
    with pytest.raises(TargetError, match="did you mean storefront"):
        load("storefrnt:app")
