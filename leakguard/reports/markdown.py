"""The report as Markdown (GitHub's flavour): for a pull request, a job summary, a ticket, a chat.

Names come from clients and from code, and Markdown makes links, mentions, images and markup of plain words. So every word
that is more than letters, digits and common punctuation stands in a code span, where all of it is just text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from leakguard.records import Finding
from leakguard.reports import about, advice, sections, tree
from leakguard.reports.escape import safe
from leakguard.reports.model import Report
from leakguard.reports.sections import Section
from leakguard.reports.sentence import describe

_ANSWERS = {True: "**yes**", False: "no", None: "?"}
_HARMLESS = re.compile(r"[\w%()'/\-+.,;:]*", re.ASCII)
_ACTIVE = re.compile(r"^_|_$|__|\W_|_\W|://|www\.|:[\w+-]+:|^[-+]+$|^\d+[.)]$", re.ASCII | re.IGNORECASE)
_TRAILING = re.compile(r"[.,;:)]+$")


def render(report: Report) -> str:
    """Return the report as a Markdown document without a final line break."""
    blocks = [f"# {about.title(report, code)}"]
    if seen := about.extent(report):
        blocks.append(seen)
    blocks.append(f"## Verdict: {about.verdict(report)}")
    if not report.fresh:
        blocks.append(bullets(map(inert, report.verdict.reasons)))
    blocks += [block for number, each in enumerate(report.fresh, 1) for block in _finding(number, each, report)]
    blocks += [block for section in sections.before_doctor(report, code, inert) for block in lay_out(section)]
    blocks += ["## Doctor", _doctor(report)] if report.doctor else []
    blocks += [block for section in sections.after_doctor(report, inert) for block in lay_out(section)]
    steps = advice.next_steps(report, code)
    blocks += ["## Next", bullets(steps)] if steps else []
    return "\n\n".join(block for block in blocks if block)


def code(text: str) -> str:
    """Return a name as a code span, whatever it is made of; in a table as well as in a sentence."""
    # A bar would end the cell of a table even inside the span, where a backslash would show: a look-alike stands in.
    shown = safe(text).replace("|", "\N{BROKEN BAR}")
    if not shown.strip():
        return "` `"
    fence = "`" * (max((len(run) for run in re.findall(r"`+", shown)), default=0) + 1)
    gap = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{gap}{shown}{gap}{fence}"


def inert(text: str) -> str:
    """Return a sentence in which each word that Markdown could take for more than a word is a code span."""
    return " ".join(map(_word, safe(text).split(" ")))


def bullets(items: Iterable[str]) -> str:
    """Return a list."""
    return "\n".join(f"- {item}" for item in items)


def grid(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return a table; the first row is its head, the first ``left`` columns are words, the others figures."""
    if not rows:
        return ""
    marks = [":--" if column < left else "--:" for column in range(len(rows[0]))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (rows[0], marks, *rows[1:]))


def lay_out(section: Section) -> list[str]:
    """Return a section as blocks: its title, its table, its sentences, its items."""
    if not section:
        return []
    return [
        f"## {section.title}",
        grid(section.rows, section.left),
        *section.said,
        bullets(section.items),
        section.more,
    ]


def _word(word: str) -> str:
    if _HARMLESS.fullmatch(word) and not _ACTIVE.search(word):
        return word
    end = _TRAILING.search(word)
    tail = end[0] if end and not word.endswith("()") and len(end[0]) < len(word) else ""
    return code(word.removesuffix(tail)) + tail if word else ""


def _finding(number: int, finding: Finding, report: Report) -> list[str]:
    said = ["; ".join(about.marks(finding, report, code))]
    said += [f"known leak: {inert(finding.known)}"] if finding.known else []
    said += [held] if (held := about.held(finding, inert)) else []
    drawn = tree.draw(finding)
    return [
        f"### {number}. {describe(finding, report.alike(finding), code)}",
        *said,
        _fenced(drawn) if drawn else "",
        *_listed("Why", map(inert, about.reasons(finding))),
        *_listed("Next", advice.advise(finding, code)),
    ]


def _listed(title: str, items: Iterable[str]) -> list[str]:
    text = bullets(items)
    return [f"**{title}**", text] if text else []


def _fenced(lines: Sequence[str]) -> str:
    text = "\n".join(lines)
    fence = "`" * max(3, max((len(run) for run in re.findall(r"`+", text)), default=0) + 1)
    return f"{fence}text\n{text}\n{fence}"


def _doctor(report: Report) -> str:
    rows = [("", "hypothesis", "evidence")]
    rows += [
        (_ANSWERS[each.holds], inert(each.hypothesis), "; ".join(map(inert, each.evidence))) for each in report.doctor
    ]
    return grid(rows, left=3)
