"""A host to look at: a module made of source text, as an application's own module would be, and an observer with headroom."""

import importlib.util
import sys
import textwrap

from leakguard.observer import Observer

PLENTY = 1 << 40


def make_host(folder, source, name="game"):
    """Write ``source`` as module ``name`` into ``folder`` and import it."""
    path = folder / f"{name}.py"
    path.write_text(textwrap.dedent(source))
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def make_observer(**options):
    """Return an observer that believes there is memory enough."""
    return Observer(**{"available": lambda: PLENTY, "rss": lambda: 0, "deadline": 60.0, **options})


def census(observer, requests, tracked=()):
    """Take one census and return it; the reason is the assertion's message when there is none."""
    assert observer.start_census(requests, tracked), observer.why
    result = observer.wait(60)
    assert result is not None, observer.why
    return result


def explain(observer, questions):
    """Answer some questions by one deep look."""
    assert observer.start_explain(questions), observer.why
    result = observer.wait(150)
    assert result is not None, observer.why
    return result
