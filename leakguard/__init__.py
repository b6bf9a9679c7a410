"""leakguard: which route leaks what, where it was allocated and who holds it; and a worker recycled without a lost request.

Nothing heavy is imported here: every public name is loaded when it is first used (PEP 562).
"""

from __future__ import annotations

import importlib
import typing

__version__ = "0.1.0"

_HOMES = {
    "Config": "leakguard.config",
    "ConfigError": "leakguard.errors",
    "JournalError": "leakguard.errors",
    "LeakGuardError": "leakguard.errors",
    "LeakGuardMiddleware": "leakguard.integrations.asgi",
    "LeakGuardWSGI": "leakguard.integrations.wsgi",
    "LeaksFoundError": "leakguard.errors",
    "NotMeasuredError": "leakguard.errors",
    "on_not_ready": "leakguard.recycling.drain",
    "on_pressure": "leakguard.recycling.relief",
    "ready": "leakguard.guard",
}

__all__ = [
    "Config",
    "ConfigError",
    "JournalError",
    "LeakGuardError",
    "LeakGuardMiddleware",
    "LeakGuardWSGI",
    "LeaksFoundError",
    "NotMeasuredError",
    "__version__",
    "on_not_ready",
    "on_pressure",
    "ready",
]

if typing.TYPE_CHECKING:
    from leakguard.config import Config
    from leakguard.errors import ConfigError, JournalError, LeakGuardError, LeaksFoundError, NotMeasuredError
    from leakguard.guard import ready
    from leakguard.integrations.asgi import LeakGuardMiddleware
    from leakguard.integrations.wsgi import LeakGuardWSGI
    from leakguard.recycling.drain import on_not_ready
    from leakguard.recycling.relief import on_pressure


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'leakguard' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


# No ``__dir__`` that lists what is loaded on demand: whoever reads all attributes of all modules (freezegun does, before each
# test) would load it all.
