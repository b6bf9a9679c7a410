"""On a system without fork and POSIX modules leakguard imports, watches and never gets in the way."""

import os
import subprocess
import sys

WITHOUT_POSIX = """
import os, signal, socket, sys
import psutil  # has a half of its own for each system
for name in ("fcntl", "resource", "pwd", "grp", "termios", "pty"):
    sys.modules[name] = None
for owner, names in (
    (os, ("fork", "register_at_fork", "geteuid", "getuid", "posix_spawn", "posix_spawnp", "memfd_create")),
    (signal, ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGTTIN", "SIGTTOU", "SIGQUIT", "SIGWINCH", "SIGCHLD", "SIGALRM",
              "pthread_kill", "pthread_sigmask", "sigwaitinfo")),
    (socket, ("AF_UNIX", "SOCK_SEQPACKET", "send_fds", "recv_fds")),
):
    for name in names:
        if hasattr(owner, name):
            delattr(owner, name)
"""

USE = """
import leakguard
for name in leakguard.__all__:
    getattr(leakguard, name)

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"done"]

guarded = leakguard.LeakGuardWSGI(app, ceiling="1 GiB", interval="50ms", warmup="0s")
import io, time
from wsgiref.util import setup_testing_defaults
end = time.monotonic() + 0.6
while time.monotonic() < end:
    environ = {}
    setup_testing_defaults(environ)
    answer = guarded(environ, lambda status, headers, exc_info=None: None)
    assert list(answer) == [b"done"]
    answer.close()
    time.sleep(0.02)
from leakguard.guard import obtain
guard = obtain(guarded.config)
print(guard.requests.total > 10, guard.recycler.strategy)
"""


def run(code):
    """Run code in a process of its own, without a journal."""
    environment = {**os.environ, "LEAKGUARD_JOURNAL": "off"}
    words = [sys.executable, "-c", WITHOUT_POSIX + code]
    return subprocess.run(words, capture_output=True, text=True, env=environment, timeout=60)


def test_every_public_name_imports_and_requests_are_counted():
    """``import leakguard`` and the middleware work without fcntl, resource and fork; recycling reports only."""
    done = run(USE)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "True none\n"
    assert "Traceback" not in done.stderr


def test_the_command_line_imports():
    """``leakguard config`` and the help of every command work there, too."""
    code = "import sys; sys.argv = ['leakguard', *{}]\nfrom leakguard.cli import main\nmain()"
    for words in (["config"], ["--help"], ["run", "--help"]):
        done = run(code.format(words))
        assert done.returncode == 0, done.stderr
        assert done.stdout
