"""What a deep look is asked: about one suspect container, about retained requests, a type, or lost allocations."""

from __future__ import annotations

import typing
import weakref
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """One question to a deep look.

    ``kind`` says which of the other fields count:

    - ``container``: ``key`` is the identity of the container, as ``Container.key`` in a census;
    - ``request``: ``refs`` are weak references to sentinels of requests that should be gone. Several are better than one: a
      server keeps the last request of every idle connection, and the holder that most of them share is the leak;
    - ``type``: ``name`` is a type as ``Census.types`` names it;
    - ``object``: ``keys`` are identities of objects of the type ``name`` that should be gone;
    - ``allocations``: what the burst saw allocated, about once a request, and nobody in Python refers to. ``requests`` is
      the number of requests handled during the burst, ``key`` the rank asked for: 0 is the site that kept most bytes.
    """

    kind: str
    key: int = 0
    refs: tuple[weakref.ref[typing.Any], ...] = ()
    name: str = ""
    requests: int = 0
    keys: tuple[int, ...] = ()
