"""The documents say what is: commands shown are run, tables are those of the code."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from support.needs import ROOT

from leakguard.config import OPTIONS

DOCUMENTS = ["README.md", "CHANGELOG.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").glob("*.md"))]


def options_table() -> str:
    """Return the text of docs/options.md as the code would write it."""
    lines = [
        "# Options",
        "",
        "Keyword arguments of the middleware win over environment variables, those over the defaults.",
        "`leakguard config` prints the values that hold where it runs, and where each came from.",
        "`LEAKGUARD_LEVEL=off` disarms everything, whatever the code says.",
        "",
    ]
    for option in OPTIONS:
        default = "unset" if option.default is None else f"`{option.default}`" if option.default else "none"
        lines += [
            f"## `{option.name}`",
            "",
            f"`{option.variable}`, default {default}; {option.rule}.",
            "",
            option.help,
            "",
        ]
    return "\n".join(lines)


def test_the_options_page_is_the_table_of_options() -> None:
    """Every option is documented with its variable, default, rule and purpose: the page is made from the code."""
    assert (ROOT / "docs/options.md").read_text() == options_table()


def commands(document: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / document).read_text(), flags=re.DOTALL)
    return [line.strip() for block in blocks for line in block.replace("&&\n", "&&").splitlines() if line.strip()]


def ci() -> str:
    return (ROOT / ".ci/run").read_text().replace("&&\n", "&&")


def test_ci_runs_the_readmes_second_command_word_for_word() -> None:
    """What the README tells a stranger to run is what keeps the project honest."""
    assert commands("README.md")[1] in ci()


def test_the_readmes_first_command_is_run_in_ci() -> None:
    """The demo command of the README is run in a fresh environment by .ci/run."""
    assert commands("README.md")[0] in ci()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_leakguard_command_shown_exists(document: str) -> None:
    """A command shown with its options is one that the command line knows."""
    shown = {line.split("#")[0].strip() for line in commands(document) if line.startswith("leakguard ")}
    for command in shown:
        words = command.split()
        done = subprocess.run(
            [sys.executable, "-m", "leakguard", words[1], "--help"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, command
        for word in words[2:]:
            if word.startswith("-"):
                assert word.split("=")[0] in done.stdout, command


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    """Every relative link of a document leads to a file of the project."""
    for link in re.findall(r"\]\(([^)#]+)\)", (ROOT / document).read_text()):
        if "://" not in link:
            assert ((ROOT / document).parent / link).exists(), link


def test_nobody_is_told_to_install_a_strangers_package() -> None:
    """The name on the package index belongs to somebody else: no document, example or message names it for installing."""
    pattern = re.compile(r"pip install [^#\n]*\bleakguard(\[[a-z,]*\])?([^-a-z_/.]|$)", re.MULTILINE)
    for path in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("leakguard/**/*.py"),
        *ROOT.glob("examples/**/*.py"),
    ]:
        assert not pattern.search(path.read_text()), path
