"""What importing leakguard costs an app that may never use it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

MIB = 1024 * 1024
HEAVY = {
    "anyio",
    "asyncio",
    "click",
    "django",
    "flask",
    "numpy",
    "objgraph",
    "psutil",
    "pympler",
    "pytest",
    "sqlite3",
    "starlette",
}


def cost_of(statement: str) -> tuple[set[str], int]:
    """The top-level modules that ``statement`` loads in a fresh interpreter, and the bytes of RSS that it adds."""
    code = f"""
import json, os, sys
from pathlib import Path
def rss():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
rss(), json.dumps({{}})
loaded, before = set(sys.modules), rss()
{statement}
after = rss()
print(json.dumps([sorted({{name.partition(".")[0] for name in set(sys.modules) - loaded}}), after - before]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    modules, size = json.loads(done.stdout)
    return set(modules), size


pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="measures through the proc filesystem")


def test_import_is_light():
    """``import leakguard`` loads nothing heavy and adds at most 3 MiB."""
    modules, size = cost_of("import leakguard")
    assert "leakguard" in modules
    assert not modules & HEAVY
    assert size < 3 * MIB


def test_configuration_is_light_too():
    """Reading the options needs nothing heavy either."""
    modules, size = cost_of("import leakguard; leakguard.Config.load()")
    assert not modules & HEAVY
    assert size < 6 * MIB


def test_every_public_name_is_there():
    """Each name that is promised can be loaded, and no other."""
    import leakguard

    for name in leakguard.__all__:
        assert getattr(leakguard, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = leakguard.nothing


def test_reading_every_attribute_loads_nothing():
    """Whoever goes through all attributes of all modules, as freezegun does before a test, pays for no import of ours."""
    code = (
        "import sys, leakguard; [getattr(leakguard, name) for name in dir(leakguard)]; "
        "print([name for name in sys.modules if name.startswith('leakguard.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_a_thread_is_never_started_by_an_import():
    """Importing starts no thread: a server may import the app before it forks its workers."""
    code = "import threading, leakguard; leakguard.Config, leakguard.ConfigError; print(threading.active_count())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "1"
