"""What a run of pytest is told on its command line and in its ini file."""

from __future__ import annotations

import typing

import pytest

if typing.TYPE_CHECKING:
    from leakguard.testing.checker import Options

_LISTS = {
    "ignore": "rules for findings that are accepted, one a line: holder:app.cache.*, type:app.Session, site:vendor/*",
    "ignore_type": "patterns of types that may stay, one a line",
    "ignore_holder": "patterns of holders that may grow, one a line",
    "ignore_site": "patterns of files whose allocations may stay, one a line",
    "kinds": "what leak tests judge, one a line: memory, threads, tasks, descriptors, processes, files, warnings",
    "known_leaks": "files of known leaks in TOML, one a line; 'shipped' is leakguard's own list, the default",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; each ini option is the default of the fixture's and the marker's option of the same name."""
    group = parser.getgroup("leakguard", "memory leaks")
    group.addoption(
        "--leakguard",
        action="store_true",
        default=False,
        help="judge every test cheaply (threads, tasks, descriptors, child processes, temporary files, retained requests, "
        "objects), and repeat only those under suspicion",
    )
    group.addoption(
        "--leakguard-report",
        action="append",
        default=[],
        metavar="FORMAT[=FILE]",
        help="write the findings: html=FILE, json=FILE, sarif=FILE, junit (properties in --junitxml) or junit=FILE, "
        "github (annotations on the terminal); may be given several times",
    )
    group.addoption(
        "--leakguard-n",
        type=int,
        default=None,
        metavar="N",
        help="calls per round where the test names none; wins over the ini option leakguard_n (100)",
    )
    parser.addini("leakguard", "judge every test, as --leakguard does", type="bool", default=False)
    parser.addini("leakguard_n", "calls per round where the test names none (100)", default=None)
    parser.addini(
        "leakguard_budget", "seconds that --leakguard may spend on repeating one suspected test (10)", default="10"
    )
    parser.addini("leakguard_most", "findings that the terminal summary tells one by one (10)", default="10")
    for name, purpose in _LISTS.items():
        parser.addini(f"leakguard_{name}", purpose, type="linelist", default=None)


def judges_all(config: pytest.Config) -> bool:
    """Return whether every test is judged."""
    import os

    off = os.environ.get("LEAKGUARD_LEVEL", "").strip().lower() == "off"
    return bool(config.getoption("--leakguard") or config.getini("leakguard")) and not off


def usual(config: pytest.Config) -> Options:
    """Return the options that hold where a test names none."""
    found: dict[str, typing.Any] = {
        name: tuple(lines) for name in _LISTS if (lines := config.getini(f"leakguard_{name}"))
    }
    number = config.getoption("--leakguard-n")
    if number is None and config.getini("leakguard_n"):
        number = _number(config, "leakguard_n", int)
    if number is not None:
        found["n"] = number
    return typing.cast("Options", found)


def budget(config: pytest.Config) -> float:
    """Return the seconds that may be spent on one suspected test."""
    return float(_number(config, "leakguard_budget", float))


def most(config: pytest.Config) -> int:
    """Return how many findings the summary tells one by one."""
    return int(_number(config, "leakguard_most", int))


def check(config: pytest.Config) -> None:
    """Refuse wrong options before anything runs.

    Raises:
        UsageError: an option has a value that it cannot have.
    """
    named = usual(config)
    budget(config)
    most(config)
    if named:
        from leakguard.errors import ConfigError
        from leakguard.testing.demand import demand

        try:
            demand(**named)
        except ConfigError as error:
            raise pytest.UsageError(f"leakguard: {error}") from None
    if config.getoption("--leakguard-report"):
        from leakguard.pytest_plugin import writing

        writing.targets(config)


def _number(config: pytest.Config, name: str, kind: type) -> float:
    text = config.getini(name)
    try:
        number = kind(text)
    except ValueError:
        number = 0
    if not 0 < number < 1e9:
        raise pytest.UsageError(f"leakguard: '{name}' must be a number greater than zero (got {text!r}); {name} = 10")
    return typing.cast("float", number)
