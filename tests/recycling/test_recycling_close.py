"""Ending connections in the form that each server takes."""

from leakguard.recycling.close import close_asgi, close_wsgi


def test_the_asgi_header_replaces_the_apps_own():
    """An answer of a leaving worker has exactly one connection header, and it says close."""
    headers = [(b"Connection", b"keep-alive"), (b"x-app", b"1")]
    assert close_asgi({"http_version": "1.1"}, headers) == [(b"x-app", b"1"), (b"connection", b"close")]
    assert headers == [(b"Connection", b"keep-alive"), (b"x-app", b"1")]


def test_http_2_gets_no_connection_header():
    """HTTP/2 forbids the header, so its answers stay as they are."""
    assert close_asgi({"http_version": "2"}, [(b"x-app", b"1")]) == [(b"x-app", b"1")]


class Response:
    """What gunicorn's Response has of it."""

    closed = False

    def start_response(self, status, headers, exc_info=None):
        """Begin the answer."""

    def force_close(self):
        """Close after the answer."""
        self.closed = True


def test_gunicorns_response_is_told():
    """Under gunicorn the response object behind start_response is told to close."""
    response = Response()
    assert close_wsgi({"gunicorn.socket": None}, response.start_response, []) == []
    assert response.closed


def test_uwsgi_and_granian_take_the_header():
    """There an app's own header reaches the client, once."""
    for environ in ({"uwsgi.version": b"2.0"}, {"SERVER_SOFTWARE": "Granian"}):
        headers = close_wsgi(environ, Response().start_response, [("connection", "keep-alive"), ("X-App", "1")])
        assert headers == [("X-App", "1"), ("Connection", "close")]


def test_unknown_servers_are_left_alone():
    """Elsewhere nothing is touched: a header would be an error under some."""
    response = Response()
    assert close_wsgi({}, response.start_response, [("X-App", "1")]) == [("X-App", "1")]
    assert not response.closed
