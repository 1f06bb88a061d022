"""TensorRT on GPUs of NVIDIA: an engine is built of the ONNX graph, for the GPU that is here.

By NVIDIA's guide of 10.x and 11.x: networks are strongly typed, so fp16 is what the graph says. It
has not been run on a GPU yet.
"""

# The package is optional, and has no types.
# mypy: disable-error-code="import-untyped, import-not-found"

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nas.base.errors import MeasurementError
from nas.latency.device import Device
from nas.latency.runtime.eager import DTYPES
from nas.latency.runtime.onnxruntime import INPUT, OUTPUT, to_onnx
from nas.latency.runtime.runtime import Runtime, Session, Shape

__all__ = ["TENSORRT", "build_engine"]


@functools.cache
def _logger() -> Any:
    import tensorrt

    return tensorrt.Logger(tensorrt.Logger.ERROR)


def _write(network: nn.Module, shape: Shape, batch: int, precision: str) -> bytes:
    return build_engine(to_onnx(network, shape, batch=batch, dtype=DTYPES[precision]))


def build_engine(graph: bytes) -> bytes:
    """Build an engine of an ONNX graph, for the GPU that is here, in the precision of the graph.

    Raises MeasurementError where TensorRT cannot.
    """
    import tensorrt

    builder = tensorrt.Builder(_logger())
    # Known to 10.x, and what 11.x does anyway.
    typed = 1 << int(tensorrt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    definition = builder.create_network(typed)
    parser = tensorrt.OnnxParser(definition, _logger())
    if not parser.parse(graph):
        raise MeasurementError(f"tensorrt cannot read this network: {parser.get_error(0).desc()}")
    config = builder.create_builder_config()
    config.clear_flag(tensorrt.BuilderFlag.TF32)  # which is not fp32
    engine = builder.build_serialized_network(definition, config)
    if engine is None:
        raise MeasurementError("tensorrt cannot build an engine of this network for this GPU")
    return bytes(engine)


class _Engine:
    """An engine with its memory on the GPU.

    device_ms: of the last call, between events around the network alone, without the copies.
    """

    def __init__(self, graph: bytes, device: Device) -> None:
        import tensorrt

        self._runtime = tensorrt.Runtime(_logger())  # which the engine needs for as long as it is
        self._engine = self._runtime.deserialize_cuda_engine(graph)
        if self._engine is None:
            raise MeasurementError("tensorrt cannot load the engine: it is of another GPU")
        self._context = self._engine.create_execution_context()
        self._images, self._scores = (
            torch.empty(
                tuple(self._engine.get_tensor_shape(name)),
                dtype=DTYPES[device.precision],
                device="cuda",
            )
            for name in (INPUT, OUTPUT)
        )
        for name, tensor in ((INPUT, self._images), (OUTPUT, self._scores)):
            self._context.set_tensor_address(name, tensor.data_ptr())
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._before = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        self._after = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        self.device_ms = 0.0

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run one inference of the batch that the engine was built for."""
        with torch.cuda.stream(self._stream):
            self._images.copy_(torch.from_numpy(images))
            self._before.record()
            self._context.execute_async_v3(self._stream.cuda_stream)
            self._after.record()
            self._after.synchronize()
            self.device_ms = self._before.elapsed_time(self._after)
            scores: NDArray[np.float32] = self._scores.float().cpu().numpy()
        return scores


def _read(graph: bytes, device: Device) -> Session:
    return _Engine(graph, device)


TENSORRT = Runtime(
    name="tensorrt",
    precisions=("fp32", "fp16"),
    clock="device",
    packages=("tensorrt", "onnx"),
    install='pip install "attention-nas[tensorrt]"',
    write=_write,
    read=_read,
)
