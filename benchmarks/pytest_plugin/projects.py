"""What ``pytest --leakguard`` costs and says on the test suites of released projects, which nobody here wrote.

    python -m benchmarks.pytest_plugin.projects            every project, each row into docs/pytest-projects.md
    python -m benchmarks.pytest_plugin.projects httpx      some; the other rows stay
    python -m benchmarks.pytest_plugin.projects --print --runs 3

Each project's source distribution and the packages that its tests want come from the package registry, into an environment of
its own that is kept among the temporary files. Runs with and without ``--leakguard`` take turns; compared is the processor time
of the whole run (``pytest`` and what it starts). Tests that are judged to the end are left out of both, for that is no idle
mode; one more run, with them, says what is found.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
import typing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.accuracy.environments import environment
from benchmarks.cost import machine

PYTHON = "3.12"
DOCUMENT = Path(__file__).resolve().parents[2] / "docs/pytest-projects.md"
BEGIN, END = "<!-- benchmarks.pytest_plugin.projects: begin -->", "<!-- benchmarks.pytest_plugin.projects: end -->"
TARGET = 1.10
PYTEST = "pytest==9.1.1"
HEAD = (
    "| project | processor s without | with `--leakguard` | ratio (quartiles) | its tests | leakguard, all tests |",
    "| --- | --- | --- | --- | --- | --- |",
)


@dataclass(frozen=True, slots=True)
class Project:
    """A released project with its own tests.

    Attributes:
        name, version: on the package index.
        needs: what its tests want beside it.
        judged: what of its tests leaks or is judged to the end, each explained in the document.
    """

    name: str
    version: str
    needs: tuple[str, ...]
    judged: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """As in the table."""
        return f"{self.name} {self.version}"


PROJECTS = (
    Project("itsdangerous", "2.2.0", ("freezegun",)),
    Project("cachetools", "8.0.1", ()),
    Project(
        "asgiref",
        "3.13.0",
        ("pytest-asyncio",),
        judged=("test_local.py", "test_stateless_server", "test_server_delete_instance"),
    ),
    Project(
        "starlette",
        "1.10.0",
        (
            "httpx2", "httpx", "itsdangerous", "jinja2", "opentelemetry-sdk", "python-multipart", "pyyaml", "trio", "anyio",
            "typing_extensions",
        ),
        judged=("test_staticfiles.py",),
    ),
    Project(
        "httpx",
        "0.28.1",
        (
            "uvicorn", "trio", "trustme", "cryptography", "chardet", "brotli", "zstandard", "h2", "socksio", "click",
            "pygments", "rich",
        ),
        judged=("test_read_timeout", "test_httpcore_exception_mapping"),
    ),
)  # fmt: skip


class Run(typing.NamedTuple):
    """One run of a suite: processor seconds, what pytest said last, what leakguard said."""

    seconds: float
    closing: str
    told: str


def main() -> int:
    """Run the projects that were asked for and print the table; 1 when one is over the target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("projects", nargs="*", help="names of projects; all without")
    parser.add_argument("--runs", type=int, default=5, help="of each kind (default 5)")
    parser.add_argument("--print", dest="only_print", action="store_true", help="leave the document alone")
    chosen = parser.parse_args()
    projects = [each for each in PROJECTS if not chosen.projects or each.name in chosen.projects]
    met = True
    print("\n".join(HEAD))
    for project in projects:
        row, ratio = measure(project, chosen.runs)
        met &= ratio <= TARGET
        print(row, flush=True)
        if not chosen.only_print:
            write(project, row, chosen.runs)
    return 0 if met else 1


def write(project: Project, row: str, runs: int) -> None:
    """Put one row into the table of the document, in the place of that project's last one."""
    before, rest = DOCUMENT.read_text("utf-8").split(BEGIN, 1)
    section, after = rest.split(END, 1)
    rows = {line.split()[1]: line for line in section.splitlines() if line.startswith("| ") and line not in HEAD}
    rows[project.name] = row
    table = [*HEAD, *(rows[each.name] for each in PROJECTS if each.name in rows)]
    note = (
        f"At least {runs} runs of each kind in turn; target: a ratio of at most {TARGET:.2f}. Suites on CPython {PYTHON}; "
        f"{machine.describe()}"
    )
    DOCUMENT.write_text("\n".join([f"{before}{BEGIN}", "", *table, "", note, "", f"{END}{after}"]), "utf-8")


def measure(project: Project, runs: int) -> tuple[str, float]:
    """Return the project's row and its ratio."""
    python = environment(
        f"suite-{project.name}", [f"{project.name}=={project.version}", *project.needs, PYTEST], PYTHON
    )
    with tempfile.TemporaryDirectory(prefix="leakguard-suite-") as folder:
        tests = source(python, project, Path(folder))
        leave = [word for name in project.judged for word in ("--deselect-matching", name)]
        plain: list[Run] = []
        guarded: list[Run] = []
        for number in range(runs + 1):
            for into, options in ((plain, ["-p", "no:leakguard"]), (guarded, ["--leakguard"])):
                ran = run(python, project, tests, [*options, *leave])
                if number:  # the first one writes the bytecode
                    into.append(ran)
        whole = run(python, project, tests, ["--leakguard"])
    ratios = [mine.seconds / theirs.seconds for mine, theirs in zip(guarded, plain, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    times = [statistics.median(ran.seconds for ran in kind) for kind in (plain, guarded)]
    bound = "" if middle <= TARGET else f" **misses it by {middle - TARGET:.2f}**"
    cells = (
        project.title,
        f"{times[0]:.2f}",
        f"{times[1]:.2f}",
        f"{middle:.2f} ({low:.2f} to {high:.2f}){bound}",
        plain[-1].closing,
        whole.told,
    )
    return f"| {' | '.join(cells)} |", middle


def source(python: Path, project: Project, folder: Path) -> Path:
    """Return the directory of a project's source, fetched and unpacked."""
    fetch = [str(python), "-m", "pip", "download", "-q", "--no-deps", "--no-binary", project.name]
    subprocess.run([*fetch, "-d", str(folder), f"{project.name}=={project.version}"], check=True, capture_output=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    (inside,) = (path for path in folder.iterdir() if path.is_dir())
    return inside


def run(python: Path, project: Project, folder: Path, options: list[str]) -> Run:
    """Run a suite once."""
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "suite_options", "tests"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [*command, *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).with_name("options"))},
        capture_output=True,
        text=True,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    lines = [line.strip("= ") for line in done.stdout.splitlines() if line.strip()]
    if done.returncode not in {0, 1} or not lines:
        raise RuntimeError(f"{project.title}: {(done.stdout + done.stderr)[-2000:]}")
    told = next((line for line in reversed(lines) if re.search(r"tests judged in", line)), "")
    return Run(took, re.sub(r" in [\d.]+s.*", "", lines[-1]), told)


if __name__ == "__main__":
    sys.exit(main())
