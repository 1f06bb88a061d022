"""The runtimes that networks ship in: one file each, one line each in `RUNTIMES`."""

from __future__ import annotations

import torch

from nas.base.errors import SpecError
from nas.base.machine import processor
from nas.latency.device import Clock, Device
from nas.latency.runtime.eager import CUDA, TORCH
from nas.latency.runtime.executorch import EXECUTORCH
from nas.latency.runtime.litert import LITERT
from nas.latency.runtime.ncnn import NCNN
from nas.latency.runtime.onnxruntime import ONNXRUNTIME, load_onnx, runtime_name, to_onnx
from nas.latency.runtime.openvino import OPENVINO
from nas.latency.runtime.runtime import Runtime, Session
from nas.latency.runtime.tensorrt import TENSORRT

__all__ = [
    "RUNTIMES",
    "Runtime",
    "Session",
    "check_device",
    "clock_of",
    "core_of",
    "device_named",
    "hardware_of",
    "load_onnx",
    "runtime_name",
    "to_onnx",
]

RUNTIMES: dict[str, Runtime] = {
    runtime.name: runtime
    for runtime in (ONNXRUNTIME, OPENVINO, LITERT, EXECUTORCH, NCNN, TORCH, CUDA, TENSORRT)
}


def device_named(name: str) -> Device:
    """Return the device of a name such as `openvino-threads4-batch8`.

    Raises SpecError for a name that says something twice, and as `check_device` does.
    """
    return check_device(Device.parse(name))


def check_device(device: Device) -> Device:
    """Return the device itself, when it can be.

    Raises SpecError for a runtime or a precision that there is not, and for threads on a GPU.
    """
    if device.runtime not in RUNTIMES:
        raise SpecError(f"unknown runtime {device.runtime!r}; known: {', '.join(RUNTIMES)}")
    runtime = RUNTIMES[device.runtime]
    if device.precision not in runtime.precisions:
        allowed = ", ".join(runtime.precisions)
        raise SpecError(f"{device.runtime} has no {device.precision!r}; allowed: {allowed}")
    if runtime.clock == "device" and device.threads > 1:
        raise SpecError(f"threads {device.threads}; {device.runtime} runs on a GPU: leave it at 1")
    return device


def clock_of(device: Device) -> Clock:
    """Return what a device's time is told by: on several threads only the wall clock will do."""
    return "wall" if device.threads > 1 else RUNTIMES[device.runtime].clock


def hardware_of(device: Device) -> str:
    """Return the name of what a device's networks run on: the GPU, or the processor."""
    on_gpu = RUNTIMES[device.runtime].clock == "device"
    return torch.cuda.get_device_name() if on_gpu else processor()


def core_of(device: Device) -> int | None:
    """Return the core to stay on; None where the runtime's own threads need all of them."""
    return 0 if clock_of(device) == "thread" else None
