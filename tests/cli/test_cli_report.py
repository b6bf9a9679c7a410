"""``leakguard report``: its formats, files, parts and comparisons, on real journals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import jsonschema
import pytest
import referencing
from cli_journals import LEAK, ROOT, run, write_journal

from leakguard.cli import sides
from leakguard.journal.part import Part
from leakguard.records import Finding, Kind, Site, Status


@pytest.mark.parametrize(
    ("form", "start"),
    [
        ("text", "leakguard "),
        ("json", "{"),
        ("markdown", "# leakguard "),
        ("github", "::error "),
        ("sarif", "{"),
        ("junit", "<?xml "),
    ],
)
def test_every_format_is_printed_and_keeps_the_exit_code(tmp_path, form, start):
    """Each format goes to stdout, nothing to stderr, and a finding is exit code 1 in all of them."""
    result = run("report", "--format", form, "--journal", write_journal(tmp_path / "j", LEAK))
    assert (result.exit_code, result.stderr) == (1, "")
    assert result.stdout.startswith(start)
    assert "game.py" in result.stdout


def test_a_file_is_written_whole_and_never_overwritten(tmp_path):
    """``-o`` writes the report and says so on stderr; an existing file is kept unless ``--force`` is given."""
    journal, file = write_journal(tmp_path / "j", LEAK), tmp_path / "leaks.xml"
    first = run("report", "--journal", journal, "--format", "junit", "-o", file)
    assert (first.exit_code, first.stdout, first.stderr) == (1, "", f"Wrote {file}\n")
    assert ET.parse(file).getroot().tag == "testsuites"
    assert file.stat().st_mode & 0o777 == 0o666 & ~_umask()
    again = run("report", "--journal", journal, "-o", file)
    assert again.exit_code == 2
    assert "--force" in again.stderr
    assert ET.parse(file).getroot().tag == "testsuites"
    forced = run("report", "--journal", journal, "-o", file, "--force")
    assert forced.exit_code == 1
    assert file.read_text().startswith("leakguard ")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_file_that_cannot_be_written_is_said_before_any_work(tmp_path):
    """A folder, and a file in a folder that is not there, are usage errors, even without a journal."""
    for output in (tmp_path, tmp_path / "none" / "file"):
        result = run("report", "--journal", tmp_path / "missing", "-o", output)
        assert result.exit_code == 2, result.output
        assert str(output) in result.stderr


def test_a_device_can_be_written(tmp_path):
    """``-o /dev/stdout`` is no file to protect."""
    command = [sys.executable, "-m", "leakguard", "report", "--journal", str(write_journal(tmp_path / "j")), "-o"]
    done = subprocess.run([*command, "/dev/stdout"], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "Verdict: steady" in done.stdout


def test_one_worker_can_be_asked_for(tmp_path):
    """``--worker`` leaves the others out; a worker that is not there is named with those that are."""
    journal = write_journal(tmp_path / "j", LEAK, pid=7)
    write_journal(tmp_path / "j", pid=8)
    assert run("report", "--journal", journal).exit_code == 1
    only = run("report", "--journal", journal, "--worker", 8)
    assert only.exit_code == 0
    assert "1 worker" in only.stdout
    none = run("report", "--journal", journal, "--worker", 9)
    assert (none.exit_code, none.stdout) == (3, "")
    assert "the latest are" in none.stderr


def test_one_route_can_be_asked_for(tmp_path):
    """``--route`` tells of that route alone; a leak of another route is no finding, but its number is said."""
    journal = write_journal(tmp_path / "j", LEAK, routes=("GET /", "POST /telemetry"))
    leaking = run("report", "--journal", journal, "--route", "POST /tele*")
    assert leaking.exit_code == 1
    assert "GET /" not in leaking.stdout.split("Doctor")[0]
    clean = run("report", "--journal", journal, "--route", "GET /")
    assert clean.exit_code == 0, clean.output
    assert "1 finding on other routes is left out" in clean.stdout
    wrong = run("report", "--journal", journal, "--route", "POST /telemetri")
    assert wrong.exit_code == 3
    assert "POST /telemetry" in wrong.stderr


OTHER = Finding(
    Kind.LEAK, Status.CONFIRMED, "other1", route="GET /", site=Site("shop.py", 5, "add"), holder="shop.seen"
)


def test_two_journals_are_compared(tmp_path):
    """Findings are new, still there or gone by fingerprint; the story's table has both sides; exit codes are those of AFTER."""
    before = write_journal(tmp_path / "before.sqlite3", LEAK, times=(500.0,))
    after = write_journal(tmp_path / "after.sqlite3", OTHER)
    result = run("report", "--compare", before, after)
    assert result.exit_code == 1, result.output
    assert "Findings: 1 new, 0 still there, 1 gone" in result.stdout
    lines = {line.split("  ")[1]: line.split() for line in result.stdout.splitlines() if line.startswith("  ")}
    assert lines["95 %"][2:] == ["500", "ms", "4.9", "ms", "-99", "%"]
    assert lines["requests per second"][3:] == ["10.0", "10.0", "+0", "%"]
    for name in ("max", "99 %", "50 %", "errors", "recycles", "requests lost", "largest worker"):
        assert name in lines, name
    back = run("report", "--compare", after, write_journal(tmp_path / "clean.sqlite3"))
    assert back.exit_code == 0
    assert "0 new, 0 still there, 1 gone" in back.stdout
    same = run("report", "--compare", before, before)
    assert "0 new, 1 still there, 0 gone" in same.stdout


def test_two_spans_of_one_journal_are_compared(tmp_path):
    """Ages split one journal at the deploy."""
    journal = write_journal(tmp_path / "j", age=7200, times=(500.0,))
    write_journal(tmp_path / "j", age=0, pid=8)
    result = run("report", "--journal", journal, "--compare", "..1h", "1h..")
    assert result.exit_code == 0, result.output
    assert "500 ms" in result.stdout
    assert "Findings: none before, none after" in result.stdout


def test_gone_is_only_said_when_enough_was_measured(tmp_path):
    """A few seconds after the deploy nothing is gone yet, and the exit code says that too little was measured."""
    before = write_journal(tmp_path / "before", LEAK)
    result = run("report", "--compare", before, write_journal(tmp_path / "after", windows=3))
    assert result.exit_code == 3
    assert "1 not seen again yet" in result.stdout
    unused = run("report", "--compare", before, write_journal(tmp_path / "unused"))
    assert "had no request afterwards" in unused.stdout


def test_a_comparison_for_machines_is_valid(tmp_path):
    """The JSON of a comparison validates against its published schema; Markdown has the same tables."""
    before, after = write_journal(tmp_path / "before", LEAK), write_journal(tmp_path / "after", OTHER)
    made = json.loads(run("report", "--compare", before, after, "--format", "json").stdout)
    schemas = {
        name: json.loads((ROOT / "docs" / f"{name}.schema.json").read_text()) for name in ("report", "comparison")
    }
    registry = referencing.Registry().with_resources(
        (f"{name}.schema.json", referencing.Resource.from_contents(schema)) for name, schema in schemas.items()
    )
    jsonschema.Draft202012Validator.check_schema(schemas["comparison"])
    jsonschema.Draft202012Validator(
        schemas["comparison"], registry=registry, format_checker=jsonschema.FormatChecker()
    ).validate(made)
    assert [each["fingerprint"] for each in made["new"] + made["gone"]] == ["other1", "abc123"]
    assert made["before"]["requests_per_second"] == pytest.approx(10.0)
    document = run("report", "--compare", before, after, "--format", "markdown").stdout
    assert "| requests per second | 10.0 | 10.0 | +0 % |" in document


@pytest.mark.parametrize(
    "arguments",
    [
        ("--compare", "nowhere.sqlite3", "..1h"),
        ("--compare", "1h..2h", "1h.."),
        ("--compare", "..", "1h.."),
        ("--compare", "2h..1h", "1h..", "--since", "3h"),
        ("--compare", "2h..1h", "1h..", "--format", "sarif"),
        ("--compare", "1h.."),
    ],
)
def test_a_wrong_comparison_is_a_usage_error(tmp_path, arguments):
    """What cannot be compared is said in one line that shows the form, with exit code 2."""
    result = run("report", "--journal", write_journal(tmp_path / "j"), *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--compare" in result.stderr


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("3d..1d", 1e9 - 259_200, 1e9 - 86_400),
        ("2h..", 1e9 - 7200, None),
        ("..90s", None, 1e9 - 90),
        ("2001-09-08..2001-09-09T01:46:40Z", 999_907_200, 1e9),
        ("2001-09-09 01:46..1s", 999_999_960, 1e9 - 1),
    ],
)
def test_a_span_is_read_as_it_is_written(text, since, until):
    """Ages count back from now, moments are UTC, either end may be left out."""
    assert sides.parse(text, Part(), 1e9).part == Part(since=since, until=until)


def test_a_path_may_look_like_a_span(tmp_path, monkeypatch):
    """A journal in the parent folder is a journal, not a span."""
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    write_journal(tmp_path / "j")
    assert sides.parse("../j", Part()).path == Path("../j")


WRITER = """
import sys, time
from pathlib import Path
from cli_journals import LEAK, write_journal
print("writing", flush=True)
while True:
    try:
        write_journal(Path(sys.argv[1]), LEAK, windows=20)
    except AssertionError:
        pass  # two writers that never pause may lose an entry to each other; the reader is what is tested
"""


def test_a_report_is_safe_while_others_write(tmp_path):
    """With two processes writing as fast as they can, every report is whole and right, and the writers go on."""
    journal = tmp_path / "j"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests/cli")])}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(journal)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
        for _ in range(2)
    ]
    try:
        for writer in writers:
            assert writer.stdout.readline() == b"writing\n"
        deadline = time.monotonic() + 60
        while run("report", "--journal", journal).exit_code != 1:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        counts = []
        for _ in range(10):
            result = run("report", "--journal", journal, "--format", "json")
            assert (result.exit_code, result.stderr) == (1, "")
            made = json.loads(result.stdout)
            assert made["skipped_rows"] == 0
            assert made["requests"] % 100 == 0
            counts.append(made["requests"])
        assert counts[0] < max(counts)  # they went on writing meanwhile
        assert all(writer.poll() is None for writer in writers)
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
