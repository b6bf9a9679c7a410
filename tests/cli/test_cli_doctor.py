"""``leakguard doctor``: the machine, what recycling will do, response time beside memory, hypotheses."""

from __future__ import annotations

import pytest
from cli_journals import LEAK, run, write_journal

from leakguard.cli.doctor import SERVERS
from leakguard.recycling.servers import Server
from leakguard.recycling.strategies.choice import choose


def test_the_workers_words_and_the_evidence(tmp_path):
    """With a journal: the workers' own words on recycling, memory against response time, all hypotheses with evidence."""
    result = run("doctor", "--journal", write_journal(tmp_path / "j", LEAK))
    assert result.exit_code == 0, result.output
    for title in ("This machine", "Recycling", "Response time beside memory", "Hypotheses"):
        assert f"\n{title}\n" in f"\n{result.stdout}"
    assert "It will be replaced." in result.stdout
    for hypothesis in (
        "memory leak",
        "native growth",
        "too little memory",
        "slow logic",
        "collector",
        "loop",
        "allocator",
    ):
        assert hypothesis in result.stdout
    assert "nothing can follow anything" in result.stdout


def test_without_a_journal_it_says_what_recycling_would_do():
    """Before any worker ran: whether a ceiling is set, and what each installed server would do."""
    result = run("doctor")
    assert result.exit_code == 0
    assert "no ceiling is set" in result.stdout
    assert "uvicorn" in result.stdout
    limited = run("doctor", LEAKGUARD_CEILING="384 MiB")
    assert "at 384 MiB a worker is relieved" in limited.stdout


@pytest.mark.parametrize(
    ("server", "acts"),
    [
        (Server("uvicorn", "0", workers=2, supervised=True), True),
        (Server("uvicorn", "0"), False),
        (Server("hypercorn", "0", workers=2, supervised=True), True),
        (Server("hypercorn", "0"), False),
        (Server("uwsgi", "0", supervised=True), True),
        (Server("waitress", "0"), False),
        (Server("daphne", "0"), False),
    ],
)
def test_what_is_promised_is_what_the_strategies_do(server, acts):
    """Where the doctor says that workers are replaced, a strategy acts; a single process is left alone."""
    assert choose("auto", server).acts is acts
    assert ("workers" in SERVERS[server.name]) or not acts
    assert acts or server.name == "uwsgi" or "leakguard run" in SERVERS[server.name]
