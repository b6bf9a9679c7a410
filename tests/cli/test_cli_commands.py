"""The command line keeps its promises: exit codes, streams, one-line errors, real journals."""

from __future__ import annotations

import json
import os
import pty
import sqlite3
import subprocess
import sys

import pytest
from cli_journals import LEAK, ROOT, run, write_journal

import leakguard
from leakguard.cli import COMMANDS
from leakguard.config import OPTIONS


def test_a_steady_app_is_clean(tmp_path):
    """Enough measured and nothing found: exit code 0, verdict steady, nothing on stderr."""
    result = run("report", "--journal", write_journal(tmp_path / "j"))
    assert result.exit_code == 0, result.output
    assert "Verdict: steady" in result.stdout
    assert result.stderr == ""


def test_a_leak_is_exit_code_one(tmp_path):
    """A finding gives exit code 1 and names route, line and holder."""
    result = run("report", "--journal", write_journal(tmp_path / "j", LEAK))
    assert result.exit_code == 1
    for word in ("POST /telemetry", "game.py:88", "game.pending", "abc123"):
        assert word in result.stdout


def test_too_little_is_exit_code_three(tmp_path):
    """A young app is unknown, printed as such, and never exit code 0."""
    result = run("report", "--journal", write_journal(tmp_path / "j", windows=3))
    assert result.exit_code == 3
    assert "Verdict: unknown" in result.stdout


def test_json_is_one_object_on_stdout(tmp_path):
    """``--format json`` prints one object of schema 1 and gives the same exit code."""
    result = run("report", "--format", "json", "--journal", write_journal(tmp_path / "j", LEAK))
    assert result.exit_code == 1
    made = json.loads(result.stdout)
    assert (made["schema"], made["verdict"], made["requests"]) == (1, "leak", 3000)


def test_the_environment_names_the_journal(tmp_path):
    """``LEAKGUARD_JOURNAL`` is read when ``--journal`` is not given, and a home directory is expanded."""
    write_journal(tmp_path / "state" / "leakguard" / "journal.sqlite3")
    assert run("report").exit_code == 0
    write_journal(tmp_path / "j", LEAK)
    assert run("report", LEAKGUARD_JOURNAL=str(tmp_path / "j")).exit_code == 1
    assert run("report", HOME=str(tmp_path), LEAKGUARD_JOURNAL="~/j").exit_code == 1


@pytest.mark.parametrize("kind", ["missing", "empty", "foreign", "database", "folder", "introduced", "off", "corrupt"])
def test_what_cannot_be_read_is_exit_code_three(tmp_path, kind):
    """A journal that is not there, empty, not ours or broken: one line on stderr, nothing on stdout, exit code 3."""
    path = tmp_path / "journal"
    match kind:
        case "empty":
            path.touch()
        case "foreign":
            path.write_text("dear diary\n" * 100)
        case "database":
            sqlite3.connect(path).execute("CREATE TABLE precious (thing)").connection.close()
        case "folder":
            path.mkdir()
        case "introduced":
            write_journal(path, windows=0)
        case "corrupt":
            write_journal(path)
            data = path.read_bytes()
            path.write_bytes(data[:4096] + b"\xa5" * (len(data) - 4096))
    result = run("report", LEAKGUARD_JOURNAL="off") if kind == "off" else run("report", "--journal", path)
    assert result.exit_code == 3
    assert result.stdout == ""
    assert result.stderr.startswith("leakguard: ")
    assert result.stderr.count("\n") == 1
    if kind in {"missing", "empty", "introduced"}:
        assert "LeakGuardMiddleware" in result.stderr
    if kind == "off":
        assert "--journal PATH" in result.stderr


def test_since_looks_back_only_so_far(tmp_path):
    """``--since`` leaves older windows out; when nothing is left it says so and gives exit code 3."""
    path = write_journal(tmp_path / "j", age=3600)
    assert run("report", "--journal", path, "--since", "2h").exit_code == 0
    result = run("report", "--journal", path, "--since", "30m")
    assert result.exit_code == 3
    assert "longer --since" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["report", "--since", "banana"],
        ["report", "--since", "0s"],
        ["report", "--format", "xml"],
        ["report", "surplus"],
        ["frobnicate"],
    ],
)
def test_wrong_usage_is_exit_code_two(arguments):
    """A wrong option, value or command is exit code 2 and said on stderr."""
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Error: " in result.stderr


@pytest.mark.parametrize("command", ["config", "report", "doctor"])
def test_a_wrong_value_in_the_environment_is_one_line(command):
    """A wrong ``LEAKGUARD_*`` value names the variable, the rule, the value and the way out, and is exit code 2."""
    result = run(command, LEAKGUARD_CEILING="banana")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    for word in ("LEAKGUARD_CEILING", "must be", "'banana'", "for example"):
        assert word in result.stderr


def test_config_prints_every_option_and_its_origin():
    """Every option is there with its value and where it came from."""
    result = run("config", LEAKGUARD_CEILING="384 MiB")
    assert result.exit_code == 0
    lines = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert set(lines) == {"option", *(option.name for option in OPTIONS)}
    assert "384 MiB" in lines["ceiling"]
    assert lines["ceiling"].endswith("environment LEAKGUARD_CEILING")
    assert lines["interval"].endswith("default")
    explained = run("config", "--explain").stdout
    assert all(option.help.split(".")[0].split()[0] in explained for option in OPTIONS)


def test_config_warns_of_a_misspelt_variable():
    """A variable that is no option is named on stderr with the one that was meant."""
    result = run("config", LEAKGUARD_CIELING="384 MiB")
    assert "LEAKGUARD_CIELING" in result.stderr
    assert "LEAKGUARD_CEILING" in result.stderr


def test_doctor_tells_of_machine_and_workers(tmp_path):
    """The doctor describes the machine, what recycling will do in the workers' own words, and the hypotheses."""
    result = run("doctor", "--journal", write_journal(tmp_path / "j", LEAK))
    assert result.exit_code == 0, result.output
    for word in ("This machine", "memory limit", "It will be replaced.", "memory leak", "slow logic"):
        assert word in result.stdout


def test_doctor_without_a_journal_describes_the_machine(tmp_path):
    """No journal yet is no failure for the doctor, but one that is named must be there."""
    result = run("doctor")
    assert result.exit_code == 0
    assert "memory limit" in result.stdout
    assert "no journal" in result.stderr
    assert run("doctor", "--journal", tmp_path / "none").exit_code == 3


def test_doctor_says_when_the_ceiling_cannot_work():
    """A ceiling above what the kernel allows is said: the kernel would be first."""
    result = run("doctor", LEAKGUARD_CEILING="900000 GiB")
    assert "above the limit" in result.stdout


def test_every_command_is_listed_and_explains_itself():
    """``--help`` lists every command, and each of them has a help of its own."""
    listed = run("--help")
    assert listed.exit_code == 0
    for command in COMMANDS:
        assert command in listed.stdout
        assert run(command, "--help").exit_code == 0
    assert run("--version").stdout.strip() == f"leakguard {leakguard.__version__}"


def test_our_own_mistake_is_never_a_finding(tmp_path, monkeypatch):
    """An exception that nobody thought of gives exit code 3, not Python's 1, which means findings."""
    from leakguard.cli import report

    def broken(*_: object) -> None:
        raise RuntimeError("unthought of")

    monkeypatch.setattr(report, "build", broken)
    result = run("report", "--journal", write_journal(tmp_path / "j"))
    assert result.exit_code == 3
    assert "mistake in leakguard" in result.stderr
    assert "RuntimeError" in result.stderr


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", "from leakguard.cli import main; main()", *map(str, arguments)]


def _on_terminal(arguments: list[str], **more: str) -> str:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", **more}
    child = subprocess.Popen(arguments, stdout=theirs, stderr=subprocess.DEVNULL, env=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux: the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    child.wait()
    return shown.decode()


def test_colours_are_for_terminals_only(tmp_path):
    """On a terminal the report has colours; piped, with ``NO_COLOR`` or on a dumb terminal it has none."""
    command = _command("report", "--journal", write_journal(tmp_path / "j", LEAK))
    assert "\x1b[" in _on_terminal(command)
    assert "\x1b" not in _on_terminal(command, NO_COLOR="1")
    assert "\x1b" not in _on_terminal(command, TERM="dumb")
    piped = subprocess.run(command, capture_output=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert b"\x1b" not in piped.stdout
    assert piped.returncode == 1


def test_a_poor_encoding_is_no_reason_to_fail(tmp_path):
    """Where stdout takes ASCII only, the report is printed in ASCII."""
    command = _command("report", "--journal", write_journal(tmp_path / "j", LEAK))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert done.returncode == 1
    assert done.stdout.isascii()


def test_a_reader_that_leaves_early_changes_nothing(tmp_path):
    """When the pipe is closed before the report is out, there is no traceback and the exit code keeps its meaning."""
    command = _command("report", "--journal", write_journal(tmp_path / "j"))
    reading, writing = os.pipe()
    os.close(reading)
    child = subprocess.run(
        command, stdout=writing, stderr=subprocess.PIPE, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    os.close(writing)
    assert child.stderr == b""
    assert child.returncode == 0


def test_the_command_line_imports_no_more_than_it_needs():
    """``leakguard config`` needs neither the heap tools nor a web framework nor the demo."""
    code = (
        "import sys; from leakguard.cli import main\n"
        "try: main(['config'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('pympler', 'objgraph', 'starlette', 'asyncio', 'leakguard.demo') if name in sys.modules], "
        "file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stderr.strip() == "[]"
