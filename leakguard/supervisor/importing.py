"""Changing a module right after its import, without importing it."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Patch = Callable[[Any], None]


def patch_on_import(patches: Mapping[str, Patch]) -> None:
    """Have each function called with the module of that name when it has been imported; a patch that fails says so only."""
    sys.meta_path.insert(0, _Finder(dict(patches)))


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, patches: dict[str, Patch]) -> None:
        self._patches = patches

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        patch = self._patches.pop(fullname, None)
        if patch is None:
            return None
        for finder in sys.meta_path:
            spec = finder.find_spec(fullname, path, target) if finder is not self else None
            if spec is not None:
                if spec.loader is not None:
                    _extend(spec.loader, patch)
                return spec
        return None


def _extend(loader: Any, patch: Patch) -> None:
    original = loader.exec_module

    def exec_module(module: types.ModuleType) -> None:
        original(module)
        try:
            patch(module)
        except Exception as error:
            sys.stderr.write(f"leakguard: {module.__name__} is not as expected: {type(error).__name__}: {error}\n")

    loader.exec_module = exec_module
