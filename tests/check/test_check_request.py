"""Requests: placeholders, paths and headers, and what a user may write for them."""

from __future__ import annotations

import pytest

from leakguard.check.request import Request, check_header, parse_line


def test_the_number_goes_everywhere():
    """``{n}`` in path, query, header values and body is the request's number."""
    request = Request("POST", "/items/{n}?page={n}", (("X-Trace", "t-{n}"),), b'{"id": "{n}"}')
    made = request.made(7)
    assert (made.path, made.query, made.uri) == ("/items/7", "page=7", "/items/7?page=7")
    assert made.headers == (("X-Trace", "t-7"),)
    assert made.body == b'{"id": "7"}'


def test_numbers_differ_and_what_never_differs_is_made_once():
    """Each number makes another request; without a placeholder it is the same one every time."""
    varying, constant = Request("GET", "/{n}"), Request("GET", "/")
    assert varying.made(1) != varying.made(2)
    assert constant.made(1) is constant.made(2)


def test_a_binary_body_is_sent_as_it_is():
    """A placeholder in a body that is no text is left alone: its lengths would no longer be right."""
    assert Request("POST", "/", body=b"\xff{n}").made(5).body == b"\xff{n}"


def test_a_path_is_encoded_once():
    """Spaces and letters beyond ASCII are encoded, what was encoded already stays, and a fragment is cut off."""
    assert Request("GET", "/a b/ü?q=ä").made(1).uri == "/a%20b/%C3%BC?q=%C3%A4"
    assert Request("GET", "/t?at=%2B05:30#top").made(1).uri == "/t?at=%2B05:30"


def test_the_client_says_what_depends_on_the_body():
    """A length, or the form of the transfer, that a user or an archive brings along is left out."""
    request = Request("POST", "/", (("Content-Length", "3"), ("Connection", "close"), ("X-A", "1")), b"longer")
    assert request.made(1).headers == (("X-A", "1"),)


def test_the_name_is_the_route_without_its_query():
    """A request is called by its method and the framework's template, else by its path."""
    assert Request("GET", "/items/{n}?a=1").name == "GET /items/{n}"
    assert Request("GET", "/items/{n}", template="/items/{id}").name == "GET /items/{id}"


@pytest.mark.parametrize(
    ("line", "name"),
    [("/a", "GET /a"), ("POST /a", "POST /a"), ("delete  /a", "DELETE /a"), ("http://h:1/a?b=1", "GET /a")],
)
def test_a_line_names_a_request(line: str, name: str):
    """A path, a method and a path, or a whole URL of which path and query count."""
    assert parse_line(line).name == name


@pytest.mark.parametrize("line", ["items", "", "GET items", "G(T /x", "GET", "/a\nb"])
def test_a_line_that_names_none(line: str):
    """What names no request is said to be wrong by its rule."""
    with pytest.raises(ValueError, match="must be"):
        parse_line(line)


def test_headers_that_no_server_takes():
    """Names with spaces and values of several lines are refused: they would be another request."""
    assert check_header("X-A", "1") == ("X-A", "1")
    for name, value in (("X A", "1"), ("", "1"), ("X:", "1"), ("X-A", "1\r\nX-B: 2"), ("X-A", None)):
        with pytest.raises(ValueError, match="must have header"):
            check_header(name, value)
