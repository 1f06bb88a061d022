"""OpenVINO on Intel and Arm CPUs, reading ONNX Runtime's graphs, the quantised ones too."""

# The package is optional, and has no types.
# mypy: disable-error-code="import-untyped, import-not-found"

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.latency.device import Device
from nas.latency.runtime.onnxruntime import write_onnx
from nas.latency.runtime.runtime import Runtime, Session

__all__ = ["OPENVINO"]


@functools.cache
def _core() -> Any:
    import openvino

    return openvino.Core()


def _read(graph: bytes, device: Device) -> Session:
    compiled = _core().compile_model(
        _core().read_model(graph),
        "CPU",
        {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": device.threads,
            # Where a thread runs is for the one who measures to say.
            "ENABLE_CPU_PINNING": False,
            # On newer CPUs it would take bfloat16 by itself.
            "INFERENCE_PRECISION_HINT": "f32",
        },
    )
    request = compiled.create_infer_request()

    def infer(images: NDArray[np.float32]) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = request.infer([images])[0]
        return scores

    return infer


OPENVINO = Runtime(
    name="openvino",
    precisions=("fp32", "int8"),
    # One stream of one thread runs on the thread that calls, whatever threads it starts besides.
    clock="thread",
    packages=("openvino", "onnx"),
    install='pip install "attention-nas[openvino]"',
    write=write_onnx,
    read=_read,
)
