"""The C heap: what malloc holds, whose malloc it is, and giving pages back."""

import ctypes
import os
import platform
import random
import shutil
import subprocess
import sys
import textwrap

import pytest

from leakguard.probes import heap
from leakguard.probes.process import ProcessProbe

MIB = 1024 * 1024

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="reads the heap of glibc")


def fresh(code: str, **environment: str) -> list[str]:
    """The words that ``code`` prints in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(("pieces", "size"), [(20_000, 2_000), (20, 2 * MIB)], ids=["heap", "mapped"])
def test_native_memory_shows_and_goes(pieces, size):
    """What C code mallocs is counted, small pieces and mapped ones, and no longer when it is freed."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    before = heap.in_use()
    pointers = [libc.malloc(size) for _ in range(pieces)]
    during = heap.in_use()
    for pointer in pointers:
        libc.free(pointer)
    after = heap.in_use()
    assert during - before == pytest.approx(pieces * size, rel=0.05)
    assert during - after == pytest.approx(pieces * size, rel=0.05)


def test_small_python_objects_are_not_seen():
    """Objects up to 512 bytes come from Python's own arenas, which the C heap does not count."""
    before = heap.in_use()
    objects = [object() for _ in range(200_000)]
    # The list itself is one large block of the C heap; its items are not.
    assert heap.in_use() - before < sys.getsizeof(objects) + MIB


def test_glibc_and_psutil_agree(monkeypatch):
    """Where glibc cannot be asked psutil is, and tells the same."""
    through_glibc = heap.in_use()
    monkeypatch.setattr(heap, "_function", lambda name, *, held=False: None)
    heap._reader.cache_clear()
    try:
        assert heap.in_use() == pytest.approx(through_glibc, rel=0.05)
        monkeypatch.delattr("psutil.heap_info")
        heap._reader.cache_clear()
        assert heap.in_use() is None
    finally:
        heap._reader.cache_clear()


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_another_malloc_is_not_mistaken_for_glibcs(tmp_path):
    """Under a preloaded malloc glibc's figures describe a heap that nobody uses, so the answer is "unknown"."""
    source = tmp_path / "other.c"
    source.write_text("""
        #include <stddef.h>
        void *__libc_malloc(size_t size);
        void *malloc(size_t size) { return __libc_malloc(size); }
    """)
    library = tmp_path / "other.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True, timeout=60)
    code = "from leakguard.probes import heap; print(heap.foreign(), heap.in_use(), heap.trim())"
    assert fresh(code, LD_PRELOAD=str(library)) == ["True", "None", "False"]
    first, used, _ = fresh(code)
    assert first == "False"
    assert int(used) > 0


def test_trim_gives_fragmented_pages_back():
    """Buffers freed between others that stay come back to the kernel only when trimmed."""
    probe = ProcessProbe()
    chosen = random.Random(7)
    buffers = [bytes(chosen.randrange(600, 4000)) for _ in range(40_000)]
    kept = [buffer for buffer in buffers if chosen.random() < 0.02]
    del buffers
    before = probe.rss()
    assert heap.trim() is True
    after = probe.rss()
    probe.close()
    assert kept
    assert before - after > 30 * MIB
