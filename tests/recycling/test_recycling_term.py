"""SIGTERM is held back until the close was announced, and then the server's own handler has it."""

import importlib.util
import subprocess
import sys
import textwrap

from support.needs import ROOT, require


def run(script):
    """Run a script in a process of its own and return what it printed, a line each."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


PLAIN = """
    import os, signal, sys, threading, time
    from leakguard.recycling.term import Term, unwrapped

    over = threading.Event()

    def own(number, frame):
        print("own")
        over.set()

    def told():
        print("announced")
        time.sleep(0.1)
        term.pass_on()

    signal.signal(signal.SIGTERM, own)
    term = Term()
"""


def test_the_server_gets_its_signal_after_the_announcement():
    """A handler set by signal.signal is called once, with the signal, after ours; again is passed through."""
    said = run(
        PLAIN
        + """
    print(term.install(told))
    print(unwrapped(signal.getsignal(signal.SIGTERM)) is own)
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
    over.wait(10)
    print(term.told.is_set())
    os.kill(os.getpid(), signal.SIGTERM)
    """
    )
    assert said == ["True", "True", "announced", "own", "True", "own"]


def test_a_recycle_of_ours_lets_it_through():
    """What we ask for ourselves is not announced a second time."""
    assert run(PLAIN + "\n    term.install(told)\n    term.open()\n    os.kill(os.getpid(), signal.SIGTERM)\n") == [
        "own"
    ]


def test_a_forked_child_is_not_held():
    """A child of the worker ends at SIGTERM as it would without us."""
    said = run(
        PLAIN
        + """
    term.install(told)
    child = os.fork()
    if child == 0:
        signal.pause()
        sys.stdout.flush()
        os._exit(7)
    time.sleep(0.3)
    os.kill(child, signal.SIGTERM)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    )
    assert said == ["own", "7"]


def test_where_nobody_handles_it_nothing_is_held():
    """A process with the default action keeps it, and other threads than the main one change nothing."""
    said = run(
        """
        import signal, threading
        from leakguard.recycling.term import Term
        print(Term().install(print))
        signal.signal(signal.SIGTERM, lambda *_: None)
        term = Term()
        thread = threading.Thread(target=lambda: print(term.install(print)))
        thread.start()
        thread.join()
        print(term.installed)
        """
    )
    assert said == ["False", "False", "False"]


def test_an_invitation_brings_us_to_the_main_thread_once():
    """Where the server sets its handler after the app was made, a thread calls and the main thread installs."""
    said = run(
        """
        import os, signal, threading, time
        from leakguard.recycling.term import Term

        over = threading.Event()
        term = Term()

        def told():
            print("announced")
            term.pass_on()

        term.invite(told)
        signal.signal(signal.SIGTERM, lambda *_: (print("own"), over.set()))
        threading.Timer(0.1, term.call).start()
        time.sleep(0.5)
        print(term.installed, signal.getsignal(signal.SIGURG) is signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
        over.wait(10)
        """
    )
    assert said == ["True", "True", "announced", "own"]


LOOP = """
    import asyncio, os, signal
    from leakguard.recycling.term import Term

    async def main():
        over = asyncio.Event()
        loop = asyncio.get_running_loop()

        def own():
            print("own")
            over.set()

        def told():
            print("announced")
            term.pass_on()

        term = Term()
        loop.add_signal_handler(signal.SIGTERM, own)
        print(term.install(told, own))
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(over.wait(), 10)
"""


def test_an_asyncio_loop_has_its_handler_wrapped():
    """A handler that was given to the event loop is called there, after the announcement."""
    assert run(LOOP + "\n    asyncio.run(main())\n") == ["True", "announced", "own"]


def test_uvloop_does_not_tell_its_handler_so_the_server_does():
    """Under uvloop what the server does at SIGTERM comes from the server's own objects."""
    require(importlib.util.find_spec("uvloop"), "uvloop")
    assert run(LOOP + "\n    import uvloop\n    uvloop.run(main())\n") == ["True", "announced", "own"]
