"""The cases: small applications around released packages, each with what a perfect detector would say of it."""

from __future__ import annotations

import json
import tomllib
import typing
from dataclasses import dataclass, field
from pathlib import Path

CASES = Path(__file__).parent / "cases"


@dataclass(frozen=True, slots=True)
class Expected:
    """What may be said of a leak. Shell patterns; any one of a list will do, and an empty list asks for nothing."""

    kinds: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    holders: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    owner: str | None = None  # the distribution whose C code it is


@dataclass(frozen=True, slots=True)
class Case:
    """One application, and the versions of one package with which it leaks and does not."""

    name: str
    folder: Path
    title: str
    package: str
    fixed: str
    source: str
    pythons: tuple[str, ...]
    requests: tuple[dict[str, typing.Any], ...]
    leaky: str | None = None  # None: a control, which never leaks
    requirements: tuple[str, ...] = ()
    target: str = "app:app"
    concurrency: int = 1
    expect: Expected = field(default_factory=Expected)

    def versions(self) -> list[tuple[str, str]]:
        """Return what to run: ``leaky`` and ``fixed``, or ``control``, each with its version."""
        if self.leaky is None:
            return [("control", self.fixed)]
        return [("leaky", self.leaky), ("fixed", self.fixed)]

    def install(self, version: str) -> list[str]:
        """Return the requirements of the environment with one version of the package."""
        return [f"{self.package}=={version}", *self.requirements]

    def write_requests(self, path: Path) -> None:
        """Write the list of requests as ``leakguard check --requests`` reads it."""
        path.write_text(json.dumps([_request(each) for each in self.requests]), "utf-8")


def _request(described: dict[str, typing.Any]) -> dict[str, typing.Any]:
    request = {"method": "GET", **described}
    times = request.pop("body_times", None)
    if times is not None:
        request["body"] *= times
    return request


def load(name: str) -> Case:
    """Return one case by the name of its folder."""
    folder = CASES / name
    described = tomllib.loads((folder / "case.toml").read_text("utf-8"))
    expect: dict[str, typing.Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in described.pop("expect", {}).items()
    }
    listed: dict[str, typing.Any] = {
        key: tuple(described.pop(key, ())) for key in ("pythons", "requests", "requirements")
    }
    return Case(name=name, folder=folder, expect=Expected(**expect), **listed, **described)


def names() -> list[str]:
    """Return the names of all cases."""
    return sorted(folder.name for folder in CASES.iterdir() if (folder / "case.toml").exists())
