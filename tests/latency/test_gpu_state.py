from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from support.tiny_network import Tiny

from nas.latency.gpu_state import GpuState, conditions_of
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
    assert state is not None and str(state).endswith(said)


@pytest.mark.parametrize("line", ["", "[N/A], 1980, 41, 0x0", "1980, 1980, 41", "No devices"])
def test_what_a_board_does_not_tell_is_not_made_up(line: str) -> None:
    assert GpuState.parse(line) is None


def test_the_first_visible_gpu_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\n[ "$4" = GPU-7 ] && echo "1500, 1980, 60, 0x4"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-7,GPU-8")
    assert conditions_of("device") == "1500 of 1980 MHz, 60 C, held back by its power cap"
    assert conditions_of("thread") is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-8")  # which ends with a fault there
    assert conditions_of("device") is None
    program.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert conditions_of("device") is None


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
