"""The marker, written as the function that its arguments must fit: help and error messages come from its signature."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterable

import pytest

if typing.TYPE_CHECKING:
    from leakguard.testing.demand import Demand

NAME = "no_leaks"
KEPT, FRESH = "kept", "fresh"
USUAL_KINDS = ("memory", "threads", "tasks", "descriptors", "processes", "files")
"""Those of ``testing.demand``, which is too heavy to be imported by every run of pytest."""

Texts = str | Iterable[str]


def no_leaks(
    *,
    n: int = 100,
    ignore: Texts = (),
    ignore_type: Texts = (),
    ignore_holder: Texts = (),
    ignore_site: Texts = (),
    kinds: Texts = USUAL_KINDS,
    known_leaks: Texts = ("shipped",),
    fixtures: str = "kept",
) -> dict[str, typing.Any]:
    """Repeat the body of the test and fail when it leaks.

    ``fixtures="kept"`` sets the fixtures up once and calls the body again and again; ``"fresh"`` sets those of function scope
    up and tears them down around each call. The other options are those of ``assert_no_leaks``.
    """
    return {
        "n": n,
        "ignore": ignore,
        "ignore_type": ignore_type,
        "ignore_holder": ignore_holder,
        "ignore_site": ignore_site,
        "kinds": kinds,
        "known_leaks": known_leaks,
        "fixtures": fixtures,
    }


def signature() -> str:
    """Return the marker with its arguments and their defaults, as one writes it."""
    shown = [f"{p.name}={p.default!r}" for p in inspect.signature(no_leaks).parameters.values()]
    return f"{NAME}({', '.join(shown)})"


def help_line() -> str:
    """Return the line that ``pytest --markers`` shows."""
    text = " ".join((inspect.getdoc(no_leaks) or "").split()).replace("``", "")
    return f"{signature()}: {text}"


def arguments(item: pytest.Item) -> dict[str, typing.Any]:
    """Return the named arguments of the test's markers; the one nearest to the test wins.

    Raises:
        TypeError: they do not fit.
    """
    named: dict[str, typing.Any] = {}
    for mark in item.iter_markers(NAME):
        no_leaks(*mark.args, **mark.kwargs)
        named = {**mark.kwargs, **named}
    return named


def demanded(item: pytest.Item) -> tuple[Demand, str]:
    """Return what the test's markers demand, with the run's usual options, and how fixtures are handled.

    Raises:
        TypeError: an argument that the marker does not have.
        ConfigError: an argument has a value that it cannot have.
    """
    from leakguard.errors import ConfigError
    from leakguard.pytest_plugin.options import usual
    from leakguard.testing.fixture import joined

    named = arguments(item)
    fixtures = named.pop("fixtures", KEPT)
    if fixtures not in {KEPT, FRESH}:
        raise ConfigError("fixtures", "must be 'kept' or 'fresh'", fixtures, 'fixtures="fresh"')
    return joined(usual(item.config), typing.cast("typing.Any", named)), fixtures


def wrong(item: pytest.Item) -> str | None:
    """Return what is wrong with the arguments of the test's markers, and the signature; ``None`` when nothing is."""
    if item.get_closest_marker(NAME) is None:
        return None
    from leakguard.errors import ConfigError

    try:
        demanded(item)
    except (TypeError, ConfigError) as error:
        said = str(error).removeprefix(f"{NAME}() ")
        return f"@pytest.mark.{NAME}: {said}\n  {signature()}"
    return None


def refused(item: pytest.Item) -> str | None:
    """Return why the marker cannot judge this kind of test, and the way out; ``None`` when it can."""
    if not isinstance(item, pytest.Function):
        return f"@pytest.mark.{NAME} works on test functions, and this is a {type(item).__name__}"
    if getattr(item.obj, "is_hypothesis_test", False):
        return (
            f"@pytest.mark.{NAME} cannot repeat a hypothesis test: each call runs many examples, other ones every time, and "
            "hypothesis keeps those it has seen; call leakguard.assert_no_leaks(lambda: …) in a test with one fixed example"
        )
    if getattr(item, "_testcase", None) is not None or _is_testcase(item):
        return (
            f"@pytest.mark.{NAME} cannot repeat the body of a unittest.TestCase, for setUp and tearDown belong to each run; "
            "make it a plain function or class, or run pytest --leakguard, which repeats such a test whole"
        )
    return None


def _is_testcase(item: pytest.Function) -> bool:
    import sys

    unittest = sys.modules.get("unittest")
    return unittest is not None and item.cls is not None and issubclass(item.cls, unittest.TestCase)
