"""A journal of thousands of windows, written by the recording code at speed, is reported in little memory."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest
from cli_journals import ROOT

MOST_MIB = 150


@pytest.mark.long
def test_many_windows_take_little_memory(tmp_path):
    """The report of eight workers' windows at full detail needs less than 150 MiB, and forgets no request."""
    spec = importlib.util.spec_from_file_location("report_journal", ROOT / "benchmarks/report_journal.py")
    assert spec is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    path = tmp_path / "journal.sqlite3"
    benchmark.write(path, days=0.08, workers=8)
    output = tmp_path / "report.json"
    command = [
        sys.executable,
        "-m",
        "leakguard",
        "report",
        "--format",
        "json",
        "--journal",
        str(path),
        "-o",
        str(output),
    ]
    child = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    made = json.loads(output.read_text())
    assert made["windows"] > 1500
    assert sum(route["count"] for route in made["latency"]) == made["requests"] > 1_000_000
    assert len(made["latency"]) == 12
    assert used.ru_maxrss / 1024 < MOST_MIB
