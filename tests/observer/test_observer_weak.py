"""What holds weakly holds nothing: behind a weak container stands whoever keeps its elements alive."""

import pytest
from observer_host import explain, make_host, make_observer

from leakguard.observer import Question

HOST = """
    import weakref

    class Handler:
        def __init__(self):
            self.lock = Lock()

    class Lock:
        pass

    class Core:
        def __init__(self):
            self.handlers = {}

        def add(self):
            handlers = self.handlers.copy()    # copy on write: another dict with every call
            handlers[len(handlers)] = handler = Handler()
            self.handlers = handlers
            return handler.lock

    core = Core()
    locks = weakref.WeakSet()
    names = weakref.WeakValueDictionary()
    owners = weakref.WeakKeyDictionary()
    watchers = []
    things = []

    def add(number):
        lock = core.add()
        locks.add(lock)
        names[number] = lock
        owners[lock] = number

    def watch(number):
        things.append(Lock())
        watchers.append(weakref.ref(things[-1], lambda _: number))
"""


@pytest.fixture
def game(tmp_path):
    """A host that knows the locks of its handlers weakly."""
    return make_host(tmp_path, HOST)


@pytest.mark.parametrize("name", ["locks", "names", "owners"])
def test_weak_container_gives_way_to_the_holder(game, name):
    """A weak set or mapping that grows is explained by the dict that keeps its elements, though that is a new one each time."""
    for number in range(50):
        game.add(number)
    kept = getattr(game, name).data
    (answer,) = explain(make_observer(), [Question("container", key=id(kept))])
    assert (answer.holder, answer.type) == ("game.core.handlers", "game.Handler")


def test_callbacks_of_weak_references_are_held(game):
    """A list of weak references with a callback each is the holder of those callbacks."""
    for number in range(50):
        game.watch(number)
    (answer,) = explain(make_observer(), [Question("container", key=id(game.watchers))])
    assert answer.holder == "game.watchers"


def test_dead_references_are_held_by_their_container(game):
    """Where the referents are gone, the container of the references is what grows."""
    for number in range(50):
        game.watch(number)
    game.things.clear()
    (answer,) = explain(make_observer(), [Question("container", key=id(game.watchers))])
    assert answer.holder == "game.watchers"
