"""The runtimes that networks ship in: one file each, one line each in `RUNTIMES`."""

from __future__ import annotations

from nas.latency.runtime.eager import CUDA, TORCH
from nas.latency.runtime.executorch import EXECUTORCH
from nas.latency.runtime.litert import LITERT
from nas.latency.runtime.ncnn import NCNN
from nas.latency.runtime.onnxruntime import ONNXRUNTIME, load_onnx, runtime_name, to_onnx
from nas.latency.runtime.openvino import OPENVINO
from nas.latency.runtime.runtime import Clock, Runtime, Session

__all__ = ["RUNTIMES", "Clock", "Runtime", "Session", "load_onnx", "runtime_name", "to_onnx"]

RUNTIMES: dict[str, Runtime] = {
    runtime.name: runtime
    for runtime in (ONNXRUNTIME, OPENVINO, LITERT, EXECUTORCH, NCNN, TORCH, CUDA)
}
