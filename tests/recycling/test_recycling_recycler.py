"""The conductor in a process that nothing would restart: it decides, relieves and reports, and hurts nobody."""

import os

import pytest

from leakguard.config import Config
from leakguard.probes.limits import Limit
from leakguard.recycling import relief
from leakguard.recycling.drain import on_not_ready
from leakguard.recycling.gauge import Marks
from leakguard.recycling.recycler import Recycler
from leakguard.recycling.servers import Server
from leakguard.recycling.strategies.choice import choose
from leakguard.recycling.strategies.none import NoStrategy

MIB = 1024 * 1024


class Host:
    """What a guard is to the recycler, with memory that the test sets."""

    def __init__(self, **options):
        self.memory = 100 * MIB
        self.private = None
        self.limit = Limit(1000 * MIB, "a test", None)
        self.reliefs, self.recycles, self.notes, self.evidence = [], [], [], []
        self.recycler = Recycler(
            Config.load({}, **options),
            in_flight=lambda: 0,
            rss=lambda: self.memory,
            limit=lambda: self.limit,
            on_relief=self.reliefs.append,
            on_recycle=self.recycles.append,
            on_note=self.notes.append,
            evidence=lambda: self.evidence.append(1),
            uss=lambda: self.private,
        )

    def ticks(self, count=4):
        """Tick as often as the rules about readings in a row ask for."""
        for _ in range(count):
            self.recycler.tick()


@pytest.fixture(autouse=True)
def nothing_registered(monkeypatch):
    """Each test starts with no callback registered."""
    monkeypatch.setattr(relief, "_callbacks", [])


def test_nothing_happens_before_the_worker_serves():
    """A recycler that was made but never told that the worker serves does nothing, as in a pre-forking parent."""
    host = Host(ceiling="200 MiB", min_lifetime=0)
    host.memory = 500 * MIB
    host.ticks()
    assert not host.recycler.serving
    assert not host.recycler.drain.ready
    assert (host.reliefs, host.notes) == ([], [])


def test_below_the_ceiling_it_only_watches():
    """A worker that serves is ready, has its baseline, and is left in peace."""
    host = Host(ceiling="200 MiB", min_lifetime=0)
    host.recycler.ready()
    host.ticks()
    assert host.recycler.serving
    assert host.recycler.drain.ready
    assert host.recycler.baseline == 100 * MIB
    assert (host.reliefs, host.notes) == ([], [])


def test_relief_can_make_a_recycle_unnecessary():
    """A cache that sheds under pressure brings memory down, and then nobody is told to leave."""
    host = Host(ceiling="200 MiB", min_lifetime=0)
    host.recycler.ready()
    host.ticks()

    @relief.on_pressure
    def shed():
        host.memory = 120 * MIB

    host.memory = 220 * MIB
    host.ticks(20)
    assert [(done.rss_before, done.rss_after, done.shed) for done in host.reliefs] == [(220 * MIB, 120 * MIB, 1)]
    assert host.notes == []
    assert host.recycler.drain.ready


def test_one_spike_is_not_a_level():
    """A single reading above the ceiling starts nothing."""
    host = Host(ceiling="200 MiB", min_lifetime=0)
    host.recycler.ready()
    for _ in range(10):
        host.memory = 300 * MIB
        host.ticks(2)
        host.memory = 100 * MIB
        host.ticks(1)
    assert host.reliefs == []


def test_where_nothing_would_restart_it_only_readiness_flips(monkeypatch):
    """In an unknown server the worker says why it stays, is not ready over the hard ceiling, and ready again below."""
    monkeypatch.setattr("leakguard.recycling.drain._callbacks", [])
    host = Host(ceiling="200 MiB", min_lifetime=0)
    told = []
    on_not_ready(lambda: told.append(host.recycler.drain.ready))
    host.recycler.ready()
    host.ticks()
    host.memory = 220 * MIB
    host.ticks(20)
    assert len(host.reliefs) == 1
    assert len(host.notes) == 1
    assert "never ended" in host.notes[0]
    assert host.recycler.drain.ready, "a leak alone takes nobody out of service"
    host.memory = 250 * MIB
    host.ticks(20)
    assert not host.recycler.drain.ready
    assert not host.recycler.drain.closing
    assert told == [False]
    host.memory = 150 * MIB
    host.ticks()
    assert host.recycler.drain.ready
    assert host.recycles == []


class Sharing(NoStrategy):
    """One of four workers whose parent loaded the app."""

    def __init__(self):
        super().__init__("shares", workers=4)


def test_pages_that_siblings_share_count_once(monkeypatch):
    """Of 100 MiB that four workers share each answers for 25: RSS may pass the ceiling and nothing happens."""
    monkeypatch.setattr("leakguard.recycling.recycler.choose", lambda *_: Sharing())
    monkeypatch.setattr("leakguard.recycling.gauge.SHARED_FOR", 0.0)
    host = Host(ceiling="120 MiB", min_lifetime=0)
    host.private = 0
    host.recycler.ready()
    host.ticks()
    assert host.recycler.baseline == 25 * MIB
    host.memory, host.private = 180 * MIB, 80 * MIB
    host.ticks(20)
    assert host.reliefs == [], "80 private and a quarter of 100 are 105"
    host.memory, host.private = 200 * MIB, 100 * MIB
    host.ticks(20)
    assert "RSS of 125 MiB, without 75.0 MiB that siblings share, over the ceiling of 120 MiB" in host.notes[0]
    assert (host.reliefs[0].rss_before, host.reliefs[0].rss_after) == (125 * MIB, 125 * MIB)


def test_a_fresh_worker_over_the_ceiling_recycles_nobody_for_ever():
    """Fork-bomb proof: each of a hundred successors that boot too big refuses, relieves nothing and leaves nobody."""
    for _ in range(100):
        host = Host(ceiling="90 MiB", min_lifetime=0, cool_down=0)
        host.recycler.ready()
        host.memory = 300 * MIB
        host.ticks(6)
        assert (host.reliefs, host.recycles, host.evidence) == ([], [], [])
        assert len(host.notes) == 1


def test_a_ceiling_too_low_is_said_once_and_never_acted_on():
    """A ceiling under a fresh worker's size is refused with the figure."""
    host = Host(ceiling="90 MiB", min_lifetime=0)
    host.recycler.ready()
    host.ticks(20)
    assert len(host.notes) == 1
    assert "a fresh worker takes 100 MiB" in host.notes[0]
    assert host.reliefs == []


def test_callbacks_that_fail_reach_nobody():
    """Whatever the guard's own callbacks raise, a tick returns."""
    host = Host(ceiling="200 MiB", min_lifetime=0)

    def fail(*_):
        raise RuntimeError("no")

    host.recycler._gauge._rss = host.recycler._on_note = fail
    host.recycler.ready()
    host.ticks()
    assert not host.recycler.serving


def test_a_forked_child_of_a_worker_does_nothing():
    """A child that the app forks is no worker: it does not judge, relieve or leave."""
    host = Host(ceiling="200 MiB", min_lifetime=0)
    host.recycler.ready()
    host.ticks()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        host.memory = 500 * MIB
        host.ticks(10)
        os.write(write, b"acted" if host.reliefs or host.notes else b"quiet")
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    assert os.read(read, 10) == b"quiet"
    os.close(read)


def test_shares_are_of_the_limit_divided_by_the_workers():
    """``80%`` of a limit that four workers share is a fifth of it for each."""
    host = Host(ceiling="80%", hard_ceiling="90%")
    assert host.recycler._gauge.work_out(4) == Marks(200 * MIB, 225 * MIB)
    host.limit = Limit(None, "unknown", None)
    assert host.recycler._gauge.work_out(4) is None
    assert "cannot be watched" in host.recycler.describe()[0]


def test_the_doctor_says_when_there_is_no_ceiling():
    """Without a ceiling the description says that nothing is ever recycled."""
    assert "never recycles" in Host().recycler.describe()[0]
    assert Host(ceiling="200 MiB").recycler.describe()[0] == "Ceiling 200 MiB, hard ceiling 240 MiB per worker (RSS)."


@pytest.mark.parametrize(
    ("option", "server", "words"),
    [
        ("none", Server("gunicorn", kind="gthread"), "recycle is none"),
        ("uvicorn", Server("gunicorn", kind="gthread"), "not what runs here"),
        ("auto", Server("gunicorn", kind="other"), "no lossless way is known"),
        ("auto", Server("uvicorn", workers=1), "nothing would start it again"),
        ("auto", Server("hypercorn"), "single process (-w 0)"),
        ("auto", Server("hypercorn", kind="trio", supervised=True), "asyncio and uvloop only"),
        ("auto", Server("granian"), "cannot be seen"),
        ("auto", Server("uwsgi", kind="thread-less", supervised=True), "--enable-threads"),
        ("auto", Server("uwsgi"), "without a master"),
        ("auto", Server("cheroot"), "does not replace workers there yet"),
        ("auto", Server("unknown"), "is not known"),
    ],
)
def test_who_is_left_alone_is_told_why(option, server, words):
    """Each server without a strategy has its own reason, and none of them is ever ended."""
    strategy = choose(option, server)
    assert not strategy.acts
    assert words in strategy.describe()[0]
    assert "never ended" in strategy.describe()[0]


def test_an_unknown_server_is_ended_only_when_told_so():
    """``recycle='exit'`` is for where nothing is known but something outside restarts; known servers keep their way."""
    assert choose("exit", Server("unknown")).name == "exit"
    assert choose("exit", Server("uvicorn", workers=1)).acts
    assert choose("exit", Server("uwsgi", supervised=True, worker=None)).name == "uwsgi"
    assert "refused until" in choose("exit", Server("unknown")).describe()[0]


def test_a_worker_that_cannot_take_turns_is_left_alone(monkeypatch, tmp_path):
    """Without a directory to take turns in, nobody leaves, and the doctor hears why."""
    open_to_all = tmp_path / f"leakguard-{os.geteuid()}"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    host = Host(ceiling="200 MiB", min_lifetime=0)

    class Acting(NoStrategy):
        acts = True

    monkeypatch.setattr("leakguard.recycling.recycler.choose", lambda *_: Acting("acts"))
    host.recycler.ready()
    host.ticks()
    assert host.recycler.serving
    assert "cannot take turns" in host.recycler.describe()[1]
