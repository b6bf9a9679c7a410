"""What the supervisor's tests share."""

import contextlib

import pytest
from supervised_server import Supervised


@pytest.fixture
def supervise(tmp_path):
    """Start commands under ``leakguard run``; they end with the test."""
    with contextlib.ExitStack() as stack:

        def start(command, *options, **more):
            server = Supervised(command, tmp_path, options, **more)
            stack.callback(server.stop)
            return server

        yield start
