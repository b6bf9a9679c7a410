"""First on the path of a process that ``leakguard run`` started: prepares it, then steps aside.

Python imports a module of this name at every start, before anything of the program. Whatever happens here, the program
runs; and if there is another module of this name, it runs too.
"""

# Not pathlib: every start of a Python process pays for what is imported here.
# ruff: noqa: PTH100, PTH120
import os
import sys


def _prepare() -> None:
    if not os.environ.get("_LEAKGUARD_RUN"):
        return
    try:
        from leakguard.supervisor import child
    except ImportError:
        sys.stderr.write(f"leakguard: {sys.executable} has no leakguard; install it there, too. Running without it\n")
        return
    try:
        child.prepare()
    except Exception as error:
        sys.stderr.write(f"leakguard: running without it: {type(error).__name__}: {error}\n")


def _step_aside() -> None:
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != here]
    mine = sys.modules.pop(__name__, None)
    try:
        __import__(__name__)
    except ModuleNotFoundError as error:
        if mine is not None:
            sys.modules[__name__] = mine
        if error.name != __name__:
            raise


_prepare()
if __name__ == "sitecustomize":
    _step_aside()
