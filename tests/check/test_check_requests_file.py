"""Request files: what is read, and what every wrong entry is told."""

from __future__ import annotations

import json

import pytest

from leakguard.check.requests_file import read_requests
from leakguard.errors import ConfigError


def read(tmp_path, data):
    path = tmp_path / "requests.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return read_requests(path)


def test_a_list_of_requests(tmp_path):
    """Method, path, headers and the three kinds of body are read, in the order of the list."""
    listed = read(
        tmp_path,
        [
            {"path": "/plain"},
            {"method": "post", "path": "/text/{n}", "headers": {"X-N": "{n}", "X-I": 3}, "body": "hello {n}"},
            {"method": "POST", "path": "/bytes", "body_base64": "kpPA wpOhYaFiwQ=="},
            {"method": "PUT", "path": "/json", "body_json": {"id": "{n}", "deep": [{"x": "a{n}"}]}},
        ],
    )
    plain, text, binary, structured = listed.requests
    assert (plain.method, plain.body, plain.headers) == ("GET", b"", ())
    assert text.made(4).body == b"hello 4"
    assert text.made(4).headers == (("X-N", "4"), ("X-I", "3"))
    assert binary.made(4).body == bytes.fromhex("9293c0c293a161a162c1")
    assert json.loads(structured.made(9).body) == {"id": "9", "deep": [{"x": "a9"}]}
    assert ("Content-Type", "application/json") in structured.headers
    assert listed.notes == ()


def test_a_content_type_of_ones_own_stays(tmp_path):
    """A JSON body gets no second content type."""
    (request,) = read(tmp_path, [{"path": "/", "headers": {"content-type": "a/b"}, "body_json": None}]).requests
    assert request.headers == (("content-type", "a/b"),)
    assert request.body == b"null"


def test_a_key_that_means_nothing_is_said(tmp_path):
    """A misspelt key is left out, with a note that names it and what was probably meant."""
    (note,) = read(tmp_path, [{"path": "/", "boddy": "x"}]).notes
    assert "entry 1" in note
    assert "'boddy'" in note
    assert "'body'" in note


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("{nope", ("JSON", "line 1")),
        ("", ("JSON",)),
        ({"a": 1}, ("list of requests", "an object")),
        ([], ("at least one request",)),
        (["/x"], ("entry 1", "object", "text")),
        ([{"path": "/ok"}, {"method": "GET"}], ("entry 2", "must have a path", "method")),
        ([{"path": "ok"}], ("entry 1", "begins with /", "'ok'")),
        ([{"path": 5}], ("entry 1", "begins with /", "5")),
        ([{"path": "/", "method": "G T"}], ("entry 1", "HTTP method", "'G T'")),
        ([{"path": "/", "method": None}], ("entry 1", "HTTP method")),
        ([{"path": "/", "headers": ["a"]}], ("entry 1", "names and values")),
        ([{"path": "/", "headers": {"a": None}}], ("entry 1", "text")),
        ([{"path": "/", "headers": {"a b": "c"}}], ("entry 1", "header names")),
        ([{"path": "/", "body": {"a": 1}}], ("entry 1", "must be text", "body_json")),
        ([{"path": "/", "body": "a", "body_json": 1}], ("entry 1", "one body")),
        ([{"path": "/", "body_base64": "%%%"}], ("entry 1", "base64", "%%%")),
        ({"log": {}}, ("log.entries",)),
        ({"log": {"entries": [{}]}}, ("entry 1", "request")),
        ({"log": {"entries": [{"request": {"method": "GET"}}]}}, ("entry 1", "request.url")),
        ({"log": {"entries": []}}, ("at least one HTTP request",)),
    ],
)
def test_a_wrong_file_is_told_entry_rule_and_value(tmp_path, data, words):
    """Whatever is wrong: the entry's number, the rule and what was found, never a traceback."""
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, data)
    for word in ("--requests", *words):
        assert word in str(raised.value)


def test_a_file_that_is_not_there(tmp_path):
    """A missing file is said to be missing."""
    with pytest.raises(ConfigError, match="No such file"):
        read_requests(tmp_path / "none.json")


HAR = {
    "log": {
        "version": "1.2",
        "entries": [
            {
                "request": {
                    "method": "POST",
                    "url": "https://shop.example/cart/7?coupon=X%2B1",
                    "headers": [
                        {"name": ":authority", "value": "shop.example"},
                        {"name": ":path", "value": "/cart"},
                        {"name": "Host", "value": "shop.example"},
                        {"name": "Connection", "value": "keep-alive"},
                        {"name": "content-length", "value": "9"},
                        {"name": "Cookie", "value": "session={n}"},
                        {"name": "content-type", "value": "application/json"},
                    ],
                    "queryString": [{"name": "coupon", "value": "X+1"}],
                    "postData": {"mimeType": "application/json", "text": '{"n": "{n}"}'},
                }
            },
            {
                "request": {
                    "method": "POST",
                    "url": "https://shop.example/form",
                    "headers": [],
                    "postData": {"params": [{"name": "a", "value": "1 2"}, {"name": "b", "value": "ü"}]},
                }
            },
            {"request": {"method": "GET", "url": "https://cdn.example/x.js", "headers": []}},
            {"_resourceType": "websocket", "request": {"method": "GET", "url": "wss://shop.example/live"}},
            {"request": {"method": "GET", "url": "data:image/png;base64,AAAA"}},
        ],
    }
}


def test_an_archive_of_a_browser(tmp_path):
    """Path, query, the headers that travel and the posted data are taken; what is of the old connection is not."""
    listed = read(tmp_path, HAR)
    cart, form, script = listed.requests
    made = cart.made(3)
    assert made.uri == "/cart/7?coupon=X%2B1"
    assert made.headers == (("Cookie", "session=3"), ("content-type", "application/json"))
    assert made.body == b'{"n": "3"}'
    assert form.body == b"a=1+2&b=%C3%BC"
    assert form.headers == (("Content-Type", "application/x-www-form-urlencoded"),)
    assert script.path == "/x.js"
    assert any("several hosts" in note for note in listed.notes)
    assert any("2 entries" in note for note in listed.notes)
