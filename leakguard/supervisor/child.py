"""What happens inside every Python process that ``leakguard run`` started, before its program runs.

Only light modules are imported here: helpers and shells that a command may be made of come this way, too.
"""

from __future__ import annotations

from leakguard.recycling import link
from leakguard.supervisor import importing, listening, wrapping


def prepare() -> None:
    """Have the servers of this process wrap their apps and, with a supervisor, share their sockets."""
    patches = dict(wrapping.PATCHES)
    mine = link.open_link()
    if mine is not None:
        mine.hello()
        listening.share(mine)
        mine.on_listening(_introduce)
        for name, patch in listening.PATCHES.items():
            patches[name] = _both(patches[name], patch) if name in patches else patch
    importing.patch_on_import(patches)


def _both(first: importing.Patch, second: importing.Patch) -> importing.Patch:
    def patch(module: object) -> None:
        first(module)
        second(module)

    return patch


def _introduce() -> None:
    # A server without start-up events (waitress, daphne) shows itself by listening.
    from leakguard.guard import introduce

    introduce()
