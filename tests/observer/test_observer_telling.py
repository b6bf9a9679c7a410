"""What says most about an element: the application's own object in a key, before the number that is kept for it."""

import pytest
from observer_host import explain, make_host, make_observer

from leakguard.observer import Burst, Question
from leakguard.observer.explain import prepare

HOST = """
    import functools

    class Service:
        def __init__(self, blob):
            self.blob = blob

        @functools.lru_cache(maxsize=None)
        def compute(self, number):
            return len(self.blob) + number

    ONE = Service(b"")

    def leak(number):
        service = Service(bytes(1000))
        service.compute(3)

    def numbers(number):
        ONE.compute(number + 1000)
"""


@pytest.fixture
def answered(tmp_path):
    """Call a function of the host fifty times in a burst, and ask about the cache."""
    prepare()
    game = make_host(tmp_path, HOST)

    def ask(name):
        burst = Burst()
        assert burst.start(8), burst.why
        try:
            for number in range(50):
                getattr(game, name)(number)
            cache = game.Service.__dict__["compute"]
            (answer,) = explain(make_observer(), [Question("container", key=id(cache))])
        finally:
            burst.stop()
        return answer

    return ask


def test_object_in_the_key_says_more_than_the_result(answered):
    """A cache on a method is said to keep the instances, with the line that made them."""
    answer = answered("leak")
    assert (answer.holder, answer.type) == ("game.Service.compute.lru_cache", "game.Service")
    assert answer.site.function == "leak"
    assert "tuple" in answer.also_types


def test_what_all_elements_share_says_nothing(answered):
    """Results of one instance for many numbers are numbers."""
    assert answered("numbers").type == "int"
