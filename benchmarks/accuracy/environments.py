"""Environments of the cases: one per case, version and Python, made once and kept outside the tree."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


class EnvironmentFailedError(Exception):
    """A case's environment could not be made; the message is what the installer said last."""


def root() -> Path:
    """Return where environments are kept: ``$LEAKGUARD_CASES``, or a directory among the temporary files."""
    return Path(os.environ.get("LEAKGUARD_CASES") or Path(tempfile.gettempdir()) / "leakguard-cases")


def interpreter(version: str) -> str:
    """Return an interpreter of a version such as ``3.12``.

    Raises:
        EnvironmentFailedError: there is none, neither on the path nor among pyenv's.
    """
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    if versions.is_dir():
        for folder in sorted(versions.iterdir(), reverse=True):
            if folder.name == version or folder.name.startswith(f"{version}."):
                return str(folder / "bin" / "python")
    found = shutil.which(f"python{version}")
    if found is None:
        raise EnvironmentFailedError(f"no Python {version} here")
    return found


def environment(name: str, requirements: list[str], python: str) -> Path:
    """Return the interpreter of an environment with ``requirements`` and this checkout; make it if it is not there yet.

    Raises:
        EnvironmentFailedError: it cannot be made.
    """
    key = hashlib.blake2s("\n".join([python, str(CHECKOUT), *requirements]).encode(), digest_size=4).hexdigest()
    folder = root() / f"{name}-py{python}-{key}"
    inside = folder / "bin" / "python"
    if (folder / "ready").exists():
        return inside
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _run([interpreter(python), "-m", "venv", str(folder)])
    # The case's own pins first: what leakguard needs besides must not choose newer releases for it.
    install = [str(inside), "-m", "pip", "install", "--quiet"]
    _run([*install, *requirements])
    _run([*install, *requirements, "--editable", str(CHECKOUT)])
    (folder / "ready").touch()
    return inside


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EnvironmentFailedError(f"{' '.join(command[-3:])}: {(done.stderr or done.stdout).strip()[-500:]}")
