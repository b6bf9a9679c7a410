"""The explanation of a finding: whole texts, source lines, levels, advice by holder, tests that are valid Python."""

from __future__ import annotations

import ast
import dataclasses
import os
from pathlib import Path

import pytest
import report_hostile
import report_stories as stories

from leakguard.records import Finding, Kind, Site, Status
from leakguard.reports import places, reproduction, tree
from leakguard.reports.advice import advise, in_detail
from leakguard.reports.explain import Subject, render
from leakguard.reports.holders import HABITS
from leakguard.reports.levels import levels
from leakguard.reports.model import build
from leakguard.reports.style import encodable, sparkline

SOURCE = """async def ingest(request):
    # kept until its score is known
    body = await request.json()
    pending[request.client] = request

    player = body["player"]
    score = int(body["score"])
    del pending[request.client]
"""


def explained(case: str, folder: Path) -> str:
    """Return the explanation of a case's first finding, with a source file that is older than the story."""
    file = folder / "game.py"
    file.write_text("\n" * 84 + SOURCE)
    os.utime(file, (stories.BEGAN, stories.BEGAN))
    story, _ = stories.CASES[case]
    finding = story.findings[0]
    return render(Subject(finding, stories.made(case), levels(finding, story), (folder,)))


@pytest.mark.parametrize("case", ["retained-requests", "leak", "native", "tasks"])
def test_the_whole_text_is_as_expected(case, tmp_path, monkeypatch):
    """The explanation is this text, word for word (``report_stories.py`` writes it anew)."""
    monkeypatch.chdir(tmp_path)
    expected = stories.EXPECTED.joinpath(f"explain-{case}.expected").read_text(encoding="utf-8")
    assert explained(case, tmp_path) + "\n" == expected


@pytest.mark.parametrize("case", stories.CASES)
def test_every_kind_is_explained(case, tmp_path):
    """For each kind there are what to do and a way to reproduce it."""
    text = explained(case, tmp_path)
    assert "What to do" in text
    assert "leakguard check game:app" in text


def test_hostile_names_are_inert():
    """No control character of a name reaches the terminal, and a hostile route is no code in the test that is printed."""
    report = report_hostile.report()
    for finding in report.story.findings:
        text = render(Subject(finding, report, levels(finding, report.story)))
        assert all(c.isprintable() or c == "\n" for c in text)
        ast.parse("\n".join(reproduction.test(finding, report.target)))


class TestSource:
    def test_lines_are_those_of_the_file(self, tmp_path, monkeypatch):
        """The line is shown with its neighbours and marked; a file that is younger than the journal is said to be."""
        (tmp_path / "src").mkdir()
        file = tmp_path / "src" / "game.py"
        lines = [f"    line_{number} = 'caf\\xe9\\x1b[2J'" for number in range(1, 101)]
        lines[0], lines[70] = "if True:", "def ingest():"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        text = render(Subject(stories.RETAINED, stories.made("retained-requests"), None))
        assert "  > 88 |     line_88" in text
        assert "    85 |     line_85" in text
        assert "line_84" not in text
        assert "lines may have moved" in text
        os.utime(file, (stories.BEGAN, stories.BEGAN))
        assert "lines may have moved" not in render(Subject(stories.RETAINED, stories.made("retained-requests"), None))

    @pytest.mark.parametrize("name", ["../secret.py", "/etc/passwd", "notes.txt", "secret", "a" * 300 + ".py", "\0.py"])
    def test_nothing_but_source_is_shown(self, tmp_path, monkeypatch, name):
        """A journal cannot make explain print a file that is no Python source, or lies outside the folders it looks in."""
        (tmp_path / "secret.py").write_text("SECRET")
        (tmp_path / "here").mkdir()
        (tmp_path / "here" / "notes.txt").write_text("SECRET")
        (tmp_path / "here" / "secret").write_text("SECRET")
        monkeypatch.chdir(tmp_path / "here")
        assert places.find(Site(name, 1, "f")) is None

    def test_another_projects_file_is_not_taken_for_it(self, tmp_path, monkeypatch):
        """A file of the same name in which the function is elsewhere is shown only where the name fits exactly, and said."""
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "game.py").write_text("def ingest(): pass\n" + "\n" * 100)
        monkeypatch.chdir(tmp_path)
        assert places.find(Site("game.py", 88, "ingest")) is None
        monkeypatch.chdir(tmp_path / "other")
        assert places.find(Site("game.py", 88, "ingest")) == tmp_path / "other" / "game.py"
        text = render(Subject(stories.RETAINED, stories.made("retained-requests"), None))
        assert "line 88 of game.py is not in ingest any more" in text

    def test_a_named_folder_goes_first(self, tmp_path, monkeypatch):
        """``--source`` wins over the working directory; two files of one name below it are nobody's."""
        for folder in ("one", "two"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "thing_of_mine.py").write_text("def f(): pass\n")
        monkeypatch.chdir(tmp_path)
        site = Site("thing_of_mine.py", 1, "f")
        assert places.find(site) is None
        assert places.find(site, (tmp_path / "two",)) == tmp_path / "two" / "thing_of_mine.py"


class TestLevels:
    def test_the_level_of_kept_requests_is_their_number(self):
        """Its rise per request is that of the finding's route, the same in each third of a steady leak."""
        story = stories.CASES["retained-requests"][0]
        one_route = dataclasses.replace(
            story,
            workers=tuple(
                dataclasses.replace(
                    each, windows=tuple(dataclasses.replace(w, routes=w.routes[:1]) for w in each.windows)
                )
                for each in story.workers
            ),
        )
        seen = levels(stories.RETAINED, one_route)
        assert seen is not None
        assert seen.values[:3] == (0, 15, 30)
        assert seen.rates == pytest.approx((0.1, 0.1, 0.1))

    @pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in {Kind.STEADY, Kind.UNKNOWN}])
    def test_every_kind_has_a_level(self, kind):
        """Whatever leaks, there is a level to show for it."""
        finding = Finding(kind, Status.CONFIRMED, "f")
        assert levels(finding, stories.CASES["retained-requests"][0]) is not None

    def test_too_few_windows_have_none(self):
        """Three windows are no history."""
        assert levels(stories.LEAK, stories.story(count=3)) is None

    def test_bars_span_the_values(self):
        """The least value has the shortest bar, the greatest the tallest; in ASCII there are bars of a kind, too."""
        assert sparkline([0, 1, 2, 7]) == "▁▂▃█"
        assert sparkline([3, 3]) == "▁▁"
        assert encodable(sparkline([0, 7]), "ascii") == "_#"


@pytest.mark.parametrize(
    ("holder", "chain", "word"),
    [
        ("shop.Order.total.lru_cache", ("module shop",), "cached_property"),
        ("shop.price.lru_cache", ("module shop",), "maxsize"),
        ("context variable request", ("context",), "token"),
        ("logging.root.handlers", ("module logging", "list logging.root.handlers"), "once when the app starts"),
        ("shop.registry.receivers", ("module shop.registry", "list shop.registry.receivers"), "Connect once"),
        ("shop.client.mock_calls", ("module shop", "list shop.client.mock_calls"), "reset_mock"),
        ("worker.job", ("thread worker at worker.py:3", "dict worker.job"), "running function"),
        ("shop.errors", ("module shop", "list shop.errors", "ValueError […]", "traceback .__traceback__"), "traceback"),
        ("shop.by_player", ("module shop", "collections.defaultdict shop.by_player"), "defaultdict"),
        ("shop.seen", ("module shop", "set shop.seen"), "WeakSet"),
        ("shop.seen", ("module shop", "list shop.seen"), "deque"),
        ("shop.seen", ("module shop", "dict shop.seen"), "WeakValueDictionary"),
    ],
)
def test_advice_is_by_holder(holder, chain, word):
    """Each well-known way to keep things by mistake has its own way out."""
    finding = Finding(Kind.LEAK, Status.CONFIRMED, "f", holder=holder, chain=chain, site=Site("shop.py", 1, "f"))
    assert any(word in step for step in in_detail(finding))


def test_particular_advice_is_in_the_report_too():
    """What lru_cache on a method needs is said at once; the general sentence stays for plain containers."""
    finding = Finding(
        Kind.LEAK, Status.CONFIRMED, "f", holder="shop.Order.total.lru_cache", site=Site("shop.py", 1, "f")
    )
    assert "cached_property" in advise(finding)[0]
    plain = dataclasses.replace(finding, holder="shop.seen", chain=("module shop", "list shop.seen"))
    assert advise(plain) == [
        "Remove entries from shop.seen when they are done with, or bound it (maxlen, maxsize, weakref)."
    ]
    assert len({each.name for each in HABITS}) == len(HABITS)


def test_each_edge_has_a_name():
    """Module, variable, attribute, entry, cache, thread: every entry of a chain says what it is."""
    chain = (
        "thread work at app.py:3",
        "app.Worker work.worker",
        "dict work.worker.cache",
        "functools._lru_cache_wrapper work.worker.cache.get",
        "list […]",
        "app.Thing .thing",
        "tuple .?",
        "…",
        "app.Thing",
    )
    told = tree.edges(Finding(Kind.LEAK, Status.CONFIRMED, "f", chain=chain))
    assert told == [
        "a function that runs in a thread, and its variables",
        "its attribute worker",
        "its attribute cache",
        "the cache of a function",
        "an entry of it",
        "its attribute thing",
        "referred to by it, the name is not known",
        "edges left out",
        "the app.Thing that is kept",
    ]


class TestReproduction:
    @pytest.mark.parametrize("case", stories.CASES)
    @pytest.mark.parametrize(
        "target", ["game:app", "shop.main:create_app()", "shop:apps.main", None, "1+1:__import__('os')"]
    )
    def test_the_test_is_python(self, case, target):
        """Whatever the finding and the target, the test that is printed can be parsed and has one test function."""
        for finding in stories.CASES[case][0].findings:
            tree_ = ast.parse("\n".join(reproduction.test(finding, target)))
            functions = [node for node in tree_.body if isinstance(node, ast.FunctionDef)]
            assert len(functions) == 1
            assert functions[0].name.startswith("test_")

    def test_parameters_of_a_route_are_filled(self):
        """A templated route becomes a path that can be requested."""
        finding = dataclasses.replace(stories.LEAK, route="GET /users/<int:id>/orders/{order}")
        assert "'GET /users/1/orders/1'" in reproduction.command(finding, "a:b")
        assert '"/users/1/orders/1"' in "\n".join(reproduction.test(finding, "a:b"))

    def test_an_orphaned_error_is_expected(self):
        """Where the requests ended in an error, the command and the test expect it."""
        assert "--errors-expected" in reproduction.command(stories.RETAINED, "game:app", "/tmp/my journal")
        assert "'/tmp/my journal'" in reproduction.command(stories.RETAINED, "game:app", "/tmp/my journal")
        assert "status=500" in "\n".join(reproduction.test(stories.RETAINED, "game:app"))


def test_a_report_of_findings_says_how_to_go_on():
    """Whoever reads of a finding is told the command that leads to its source line."""
    from leakguard.reports.text import render as report

    assert "leakguard explain aa11bb22cc33 " in report(build(stories.story(stories.LEAK), stories.NOW))
