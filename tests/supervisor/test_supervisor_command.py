"""Reading a command, passed sockets, and how long the next try waits: the parts that decide without a server."""

import os
import socket
import subprocess
import sys

import pytest

from leakguard.recycling import link
from leakguard.recycling.succession import pause_after
from leakguard.supervisor import command
from leakguard.supervisor.importing import patch_on_import
from leakguard.supervisor.sockets import Kept


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("uvicorn app:app", "uvicorn"),
        ("/srv/venv/bin/uvicorn app:app", "uvicorn"),
        ("python -m uvicorn app:app", "uvicorn"),
        ("python3.12 -X dev -m hypercorn.__main__ app", "hypercorn"),
        ("python /srv/bin/gunicorn app", "gunicorn"),
        ("python", ""),
        ("sh -c 'gunicorn app'", "sh"),
    ],
)
def test_the_server_is_found_in_the_words(words, name):
    """A server is known by its own name, by its path, and behind ``python -m``."""
    assert command.server_of(words.split()) == name


@pytest.mark.parametrize(
    ("words", "environment", "expected"),
    [
        ("uvicorn app:app", {}, False),
        ("uvicorn app:app --workers 1", {}, False),
        ("uvicorn app:app --workers 2", {}, True),
        ("uvicorn app:app --workers=4", {}, True),
        ("uvicorn app:app --reload", {}, True),
        ("uvicorn app:app", {"WEB_CONCURRENCY": "3"}, True),
        ("uvicorn app:app --workers 1", {"WEB_CONCURRENCY": "3"}, False),
        ("hypercorn app:app", {}, False),
        ("hypercorn -w 2 app:app", {}, True),
        ("hypercorn -w2 app:app", {}, True),
        ("gunicorn app:app", {}, True),
        ("granian app:app", {}, True),
        ("waitress-serve app:app", {}, False),
        ("python main.py --workers 2", {}, False),
    ],
)
def test_servers_with_a_parent_of_their_own_are_left_to_it(words, environment, expected):
    """A supervisor is for single processes only."""
    assert command.replaces_itself(words.split(), environment) is expected


def test_the_path_keeps_what_was_there():
    """Our bootstrap comes first on PYTHONPATH, what the user has there follows, options become variables."""
    made = command.environment_for({"PYTHONPATH": "/a:/b", "X": "1"}, {"LEAKGUARD_CEILING": "80%"})
    assert made["PYTHONPATH"].split(os.pathsep) == [str(command.BOOTSTRAP), "/a", "/b"]
    assert (made["X"], made["LEAKGUARD_CEILING"], made["_LEAKGUARD_RUN"]) == ("1", "80%", "1")


def test_passed_sockets_are_taken_only_when_they_are_ours():
    """LISTEN_FDS for another process is nothing to us, and our own is not passed on in words."""
    theirs = {"LISTEN_PID": str(os.getppid()), "LISTEN_FDS": "1"}
    assert not Kept.passed(theirs).given
    assert "LISTEN_FDS" in theirs
    code = (
        "import os, socket; from leakguard.supervisor.sockets import Kept;"
        "e = {'LISTEN_PID': str(os.getpid()), 'LISTEN_FDS': '2', 'LISTEN_FDNAMES': 'web'};"
        "kept = Kept.passed(e); print(kept.given, len(kept.sockets), e, os.get_inheritable(3))"
    )
    with socket.socket() as listener, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        start = "import os, sys; os.dup2(int(sys.argv[1]), 9); os.dup2(int(sys.argv[2]), 4); os.dup2(9, 3);"
        start += "os.execv(sys.executable, [sys.executable, '-c', sys.argv[3]])"
        words = [sys.executable, "-c", start, str(listener.fileno()), str(datagrams.fileno()), code]
        descriptors = (listener.fileno(), datagrams.fileno())
        done = subprocess.run(words, capture_output=True, text=True, pass_fds=descriptors, timeout=30)
    assert done.stdout == "True 1 {} True\n", done.stderr


def test_the_pause_doubles_up_to_an_hour():
    """One try a minute after the first failure, fewer after each further one, at least one an hour."""
    assert [pause_after(failures) for failures in (0, 1, 2, 6, 1000)] == [60, 120, 240, 3600, 3600]


def test_a_link_that_is_not_ours_is_not_opened(monkeypatch):
    """A descriptor that a program in between closed, and that something else has now, is left alone."""
    with socket.socket() as other:
        inode = os.fstat(other.fileno()).st_ino
        for told in ("", "nonsense", "9999:1:1", f"{other.fileno()}:{inode + 1}:1"):
            monkeypatch.setenv(link.VARIABLE, told)
            assert link.open_link() is None
        assert other.fileno() != -1


def test_a_patch_that_fails_is_said_and_the_import_succeeds(tmp_path, monkeypatch, capsys):
    """A server of an unknown make runs unguarded; the module is there as if nobody had touched it."""
    (tmp_path / "strange_server.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    patch_on_import({"strange_server": lambda module: module.missing})
    import strange_server

    monkeypatch.delitem(sys.modules, "strange_server")
    assert strange_server.value == 1
    assert "strange_server is not as expected: AttributeError" in capsys.readouterr().err
