"""Memory limits: nested, hybrid, hidden behind namespaces; each trap is a tree of its own."""

import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leakguard.probes.limits import Limit, find_limit

MIB = 1024 * 1024
GIB = 1024 * MIB
NONE_V1 = 9223372036854771712


class Machine:
    """A machine under a temporary root: its ``/proc`` files and whatever is mounted."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.groups: list[str] = []
        self.mounts: list[str] = ["23 1 254:0 / / rw,noatime shared:1 - ext4 /dev/root rw"]
        self.write(
            "/proc/meminfo", f"MemTotal: {8 * GIB // 1024} kB\nMemFree: 1 kB\nMemAvailable: {6 * GIB // 1024} kB\n"
        )

    def write(self, path: str, text: object) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")

    def version_2(self, group: str, base: str = "/", point: str = "/sys/fs/cgroup") -> None:
        self.groups.append(f"0::{group}")
        self.mounts.append(f"35 30 0:30 {base} {point} rw,nosuid shared:9 master:3 - cgroup2 cgroup2 rw,nsdelegate")

    def version_1(
        self, group: str, base: str = "/", point: str = "/sys/fs/cgroup/memory", controllers: str = "memory"
    ) -> None:
        self.groups.append(f"4:{controllers}:{group}")
        self.mounts.append(f"36 30 0:31 {base} {point} rw,relatime - cgroup cgroup rw,{controllers}")

    def limit(self) -> Limit:
        self.write("/proc/self/cgroup", "\n".join(["9:pids:/", "3:cpuset:/elsewhere", *self.groups]))
        self.write("/proc/self/mountinfo", "\n".join([*self.mounts, "garbage"]))
        return find_limit(self.root)


@pytest.fixture
def machine(tmp_path):
    """A machine under a root of its own."""
    return Machine(tmp_path)


def test_no_group_leaves_the_machine_itself(machine):
    """Without any control group the machine's memory is the limit and what is free of it the room."""
    assert machine.limit() == Limit(8 * GIB, "MemTotal", 6 * GIB)


def test_version_2_in_a_namespace_of_its_own(machine):
    """A container that sees itself as the root reads its limit at the mount point."""
    machine.version_2("/")
    machine.write("/sys/fs/cgroup/memory.max", 512 * MIB)
    machine.write("/sys/fs/cgroup/memory.current", 300 * MIB)
    machine.write("/sys/fs/cgroup/memory.stat", f"anon 1\ninactive_file {100 * MIB}\nactive_file 7")
    assert machine.limit() == Limit(512 * MIB, "cgroup v2 /sys/fs/cgroup/memory.max", 312 * MIB)


def test_version_2_max_means_none(machine):
    """The word "max" is no limit."""
    machine.version_2("/app.slice")
    machine.write("/sys/fs/cgroup/app.slice/memory.max", "max")
    machine.write("/sys/fs/cgroup/app.slice/memory.high", "max")
    assert machine.limit().source == "MemTotal"


def test_limits_nest_and_the_smallest_counts(machine):
    """An ancestor's smaller limit binds the group below it."""
    machine.version_2("/system.slice/app.service")
    machine.write("/sys/fs/cgroup/system.slice/app.service/memory.max", 2 * GIB)
    machine.write("/sys/fs/cgroup/system.slice/memory.max", 1 * GIB)
    limit = machine.limit()
    assert (limit.size, limit.source) == (1 * GIB, "cgroup v2 /sys/fs/cgroup/system.slice/memory.max")


def test_room_is_that_of_the_fullest_level(machine):
    """A larger group that its neighbours have filled leaves less room than the smaller one below it."""
    machine.version_2("/a/b")
    machine.write("/sys/fs/cgroup/a/b/memory.max", 1 * GIB)
    machine.write("/sys/fs/cgroup/a/b/memory.current", 100 * MIB)
    machine.write("/sys/fs/cgroup/a/memory.max", 4 * GIB)
    machine.write("/sys/fs/cgroup/a/memory.current", 4 * GIB - 50 * MIB)
    assert machine.limit() == Limit(1 * GIB, "cgroup v2 /sys/fs/cgroup/a/b/memory.max", 50 * MIB)


def test_room_is_never_negative_and_never_more_than_the_limit(machine):
    """Usage above the limit leaves no room; inactive cache above the usage does not invent any."""
    machine.version_2("/a")
    machine.write("/sys/fs/cgroup/a/memory.max", 100 * MIB)
    machine.write("/sys/fs/cgroup/a/memory.current", 120 * MIB)
    assert machine.limit().available == 0
    machine.write("/sys/fs/cgroup/a/memory.current", 10 * MIB)
    machine.write("/sys/fs/cgroup/a/memory.stat", f"inactive_file {50 * MIB}")
    assert machine.limit().available == 100 * MIB


def test_room_is_unknown_only_when_nobody_tells(machine):
    """A limit without its usage still leaves the machine's room; without that too it is unknown."""
    machine.version_2("/a")
    machine.write("/sys/fs/cgroup/a/memory.max", 100 * MIB)
    assert machine.limit().available == 6 * GIB
    machine.write("/proc/meminfo", f"MemTotal: {8 * GIB // 1024} kB")
    assert machine.limit().available is None


def test_memory_high_counts(machine):
    """A process above memory.high is throttled to a crawl, so it is a limit."""
    machine.version_2("/a")
    machine.write("/sys/fs/cgroup/a/memory.max", 512 * MIB)
    machine.write("/sys/fs/cgroup/a/memory.high", 448 * MIB)
    limit = machine.limit()
    assert (limit.size, limit.source) == (448 * MIB, "cgroup v2 /sys/fs/cgroup/a/memory.high")


def test_version_1_limit_and_its_working_set(machine):
    """Version 1 counts the inactive page cache of the groups below as well."""
    machine.version_1("/app")
    machine.write("/sys/fs/cgroup/memory/app/memory.limit_in_bytes", 400 * MIB)
    machine.write("/sys/fs/cgroup/memory/app/memory.usage_in_bytes", 380 * MIB)
    machine.write("/sys/fs/cgroup/memory/app/memory.stat", f"inactive_file 1\ntotal_inactive_file {80 * MIB}")
    assert machine.limit() == Limit(400 * MIB, "cgroup v1 /sys/fs/cgroup/memory/app/memory.limit_in_bytes", 100 * MIB)


@pytest.mark.parametrize("none", [NONE_V1, 9223372036854710272, 9223372036854775807, -1])
def test_version_1_huge_number_means_none(machine, none):
    """The largest number, whatever the page size, is no limit."""
    machine.version_1("/app")
    machine.write("/sys/fs/cgroup/memory/app/memory.limit_in_bytes", none)
    machine.write("/sys/fs/cgroup/memory/app/memory.stat", f"hierarchical_memory_limit {none}")
    machine.write("/proc/meminfo", "")
    assert machine.limit() == Limit(None, "unknown", None)


def test_version_1_levels_above_the_mount_are_known_from_the_statistics(machine):
    """The kernel's own smallest of all levels tells of ancestors that the container cannot see."""
    machine.version_1("/docker/abc", base="/docker/abc")
    machine.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", NONE_V1)
    machine.write("/sys/fs/cgroup/memory/memory.usage_in_bytes", 56 * MIB)
    machine.write("/sys/fs/cgroup/memory/memory.stat", f"hierarchical_memory_limit {256 * MIB}")
    limit = machine.limit()
    assert (limit.size, limit.available) == (256 * MIB, 200 * MIB)
    assert limit.source.endswith("(hierarchical_memory_limit)")


def test_version_1_group_that_opted_out_of_nesting(machine):
    """Where a version 1 group does not bind those below it, its smaller limit does not count."""
    machine.version_1("/a/b")
    machine.write("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", 400 * MIB)
    machine.write("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", 100 * MIB)
    machine.write("/sys/fs/cgroup/memory/a/memory.use_hierarchy", 1)
    assert machine.limit().size == 100 * MIB
    machine.write("/sys/fs/cgroup/memory/a/memory.use_hierarchy", 0)
    assert machine.limit().size == 400 * MIB


def test_version_1_controllers_may_share_a_hierarchy(machine):
    """The memory controller is found among others mounted with it."""
    machine.version_1("/app", controllers="cpu,memory")
    machine.write("/sys/fs/cgroup/memory/app/memory.limit_in_bytes", 64 * MIB)
    assert machine.limit().size == 64 * MIB


@pytest.mark.parametrize(("first", "second"), [("256", "384"), ("384", "256"), ("max", "256"), ("256", NONE_V1)])
def test_hybrid_machines_have_both_and_the_smaller_counts(machine, first, second):
    """Where both versions are mounted, the truth may lie in either."""
    machine.version_2("/", point="/sys/fs/cgroup/unified")
    machine.version_1("/process/1f")
    in_bytes = {"256": 256 * MIB, "384": 384 * MIB}
    machine.write("/sys/fs/cgroup/unified/memory.max", in_bytes.get(first, first))
    machine.write("/sys/fs/cgroup/memory/process/1f/memory.limit_in_bytes", in_bytes.get(second, second))
    assert machine.limit().size == 256 * MIB


def test_mounted_part_of_a_hierarchy_is_stripped_from_the_path(machine):
    """In a container that shares the group namespace, what is mounted is a part, and the path is of the whole."""
    machine.version_1("/docker/abc/worker", base="/docker/abc")
    machine.write("/sys/fs/cgroup/memory/worker/memory.limit_in_bytes", 128 * MIB)
    machine.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", 256 * MIB)
    assert machine.limit().size == 128 * MIB


def test_part_is_matched_by_whole_names(machine):
    """``/docker/abcdef`` does not lie below ``/docker/abc``."""
    machine.version_1("/docker/abcdef", base="/docker/abc")
    machine.write("/sys/fs/cgroup/memory/def/memory.limit_in_bytes", 1 * MIB)
    machine.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", 256 * MIB)
    assert machine.limit().size == 256 * MIB


@pytest.mark.parametrize("group", ["/docker/abc", "/../../docker/abc", "/gone (deleted)"])
def test_path_that_names_nothing_falls_back_to_the_mount(machine, group):
    """A group from outside the namespace names nothing here; the mount point is the container's own group."""
    machine.version_2(group)
    machine.write("/sys/fs/cgroup/memory.max", 256 * MIB)
    assert machine.limit().size == 256 * MIB


def test_path_never_leads_out_of_the_mount(machine):
    """Dots in the group's path cannot make the probe read another file."""
    machine.version_2("/../elsewhere")
    machine.write("/sys/fs/elsewhere/memory.max", 1 * MIB)
    machine.write("/sys/fs/cgroup/memory.max", 256 * MIB)
    assert machine.limit().size == 256 * MIB


def test_second_mount_of_the_same_hierarchy_does_not_mislead(machine):
    """Another container's part, mounted here for monitoring, is not ours when one fits."""
    machine.mounts.append("40 30 0:31 /docker/other /mnt/other rw - cgroup cgroup rw,memory")
    machine.version_1("/docker/abc", base="/docker/abc")
    machine.write("/mnt/other/memory.limit_in_bytes", 1 * MIB)
    machine.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", 256 * MIB)
    assert machine.limit().size == 256 * MIB


def test_blanks_and_colons_in_names(machine):
    """A mount point with a blank and a group with a colon are read as they are."""
    machine.version_2("/app:1.service", point="/sys/fs/my\\040cgroup")
    machine.write("/sys/fs/my cgroup/app:1.service/memory.max", 32 * MIB)
    assert machine.limit().size == 32 * MIB


def test_limit_above_the_machine_is_no_limit(machine):
    """A group may be allowed more than the machine has."""
    machine.version_2("/a")
    machine.write("/sys/fs/cgroup/a/memory.max", 64 * GIB)
    assert machine.limit().source == "MemTotal"


@pytest.mark.parametrize("nonsense", ["", "\0", "12 MB", "-5", "0", "٣", "1e9", "max max"])
def test_nonsense_in_a_file_does_not_count(machine, nonsense):
    """A file that does not hold a limit is passed over."""
    machine.version_2("/a")
    machine.write("/sys/fs/cgroup/a/memory.max", nonsense)
    machine.write("/sys/fs/cgroup/a/memory.current", nonsense)
    machine.write("/sys/fs/cgroup/a/memory.stat", f"inactive_file {nonsense}\n{nonsense}")
    assert machine.limit().source == "MemTotal"


words = st.text(alphabet=st.characters(codec="utf-8") | st.sampled_from("/:.- \n0cgroup2memory"), max_size=200)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cgroup=words, mountinfo=words, meminfo=words)
def test_nothing_in_proc_can_raise(tmp_path, cgroup, mountinfo, meminfo):
    """Whatever the kernel or a sandbox writes there, an answer comes back."""
    for name, text in (("self/cgroup", cgroup), ("self/mountinfo", mountinfo), ("meminfo", meminfo)):
        file = tmp_path / "proc" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    limit = find_limit(tmp_path)
    assert limit.size is None or limit.size > 0


def test_this_machine():
    """On the real machine the limit is at most its memory and the room at most the limit."""
    limit = find_limit()
    assert limit.size is not None and 0 < limit.size <= psutil.virtual_memory().total
    assert limit.available is not None and 0 < limit.available <= limit.size


def test_address_space_limit_of_a_real_process():
    """``RLIMIT_AS`` binds, and what is mapped already is taken off its room."""
    code = textwrap.dedent("""
        import mmap, resource
        from leakguard.probes.limits import find_limit
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        before = find_limit()
        mapped = mmap.mmap(-1, 256 << 20)
        after = find_limit()
        print(before.size, before.source, before.available < before.size, before.available - after.available >= 256 << 20)
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == [str(1 << 30), "RLIMIT_AS", "True", "True"]
