"""The rows of the table: which server, how many workers, replaced in which way."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

APP = "benchmarks.recycling.app"
BIN = Path(sys.executable).parent
RECYCLES = 50  # a row of leakguard's goes on until so many; the others until fewer, because they only need a figure
FEWER = 6
GUNICORN_23 = "gunicorn-23"
PM2 = "pm2"


@dataclass(frozen=True, slots=True)
class Row:
    """One run.

    Attributes:
        server: as in the table.
        workers: how many processes serve.
        way: ``naive``, ``built-in``, ``pm2`` or ``leakguard``.
        command: with ``PORT`` in it.
        overlaps: a successor can serve before the old worker leaves, so that one worker needs no gap.
        restarted: a plain restarter starts the command again when it ends.
        needs: a tool that is installed for the row.
        note: what the row needs to be said with it.
    """

    server: str
    workers: int
    way: str
    command: tuple[str, ...]
    overlaps: bool = False
    restarted: bool = False
    needs: str = ""
    users: int = 16
    scale: float = 1.0
    streams: float = 0.2
    note: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The row's name on the command line and of its file."""
        return f"{self.server.replace(' ', '-').replace('.', '')}-{self.workers}-{self.way}"


OUTSIDE = {  # for `leakguard run`, which puts the middleware around the app itself
    "BENCH_WAY": "",
    "LEAKGUARD_CEILING": "75 MB",
    "LEAKGUARD_HARD_CEILING": "300 MB",
    "LEAKGUARD_INTERVAL": "1s",
    "LEAKGUARD_MIN_LIFETIME": "1s",
    "LEAKGUARD_COOL_DOWN": "100ms",
    "LEAKGUARD_DAILY_CAP": "100000",
    "LEAKGUARD_DRAIN": "10s",
}
HOOKS = ("-c", "python:leakguard.integrations.gunicorn")


def _gunicorn(kind: str, app: str, workers: int, *more: str) -> tuple[str, ...]:
    words = (sys.executable, "-m", "gunicorn", "-k", kind, "-w", str(workers), "-b", "127.0.0.1:PORT")
    return (*words, "--no-control-socket", "--log-level", "error", *more, f"{APP}:{app}")


def _gunicorn_rows() -> list[Row]:
    kinds: list[tuple[str, str, str, tuple[str, ...]]] = [
        ("uvicorn worker", "uvicorn_worker.UvicornWorker", "asgi", ()),
        ("asgi", "asgi", "asgi", ()),
        ("gthread", "gthread", "wsgi", ("--threads", "16")),
        ("sync", "sync", "wsgi", ()),
    ]
    rows = []
    for label, kind, app, more in kinds:
        for workers in (1, 2):
            # A sync worker takes one request at a time: short requests, and a third of the users per worker.
            load = {"users": 4 * workers, "scale": 0.25} if kind == "sync" else {}
            limit = ("--max-requests", "400" if kind != "sync" else "100", "--max-requests-jitter", "50")
            for way, options in (("naive", more), ("built-in", (*more, *limit)), ("leakguard", more)):
                hooks: tuple[str, ...] = HOOKS if way == "leakguard" and workers > 1 else ()
                command = _gunicorn(kind, app, workers, *hooks, *options)
                rows.append(Row(f"gunicorn {label}", workers, way, command, overlaps=True, **load))  # type: ignore[arg-type]
    words = tuple(word for word in _gunicorn("gthread", "wsgi", 1, "--threads", "16") if word != "--no-control-socket")
    two = tuple("2" if word == "1" else word for word in words)
    for workers, command in ((1, words), (2, two)):
        for way in ("naive", "built-in", "leakguard"):
            own: tuple[str, ...] = ("--max-requests", "400") if way == "built-in" else ()
            hooked: tuple[str, ...] = HOOKS if way == "leakguard" and workers > 1 else ()
            full = (*command[:-1], *own, *hooked, command[-1])
            rows.append(Row("gunicorn 23 gthread", workers, way, full, overlaps=True, needs=GUNICORN_23))
    four = _gunicorn("uvicorn_worker.UvicornWorker", "asgi", 4, *HOOKS)
    rows.append(Row("gunicorn uvicorn worker", 4, "leakguard", four, overlaps=True, note="all at the ceiling together"))
    return rows


def _uvicorn_rows() -> list[Row]:
    quiet = ("--log-level", "error", "--port", "PORT", f"{APP}:asgi")
    one = (str(BIN / "uvicorn"), *quiet)
    under = (sys.executable, "-m", "leakguard", "run", "--", *one)
    two = (str(BIN / "uvicorn"), "--workers", "2", *quiet)
    limit = ("--limit-max-requests", "400", "--limit-max-requests-jitter", "50")
    return [
        Row("uvicorn", 1, "naive", one, overlaps=True, restarted=True),
        Row("uvicorn", 1, "built-in", (*one, *limit), overlaps=True, restarted=True),
        Row("uvicorn", 1, "pm2", one, overlaps=True, needs=PM2),
        Row("uvicorn", 1, "leakguard", under, overlaps=True, environment=OUTSIDE),
        Row("uvicorn", 2, "naive", two),
        Row("uvicorn", 2, "built-in", (*two, *limit)),
        Row("uvicorn", 2, "leakguard", two),
    ]


def _hypercorn_rows() -> list[Row]:
    rows = []
    for workers in (1, 2):
        words = (str(BIN / "hypercorn"), "-w", str(workers), "-b", "127.0.0.1:PORT", "--log-level", "ERROR")
        app = f"{APP}:asgi"
        limit = ("--max-requests", "400", "--max-requests-jitter", "50")
        rows += [
            Row("hypercorn", workers, "naive", (*words, app)),
            Row("hypercorn", workers, "built-in", (*words, *limit, app)),
            Row("hypercorn", workers, "leakguard", (*words, app)),
        ]
    single = (str(BIN / "hypercorn"), "-w", "0", "-b", "127.0.0.1:PORT", f"{APP}:asgi")
    rows.append(Row("hypercorn -w 0", 1, "leakguard", _under(single), overlaps=True, environment=OUTSIDE))
    return rows


def _granian_rows() -> list[Row]:
    rows = []
    threads: dict[str, tuple[str, ...]] = {"asgi": (), "wsgi": ("--blocking-threads", "16")}
    for interface, more in threads.items():
        for workers in (1, 2):
            words: tuple[str, ...] = (
                str(BIN / "granian"),
                "--interface",
                interface,
                "--workers",
                str(workers),
                "--port",
                "PORT",
                "--no-log",
            )
            words = (*words, *more)
            app = f"{APP}:{interface}"
            respawn = ("--respawn-failed-workers",)
            limit = ("--workers-max-rss", "75", "--rss-sample-interval", "1", "--respawn-interval", "1.5")
            roll = ("--respawn-interval", "1.5") if workers == 1 else respawn
            name = f"granian {interface}"
            rows += [
                Row(name, workers, "naive", (*words, *respawn, app), overlaps=True),
                Row(name, workers, "built-in", (*words, *limit, app), overlaps=True),
                Row(name, workers, "leakguard", (*words, *roll, app), overlaps=workers == 1),
            ]
    return rows


def _uwsgi_rows() -> list[Row]:
    rows = []
    for workers in (1, 2):
        words: tuple[str, ...] = (
            str(BIN / "uwsgi"),
            "--virtualenv",
            sys.prefix,
            "--master",
            "-p",
            str(workers),
            "--threads",
            "16",
        )
        words = (*words, "--threads", "16", "--http11-socket", "127.0.0.1:PORT", "--disable-logging", "--lazy-apps")
        app = ("--module", "benchmarks.recycling.wsgi_app")
        limit = ("--reload-on-rss", "75", "--min-worker-lifetime", "1")
        note = "no streams: http11-socket leaves an answer without length open"
        for way, more in (("naive", ()), ("built-in", limit), ("leakguard", ())):
            rows.append(Row("uWSGI", workers, way, (*words, *more, *app), streams=0.0, note=note))
    return rows


def _single_rows() -> list[Row]:
    waitress = (str(BIN / "waitress-serve"), "--listen", "127.0.0.1:PORT", "--threads", "16", f"{APP}:wsgi")
    daphne = (str(BIN / "daphne"), "-p", "PORT", "-v", "0", f"{APP}:asgi")
    return [
        Row("waitress", 1, "naive", waitress, overlaps=True, restarted=True),
        Row("waitress", 1, "leakguard", _under(waitress), overlaps=True, environment=OUTSIDE),
        Row("daphne", 1, "naive", daphne, overlaps=True, restarted=True),
        Row("daphne", 1, "leakguard", _under(daphne), overlaps=True, environment=OUTSIDE),
    ]


def _under(command: tuple[str, ...]) -> tuple[str, ...]:
    return (sys.executable, "-m", "leakguard", "run", "--", *command)


ROWS: tuple[Row, ...] = (
    *_gunicorn_rows(),
    *_uvicorn_rows(),
    *_hypercorn_rows(),
    *_granian_rows(),
    *_uwsgi_rows(),
    *_single_rows(),
)
