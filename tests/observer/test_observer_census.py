"""The census: what grew is found by identity, named by a path, and acquitted when it has a bound."""

import collections
import contextlib
import gc
import sqlite3
import sys

import pytest
from observer_host import census, make_host, make_observer

HOST = """
    import collections, functools, threading

    class Slotted:
        __slots__ = ("rows",)
        def __init__(self):
            self.rows = []

    class LRU:                            # as jinja2's
        def __init__(self):
            self.capacity = 500
            self._mapping = {}

    class TTL(dict):                      # as cachetools'
        def __init__(self):
            self.maxsize = 500

    class Bytes:                          # a bound on bytes is none on entries
        def __init__(self):
            self.max_bytes = 10_000
            self.rows = []

    class Odd:
        __module__ = 5                    # some classes have a __module__ that is no string

    def _closure():
        seen = set()
        return lambda value: seen.add(value)

    texts = []
    flat = {}                             # holds only strings: the collector does not track it
    bus = {"a": [], "b": []}
    still = list(range(100))
    shrinking = list(range(1000))
    last = collections.deque(maxlen=500)
    slotted = Slotted()
    lru, ttl, sized = LRU(), TTL(), Bytes()
    remember = _closure()
    odd = []

    @functools.lru_cache(maxsize=500)
    def bounded(number):
        return str(number)

    @functools.cache
    def unbounded(number):
        return str(number)

    def default(value, kept=[]):
        kept.append(value)

    def grow(first, count):
        for number in range(first, first + count):
            texts.append(f"text {number}")
            flat[f"key {number}"] = f"value {number}"
            bus["a"].append(number)
            last.append(number)
            slotted.rows.append(number)
            lru._mapping[number] = number
            ttl[number] = number
            sized.rows.append(number)
            remember(number)
            bounded(number)
            unbounded(number)
            default(number)
            odd.append(Odd())
            shrinking.pop()
"""

GROWN = {
    "game.texts": None,
    "game.flat": None,
    "game.bus[…]": None,
    "game.last": 500,
    "game.slotted.rows": None,
    "game.lru._mapping": 500,
    "game.ttl": 500,
    "game.sized.rows": None,
    "game.remember.<closure>.seen": None,
    "game.bounded.lru_cache": 500,
    "game.unbounded.lru_cache": None,
    "game.default.<default>.kept": None,
    "game.odd": None,
}


@pytest.fixture(scope="module")
def looks(tmp_path_factory):
    """Two censuses with a growth by 40 in between, and a third without."""
    game = make_host(tmp_path_factory.mktemp("host"), HOST)
    observer = make_observer()
    try:
        game.grow(0, 20)
        first = census(observer, 20)
        game.grow(20, 40)
        second = census(observer, 60, [id(game.still)])
        yield first, second, census(observer, 60)
    finally:
        observer.close()
        del sys.modules["game"]


def of_game(seen):
    """The containers of the host's own module, by path."""
    return {container.path: container for container in seen.containers if container.path.startswith("game.")}


def test_first_census_accuses_nobody(looks):
    """Without a look before there is no growth, so no container is reported."""
    assert of_game(looks[0]) == {}


@pytest.mark.parametrize("path", GROWN)
def test_growing_container_is_named(looks, path):
    """Every kind of growing container is reported with its path and its length."""
    assert of_game(looks[1])[path].length == 60


def test_what_did_not_grow_is_not_reported(looks):
    """Still and shrinking containers are not reported, unless somebody follows them."""
    assert set(of_game(looks[1])) == {*GROWN, "game.still"}
    assert of_game(looks[2]) == {}


@pytest.mark.parametrize(("path", "bound"), GROWN.items())
def test_bound_is_known(looks, path, bound):
    """A container with a bound carries it: maxlen, maxsize, capacity; a number of bytes is none."""
    assert of_game(looks[1])[path].bound == bound


def test_identity_stays(looks):
    """A container keeps its key from look to look, and the key is its identity."""
    game = sys.modules["game"]
    assert of_game(looks[1])["game.texts"].key == id(game.texts)


def test_types_are_counted_by_name(looks):
    """Objects are counted by type name; a class without a readable module is counted all the same."""
    first, second, _ = looks
    assert second.types["Odd"] - first.types.get("Odd", 20) == 40
    assert second.objects > 1000
    assert (second.how, second.requests) == ("fork", 60)
    assert second.stall > 0
    assert second.took > second.stall


def test_leakguard_does_not_count_itself(looks):
    """No type and no container of leakguard's own is in a census."""
    for seen in looks:
        assert not [name for name in seen.types if name.startswith("leakguard.")]
        assert not [container for container in seen.containers if container.path.startswith("leakguard")]


def test_own_containers_are_left_out():
    """What leakguard holds grows with what it remembers, and is never reported."""

    class Guard:
        """Stands for the conductor, which gives the observer itself and what it holds."""

    Guard.__module__ = "leakguard.guard"
    guard = Guard()
    guard.windows = collections.deque(range(10))
    guard.findings = {"rows": list(range(10))}
    observer = make_observer(own=lambda: [guard])
    try:
        census(observer, 0)
        guard.windows.extend(range(100))
        guard.findings["rows"].extend(range(100))
        kept = list(range(10))
        census(observer, 1)
        kept.extend(range(100))
        guard.windows.extend(range(100))
        guard.findings["rows"].extend(range(100))
        keys = {container.key for container in census(observer, 2).containers}
        assert id(kept) in keys
        assert not keys & {id(guard.windows), id(guard.findings["rows"])}
    finally:
        observer.close()


def test_keys_of_a_dict_are_never_told(tmp_path):
    """A path blurs keys and indexes, and names made at run time: they are values."""
    host = make_host(tmp_path, "class Bag: pass\nbag = Bag()\nbus = {'secret': {'token': []}}\n", "private_host")
    setattr(host.bag, "customer 4711", [])
    observer = make_observer()
    try:
        for number in range(40):
            if number == 20:
                census(observer, number)
            host.bus["secret"]["token"].append(number)
            getattr(host.bag, "customer 4711").append(number)
        paths = {c.path for c in census(observer, 40).containers if c.path.startswith("private_host")}
        assert paths == {"private_host.bus[…][…]", "private_host.bag[…]"}
    finally:
        observer.close()
        del sys.modules["private_host"]


class Traced(sqlite3.Connection):
    """A connection of the host's own, with a list of its own."""

    def __init__(self, path):
        super().__init__(path)
        self.statements = list(range(100))


@pytest.mark.parametrize("factory", [sqlite3.Connection, Traced])
def test_a_database_that_is_asked_often_is_no_container(factory):
    """The list in which a connection remembers its cursors is pruned at 200 and never reported; the host's own lists are."""
    with contextlib.closing(factory(":memory:")) as connection:
        observer = make_observer()
        own = getattr(connection, "statements", None)

        def ask():
            for _ in range(20):
                connection.execute("SELECT 1")
                if own is not None:
                    own.append("SELECT 1")

        try:
            ask()
            lists = [held for held in gc.get_referents(connection) if type(held) is list and held is not own]
            cursors = max(lists, key=len)
            assert len(cursors) > 8
            census(observer, 0)
            ask()
            assert len(cursors) > 28
            keys = {container.key for container in census(observer, 1).containers}
            assert id(cursors) not in keys
            assert own is None or id(own) in keys
        finally:
            observer.close()
