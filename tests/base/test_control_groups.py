from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from nas.base.control_groups import allowed_cores, memory_within_limits
from nas.base.machine import available_memory, usable_cores

UNLIMITED = 9223372036854771712
"""What version 1 says where there is no limit."""


def tree(root: Path, group: str, files: Mapping[str, object]) -> Path:
    """Make a file system. group: /proc/self/cgroup; files: those below /sys/fs/cgroup."""
    for name, content in {"proc/self/cgroup": group, **_placed(files)}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return root


def _placed(files: Mapping[str, object]) -> dict[str, object]:
    return {f"sys/fs/cgroup/{name}": content for name, content in files.items()}


@pytest.mark.parametrize(
    ("group", "files", "free"),
    [
        pytest.param("0::/", {"memory.max": 1000, "memory.current": 400}, 600, id="a container"),
        pytest.param(
            "0::/",
            {
                "memory.max": 1000,
                "memory.current": 900,
                "memory.stat": "anon 500\ninactive_file 300\nactive_file 50\ninactive_anon 7",
            },
            450,
            id="cached files are free",
        ),
        pytest.param("0::/", {"memory.max": 300, "memory.current": 400}, 0, id="nothing is left"),
        pytest.param("0::/", {"memory.max": "max", "memory.current": 400}, None, id="no limit"),
        pytest.param(
            "0::/job.slice/step",
            {
                "job.slice/memory.max": 1000,
                "job.slice/memory.current": 900,
                "job.slice/step/memory.max": 500,
                "job.slice/step/memory.current": 100,
            },
            100,
            id="the tightest of several",
        ),
        pytest.param(
            "0::/../../elsewhere", {"memory.max": 90, "memory.current": 1}, 89, id="a namespace"
        ),
        pytest.param(
            "5:cpu,cpuacct:/\n4:memory:/docker/1f\n0::/",
            {"memory/memory.limit_in_bytes": 800, "memory/memory.usage_in_bytes": 300},
            500,
            id="version 1, of which a container has the innermost folder alone",
        ),
        pytest.param(
            "4:memory:/slurm/job",
            {
                "memory/memory.limit_in_bytes": UNLIMITED,
                "memory/memory.usage_in_bytes": 5000,
                "memory/slurm/job/memory.limit_in_bytes": 800,
                "memory/slurm/job/memory.usage_in_bytes": 700,
                "memory/slurm/job/memory.stat": "inactive_file 9\ntotal_inactive_file 200",
            },
            300,
            id="version 1 of a scheduler",
        ),
        pytest.param("4:pids:/", {"pids/pids.max": 7}, None, id="another controller"),
    ],
)
def test_memory_is_what_the_tightest_limit_leaves(
    group: str, files: Mapping[str, object], free: int | None, tmp_path: Path
) -> None:
    assert memory_within_limits(tree(tmp_path, group, files)) == free


def test_the_machine_may_have_less_than_a_limit_leaves(tmp_path: Path) -> None:
    root = tree(tmp_path, "0::/", {"memory.max": 10_000_000, "memory.current": 0})
    assert available_memory(root) == 10_000_000
    (root / "proc/meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 3000 kB\n")
    assert available_memory(root) == 3000 * 1024
    (root / "sys/fs/cgroup/memory.max").write_text("5000")
    assert available_memory(root) == 5000


def test_systems_without_control_groups_have_no_limits(tmp_path: Path) -> None:
    assert memory_within_limits(tmp_path) is None
    assert allowed_cores(tmp_path) is None
    assert available_memory(tmp_path) is None
    assert usable_cores(tmp_path) >= 1


@pytest.mark.parametrize(
    ("group", "files", "cores"),
    [
        ("0::/", {"cpu.max": "150000 100000"}, 1.5),
        ("0::/", {"cpu.max": "max 100000"}, None),
        ("0::/a", {"cpu.max": "400000 100000", "a/cpu.max": "100000 50000"}, 2.0),
        (
            "3:cpu,cpuacct:/docker/1f",
            {"cpu/cpu.cfs_quota_us": 50000, "cpu/cpu.cfs_period_us": 100000},
            0.5,
        ),
        ("3:cpu:/", {"cpu/cpu.cfs_quota_us": -1, "cpu/cpu.cfs_period_us": 100000}, None),
    ],
)
def test_cores_are_the_time_that_is_allowed(
    group: str, files: Mapping[str, object], cores: float | None, tmp_path: Path
) -> None:
    assert allowed_cores(tree(tmp_path, group, files)) == cores


def test_part_of_a_core_is_one_to_work_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8), raising=False)
    for quota, cores in (("50000", 1), ("150000", 2), ("1600000", 8), ("max", 8)):
        assert usable_cores(tree(tmp_path, "0::/", {"cpu.max": f"{quota} 100000"})) == cores
