"""What a burst left behind that no container holds: a holder is found through what the collector does not track."""

import gc
import sys

import pytest
from observer_host import explain, make_host, make_observer

from leakguard.observer import Burst, Question
from leakguard.observer.explain import prepare

HOST = """
    import contextvars
    import ctypes

    SEEN = contextvars.ContextVar("seen", default=())
    ROOT = contextvars.copy_context()
    TEXTS = {}
    HEAD = None

    def link(number):
        global HEAD
        HEAD = [HEAD, "payload"]

    def in_context(number):
        ROOT.run(lambda: SEEN.set(SEEN.get() + ("x" * 50 + str(number),)))

    def in_tuple(number):
        TEXTS["all"] = TEXTS.get("all", ()) + ("x" * 50 + str(number),)

    class Reader:
        def __init__(self, number):
            self.lines = [["line", str(number) * 20], ["line", str(number) * 30]]

    def lost_graph(number):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(Reader(number)))

    def cured(number):
        TEXTS["last"] = ("x" * 50 + str(number),)
"""


@pytest.fixture
def left(tmp_path):
    """Call a function of the host a hundred times in a burst, and ask what it left behind."""
    prepare()
    game = make_host(tmp_path, HOST)

    def ask(name, question=None):
        burst = Burst()
        assert burst.start(8), burst.why
        try:
            for number in range(100):
                getattr(game, name)(number)
            gc.collect()
            (answer,) = explain(make_observer(), [question or Question("allocations", requests=100)])
        finally:
            burst.stop()
        return answer

    return ask


@pytest.mark.parametrize(
    ("name", "holder"), [("in_context", "game.ROOT (context variable seen)"), ("in_tuple", "game.TEXTS")]
)
def test_texts_in_untracked_tuples_have_a_holder(left, name, holder):
    """A text in a tuple of texts is not said to be lost in C: one goes through what the collector does not track."""
    answer = left(name)
    assert (answer.holder, answer.type) == (holder, "str")
    assert answer.site.function.startswith(name)
    assert answer.retained_bytes >= 50 * 100


def test_a_graph_that_hangs_on_a_lost_object_is_outside_python(left):
    """Where C code lost an object that holds others, these are not held by whatever else they lead to: they are lost too."""
    answer = left("lost_graph")
    assert (answer.holder, answer.type) == ("outside Python", "game.Reader")


def test_long_chain_is_held_by_its_head(left):
    """A linked list thousands of links long has the name of its head, which no search from its end would reach."""
    game = sys.modules["game"]
    for number in range(5000):
        game.link(number)
    gc.collect()  # the newest is not the last in the order of the collector any more
    answer = left("link", Question("type", name="list"))
    assert (answer.holder, answer.type, answer.site.function) == ("game.HEAD", "list", "link")
    assert answer.note is None


def test_what_was_let_go_is_not_explained(left):
    """Where every text is let go again, nothing is left behind by that line."""
    answer = left("cured")
    assert answer is None or answer.site.function != "cured"
