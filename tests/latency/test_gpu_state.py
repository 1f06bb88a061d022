from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from support.tiny_network import Tiny

from nas.latency import gpu_state
from nas.latency.device import Clock
from nas.latency.gpu_state import GpuState, conditions_during, describe
from nas.latency.runtime import RUNTIMES, device_named, hardware_of
from nas.latency.runtime.onnxruntime import load_onnx, to_onnx


@pytest.mark.parametrize(
    "line, said",
    [
        ("1980, 1980, 41, 0x0000000000000000", "1980 of 1980 MHz, 41 C, not held back"),
        ("345, 1980, 30, 0x0000000000000001", "345 of 1980 MHz, 30 C, not held back"),  # idle
        ("1200, 1980, 86, 0x0000000000000024", "held back by its power cap and its heat"),
        ("900, 1980, 90, 0x0000000000000060", "held back by its heat"),
        ("900, 1980, 90, 0x0000000000000088", "held back by its hardware and its power supply"),
    ],
)
def test_a_clock_is_said_and_what_held_it_back(line: str, said: str) -> None:
    state = GpuState.parse(line + "\n")
    assert state is not None
    told = describe([state])
    assert told is not None and told.endswith(said)


def test_several_looks_are_one_line() -> None:
    looks = [GpuState.of(*look) for look in ((1980, 1980, 41, 0), (1500, 1980, 86, 0x24))]
    assert describe(looks) == (
        "1500 to 1980 of 1980 MHz, 86 C, held back by its power cap and its heat in 1 of 2 looks"
    )
    assert describe([]) is None


@pytest.mark.parametrize("line", ["", "[N/A], 1980, 41, 0x0", "1980, 1980, 41", "No devices"])
def test_what_a_board_does_not_tell_is_not_made_up(line: str) -> None:
    assert GpuState.parse(line) is None


def told(clock: Clock = "device") -> str | None:
    found, conditions = conditions_during(clock, lambda given: given, 3)
    assert found == 3
    return conditions


def test_the_first_visible_gpu_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\n[ "$4" = GPU-7 ] && echo "1500, 1980, 60, 0x4"\n')
    program.chmod(0o755)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-7,GPU-8")
    assert gpu_state._read_gpu_state() == GpuState(1500, 1980, 60, ("its power cap",))
    assert told("thread") is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-8")  # which ends with a fault there
    assert told() is None
    program.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert told() is None


def test_a_gpu_is_looked_at_while_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a measurement its clock has fallen."""
    looked = threading.Event()
    working = False

    def look() -> GpuState:
        state = GpuState(1980 if working else 210, 1980, 50)
        looked.set()
        return state

    def measure() -> str:
        nonlocal working
        working = True
        assert looked.wait(400)
        looked.clear()
        assert looked.wait(400)
        return "measured"

    monkeypatch.setattr(gpu_state, "_read_gpu_state", look)
    monkeypatch.setattr(gpu_state, "_EVERY_SECONDS", 0.01)
    found, conditions = conditions_during("device", measure)
    assert found == "measured" and conditions is not None and "1980 of 1980 MHz" in conditions


def test_what_a_measurement_raises_ends_the_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_state, "_read_gpu_state", lambda: GpuState(1, 1, 1))
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        conditions_during("device", lambda: 1 / 0)
    assert threading.active_count() == before


class NvmlError(Exception):
    pass


class Nvml:
    """What NVML's own package offers of a GPU with two names."""

    NVML_CLOCK_SM, NVML_TEMPERATURE_GPU, NVMLError = 1, 0, NvmlError

    def __init__(self) -> None:
        self.open = 0

    def nvmlInit(self) -> None:
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        return self.nvmlDeviceGetHandleByUUID(f"number {index}")

    def nvmlDeviceGetHandleByUUID(self, name: str) -> str:
        if name not in ("number 1", "GPU-7"):
            raise NvmlError(name)
        return "the GPU"

    def nvmlDeviceGetClockInfo(self, gpu: str, kind: int) -> int:
        return 1700

    def nvmlDeviceGetMaxClockInfo(self, gpu: str, kind: int) -> int:
        return 1980

    def nvmlDeviceGetTemperature(self, gpu: str, sensor: int) -> int:
        return 55

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, gpu: str) -> int:
        return 0x20


@pytest.mark.parametrize(
    ("visible", "uuid", "known"),
    [("1", None, True), ("0", None, False), ("GPU-7", None, True), ("0", "7", True)],
)
def test_nvml_is_asked_where_its_package_is(
    visible: str, uuid: str | None, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)  # type: ignore[arg-type]
    monkeypatch.setenv("PATH", "")  # and no nvidia-smi
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: uuid is not None)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda: SimpleNamespace(uuid=uuid))
    found = gpu_state._read_gpu_state()
    assert found == (GpuState(1700, 1980, 55, ("its heat",)) if known else None)
    assert nvml.open == 0


def test_networks_of_a_gpu_run_on_it_and_others_on_the_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")
    for name, runtime in RUNTIMES.items():
        assert (hardware_of(device_named(name)) == "Some GPU") == (runtime.clock == "device")


def test_a_graph_in_half_precision_is_what_tensorrt_is_given() -> None:
    """Since 11.x it takes its precision from the graph alone."""
    graph = onnx.load_from_string(to_onnx(Tiny("se"), (3, 16, 16), dtype=torch.float16))
    kinds = {tensor.data_type for tensor in graph.graph.initializer if len(tensor.dims) > 1}
    assert kinds == {onnx.TensorProto.FLOAT16}
    ends = graph.graph.input[0], graph.graph.output[0]
    assert {end.type.tensor_type.elem_type for end in ends} == {onnx.TensorProto.FLOAT16}
    whole = load_onnx(to_onnx(Tiny("se"), (3, 16, 16)))
    assert whole(np.zeros((1, 3, 16, 16), np.float32)).dtype == np.float32
