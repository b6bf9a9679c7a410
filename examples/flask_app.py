"""Flask with leakguard: one line. ``/health`` is clean; ``/search`` remembers every question for good.

Run it with ``gunicorn flask_app:app --threads 4`` and read ``leakguard report`` after some minutes of traffic.
"""

from __future__ import annotations

import functools

from flask import Flask, request

from leakguard import LeakGuardWSGI

app = Flask(__name__)
app.wsgi_app = LeakGuardWSGI(app.wsgi_app)  # type: ignore[method-assign]


@functools.cache  # the leak: a cache without a size, keyed by what users type
def find(question: str) -> list[str]:
    return [f"{question} {number}" for number in range(50)]


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/search")
def search() -> dict[str, int]:
    return {"found": len(find(request.args.get("q", "")))}
