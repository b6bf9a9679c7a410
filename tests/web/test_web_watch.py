"""``leakguard watch`` in a real terminal: keys, resizing, no colour, and plain text where there is no terminal."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import struct
import subprocess
import sys
import termios
import time

import pexpect
import pyte
import pytest
import web_journals
from support.needs import ROOT

from leakguard.journal.sqlite import SqliteJournal

DEADLINE = 60.0


class Terminal:
    """A pseudo terminal with ``leakguard watch`` in it, drawn by pyte."""

    def __init__(self, journal, *arguments, rows=30, columns=120, **environment):
        variables = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **environment}
        # A test runner may say how wide its own terminal is: here we have one of our own.
        variables = {k: v for k, v in variables.items() if v != "" and k not in {"COLUMNS", "LINES"}}
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.sent = b""
        self.process = pexpect.spawn(
            sys.executable,
            ["-m", "leakguard", "watch", "--journal", str(journal), "--every", "500ms", *arguments],
            env=variables,
            dimensions=(rows, columns),
            # Before the program begins: pexpect itself is too late for one that asks at once.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0)),
            timeout=DEADLINE,
        )

    def text(self):
        return "\n".join(line.rstrip() for line in self.screen.display)

    def wait(self, *words, without=()):
        deadline = time.monotonic() + DEADLINE
        while True:
            shown = self.text()
            if all(word in shown for word in words) and not any(word in shown for word in without):
                return shown
            assert time.monotonic() < deadline, f"{words} without {without} did not come:\n{shown}"
            assert self.process.isalive(), f"it has ended:\n{shown}"
            try:
                got = self.process.read_nonblocking(65536, 0.2)
            except pexpect.TIMEOUT:
                continue
            self.sent += got
            # What pyte does not know: it would print the parts of the kitty keyboard protocol's and mode 2026's sequences.
            self.stream.feed(got.replace(b"\x1b[>25u", b"").replace(b"\x1b[>1u", b"").replace(b"\x1b[<u", b""))

    def press(self, keys):
        self.process.send(keys)

    def resize(self, rows, columns):
        self.screen.resize(rows, columns)
        self.process.setwinsize(rows, columns)

    def end(self):
        self.process.expect(pexpect.EOF)
        self.process.close()
        return self.process.exitstatus


@pytest.fixture
def watch():
    """Start ``leakguard watch`` in a terminal; ended after the test."""
    started = []

    def start(*arguments, **more):
        terminal = Terminal(*arguments, **more)
        started.append(terminal)
        return terminal

    yield start
    for terminal in started:
        terminal.process.close(force=True)


def test_all_workers_and_all_keys(watch, story):
    """Memory against the ceiling, in flight, p99; sort, select, findings, recycles, help and quit by keys; then exit code 0."""
    terminal = watch(story, "--since", "1d")
    shown = terminal.wait(
        "game:app on gunicorn", "4105", "running", "400 MiB", "POST /telemetry", "game.pending", "~~~~"
    )
    for head in ("memory", "of ceiling", "reached in", "in flight", "p99"):
        assert head in shown
    terminal.press("r")
    terminal.wait("above the ceiling of 400 MiB; 3 in flight, 0 lost", without=["~~~~"])
    terminal.press("s")
    terminal.wait("sorted by memory")
    terminal.press("\x1b[B")
    terminal.press("\r")
    terminal.wait("at first", "at most; ceiling 400 MiB", "▁")
    terminal.press("?")
    terminal.wait("Any key closes this.")
    time.sleep(1.2)  # news while the help is open
    terminal.press("x")
    terminal.wait("at most; ceiling 400 MiB", without=["Any key closes this."])
    terminal.press(" ")
    terminal.wait("paused")
    terminal.press("f")
    terminal.wait("~~~~")
    terminal.press("q")
    assert terminal.end() == 0


def test_what_a_worker_writes_appears(watch, tmp_path):
    """A new worker and a new finding come up by themselves."""
    path = web_journals.write(tmp_path / "journal.sqlite3", generations=1)
    terminal = watch(path)
    terminal.wait("4101", "game.pending", without=["7777"])
    journal = SqliteJournal(path)
    journal.register(web_journals.worker(7777, time.time() - 10))
    journal.window(web_journals.window(0, time.time() - 10, 321 << 20, (), 5))
    journal.finding(
        dataclasses.replace(web_journals.TELEMETRY, fingerprint="0123abcd", holder="news.SEEN", retained_bytes=1 << 30)
    )
    journal.close()
    terminal.wait("7777", "321 MiB", "news.SEEN")


def test_it_follows_the_size_of_the_terminal(watch, story):
    """Narrow and short, then wide: it is drawn anew, and still answers."""
    terminal = watch(story, "--since", "1d")
    terminal.wait("4105")
    terminal.resize(16, 60)
    terminal.wait("4105", "memory")
    terminal.resize(40, 160)
    terminal.wait("4105", "requests")
    terminal.press("q")
    assert terminal.end() == 0


def test_no_color_is_respected(watch, story):
    """With NO_COLOR every colour that reaches the terminal is a grey; without it some are not."""

    def is_grey(colour):
        return colour == "default" or colour[0:2] == colour[2:4] == colour[4:6]

    for no_color in ("1", ""):
        terminal = watch(story, "--since", "1d", COLORTERM="truecolor", NO_COLOR=no_color)
        terminal.wait("4105", "game.pending", "~~~~")
        shown = [character for line in range(30) for character in terminal.screen.buffer[line].values()]
        colours = {colour for character in shown for colour in (character.fg, character.bg)}
        assert all(is_grey(colour) for colour in colours) == bool(no_color), colours


@pytest.mark.parametrize("how", ["dumb", "plain", "missing"])
def test_plain_text_where_keys_are_not_to_be_had(watch, story, how):
    """On a dumb terminal, with --plain and without Textual there is the same in plain text, again and again, until Ctrl-C."""
    if how == "missing":
        # A package of that name that is none: what find_spec looks for is not there.
        code = "import sys; sys.modules['textual'] = None; from leakguard.cli import main; main(sys.argv[1:])"
        process = pexpect.spawn(
            sys.executable,
            ["-c", code, "watch", "--journal", str(story), "--since", "1d", "--every", "500ms"],
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
            dimensions=(30, 120),
            timeout=DEADLINE,
            encoding="utf-8",
        )
        process.expect_exact("pip install 'leakguard-middleware[watch]'")
    else:
        more = ["--plain"] if how == "plain" else []
        process = pexpect.spawn(
            sys.executable,
            ["-m", "leakguard", "watch", "--journal", str(story), "--since", "1d", "--every", "500ms", *more],
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb" if how == "dumb" else "xterm"},
            dimensions=(30, 120),
            timeout=DEADLINE,
            encoding="utf-8",
        )
    for _ in range(2):
        process.expect_exact("POST /telemetry")
        process.expect_exact("4105")
        assert "\x1b" not in process.before
    process.sendintr()
    process.expect(pexpect.EOF)
    process.close()
    assert process.exitstatus == 0


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "leakguard", "watch", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def test_once_into_a_pipe(story, hostile):
    """``--once`` prints once, without any control character, hostile names included, and ends with 0."""
    done = run("--once", "--since", "1d", "--journal", str(story))
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("game:app", "POST /telemetry", "4105", "running", "4 recycles, 0 requests lost"):
        assert word in done.stdout
    done = run("--once", "--since", "1d", "--journal", str(hostile))
    assert done.returncode == 0
    assert all(character == "\n" or character.isprintable() for character in done.stdout)


def test_a_missing_journal_is_said(tmp_path):
    """``--once`` on nothing: one line on stderr, exit code 3."""
    done = run("--once", "--journal", str(tmp_path / "none"))
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("leakguard: there is no journal")
