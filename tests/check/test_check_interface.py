"""What an app speaks, told from what it is."""

from __future__ import annotations

import functools

import pytest

from leakguard.check.interface import Interface, detect, is_double, is_factory


async def asgi(scope, receive, send): ...


def wsgi(environ, start_response): ...


def asgi_double(scope): ...


async def named_otherwise(s, r, x): ...


class AsgiInstance:
    async def __call__(self, scope, receive, send): ...


class WsgiInstance:
    def __call__(self, environ, start_response): ...


class DoubleClass:
    def __init__(self, scope): ...

    async def __call__(self, receive, send): ...


class WsgiClass:
    def __init__(self, environ, start_response): ...

    def __iter__(self): ...


class Wrapper:
    def __init__(self, app):
        self.app = app

    def __call__(self, *arguments):
        return self.app(*arguments)


def decorated(function):
    @functools.wraps(function)
    def wrapper(*arguments):
        return function(*arguments)

    return wrapper


@pytest.mark.parametrize(
    ("app", "interface"),
    [
        (asgi, Interface.ASGI),
        (named_otherwise, Interface.ASGI),
        (asgi_double, Interface.ASGI),
        (AsgiInstance(), Interface.ASGI),
        (DoubleClass, Interface.ASGI),
        (functools.partial(asgi), Interface.ASGI),
        (functools.partial(named_otherwise, "bound"), Interface.ASGI),
        (decorated(asgi), Interface.ASGI),
        (Wrapper(asgi), Interface.ASGI),
        (Wrapper(Wrapper(AsgiInstance())), Interface.ASGI),
        (wsgi, Interface.WSGI),
        (WsgiInstance(), Interface.WSGI),
        (WsgiClass, Interface.WSGI),
        (functools.partial(wsgi), Interface.WSGI),
        (decorated(wsgi), Interface.WSGI),
        (Wrapper(wsgi), Interface.WSGI),
        (WsgiInstance().__call__, Interface.WSGI),
        (lambda env, start: None, Interface.WSGI),
        (lambda: None, None),
        (lambda a, b, c, d: None, None),
        (5, None),
        ("app", None),
        (object(), None),
    ],
)
def test_plain_callables(app, interface):
    """Functions, instances, classes, partials, decorated ones and middlewares are told apart by what they take."""
    assert detect(app) is interface


def test_frameworks():
    """Each framework's app, and its class's subclasses, speak what the framework does."""
    import bottle
    from aiohttp import web
    from django.core.handlers.asgi import ASGIHandler
    from django.core.handlers.wsgi import WSGIHandler
    from fastapi import FastAPI
    from flask import Flask
    from litestar import Litestar
    from quart import Quart
    from starlette.applications import Starlette
    from starlette.middleware.gzip import GZipMiddleware

    from leakguard import LeakGuardMiddleware, LeakGuardWSGI

    class Mine(FastAPI): ...

    for app in (
        Starlette(),
        FastAPI(),
        Mine(),
        Quart("x"),
        GZipMiddleware(Starlette()),
        LeakGuardMiddleware(FastAPI()),
    ):
        assert detect(app) is Interface.ASGI
    assert detect(Litestar([])) is Interface.ASGI
    for app in (Flask("x"), bottle.Bottle(), LeakGuardWSGI(Flask("x")), Flask("x").wsgi_app):
        assert detect(app) is Interface.WSGI
    assert detect(web.Application()) is Interface.AIOHTTP
    assert detect(object.__new__(WSGIHandler)) is Interface.WSGI
    assert detect(object.__new__(ASGIHandler)) is Interface.ASGI


def test_factories_and_the_old_kind():
    """A factory needs no argument; no app is one. An ASGI 2 app is called with the scope alone."""
    assert is_factory(lambda: None)
    assert is_factory(lambda settings=None: None)
    for app in (asgi, wsgi, asgi_double, AsgiInstance(), WsgiClass, DoubleClass, 5, Wrapper(asgi)):
        assert not is_factory(app)
    assert is_double(asgi_double)
    assert is_double(DoubleClass)
    assert not is_double(asgi)
    assert not is_double(AsgiInstance())
