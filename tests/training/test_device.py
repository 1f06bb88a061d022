from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest
import torch

from nas.base.errors import SpecError
from nas.training.device import (
    TRAIN_ON,
    best_device,
    check_placement,
    forget_memory,
    out_of_memory,
    random_streams,
    visible_gpus,
)

GLIBC = platform.libc_ver()[0] == "glibc"


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)


def test_a_gpu_is_taken_and_others_are_where_they_are_asked_for(
    two_gpus: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert best_device() == torch.device("cuda")
    for name in ("cpu", "mps", "xpu"):
        if name != "cpu":
            monkeypatch.setattr(getattr(torch, name), "is_available", lambda: True)
        monkeypatch.setenv(TRAIN_ON, name)
        assert best_device() == torch.device(name)
        assert visible_gpus() == []
    monkeypatch.setenv(TRAIN_ON, "tpu")
    with pytest.raises(SpecError, match="NAS_TRAIN_ON=tpu; allowed: cpu, cuda, mps, xpu"):
        best_device()


def test_a_device_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cuda", "mps", "xpu"):
        monkeypatch.setattr(getattr(torch, name), "is_available", lambda: False)
        monkeypatch.setenv(TRAIN_ON, name)
        with pytest.raises(SpecError, match=f"NAS_TRAIN_ON={name}, and torch sees none; unset it"):
            best_device()
    monkeypatch.delenv(TRAIN_ON)
    assert best_device() == torch.device("cpu") and visible_gpus() == []


def test_gpus_are_called_as_they_were_given(
    two_gpus: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_gpus() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-8a2f")
    assert visible_gpus() == ["3", "GPU-8a2f"]


def test_random_streams_are_of_one_device(two_gpus: None) -> None:
    """All of several GPUs would be warned of, and warnings are errors here."""
    assert random_streams(torch.device("cuda")) == {"devices": [1], "device_type": "cuda"}
    for name in ("cpu", "mps"):
        assert random_streams(torch.device(name)) == {"devices": []}
        with torch.random.fork_rng(**random_streams(torch.device(name))):
            torch.rand(1)


def test_streams_are_of_cuda() -> None:
    for name in ("cpu", "mps", "xpu"):
        with pytest.raises(SpecError, match=f"trainings run on {name} here; use processes"):
            check_placement("streams", torch.device(name))
        check_placement("auto", torch.device(name))
    check_placement("streams", torch.device("cuda"))


def test_memory_that_ran_out_is_told_by_its_errors() -> None:
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"))
    assert not out_of_memory(RuntimeError("sizes of tensors must match"))
    forget_memory(torch.device("cpu"))


@pytest.mark.skipif(not GLIBC, reason="the C library is not glibc")
def test_what_a_process_keeps_on_a_cpu_is_given_back() -> None:
    program = """
import torch
from nas.base.freed_memory import keep_freed_memory
from nas.training.device import forget_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])

keep_freed_memory()
torch.ones(1000)
maps = [torch.ones(1_000_000) for _ in range(50)]
most = resident()
del maps
kept = resident()
forget_memory(torch.device("cpu"))
print(most, kept, resident())
"""
    plain = {name: text for name, text in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=plain, capture_output=True, text=True, check=True)
    most, kept, then = map(int, done.stdout.split())
    assert then < most - 40_000  # of 48,800 pages
    assert kept > then + 40_000
