"""Which release of a server runs is known without the memory that packages' metadata take."""

import importlib.metadata
import subprocess
import sys

import pytest

PROGRAM = """
import sys, {server}
before = "importlib.metadata" in sys.modules
from leakguard.recycling.servers import _version
print(_version("{server}"), "importlib.metadata" in sys.modules and not before)
"""


@pytest.mark.parametrize(("server", "reads"), [("uvicorn", False), ("gunicorn", False), ("hypercorn", True)])
def test_a_servers_release_is_what_it_says_itself_and_else_its_metadatas(server, reads):
    """A server that says its release is believed; the metadata are read, a MiB of modules, only for one that does not."""
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(server=server)], capture_output=True, text=True, check=True
    ).stdout.split()
    assert told == [importlib.metadata.version(server), str(reads)]
