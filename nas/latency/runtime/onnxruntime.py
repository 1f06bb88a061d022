"""ONNX Runtime: it turns a network into a graph, quantises it, and runs it."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nas.base.errors import MeasurementError
from nas.base.size import Resolution
from nas.latency.device import Device
from nas.latency.runtime.runtime import Runtime, Session, Shape, first_line, full_shape

__all__ = ["ONNXRUNTIME", "load_onnx", "quantise", "runtime_name", "to_onnx", "write_onnx"]

INPUT, OUTPUT = "images", "scores"
_OPSET = 18
_CALIBRATION_BATCHES = 8


def runtime_name() -> str:
    """Return the runtime with its version."""
    import onnxruntime

    return f"onnxruntime {onnxruntime.__version__}"


def to_onnx(
    network: nn.Module,
    shape: tuple[int, ...] | Resolution,
    *,
    batch: int = 1,
    dynamic_batch: bool = False,
    dtype: torch.dtype = torch.float32,
) -> bytes:
    """Write a network as an ONNX graph.

    It uses torch's TorchScript exporter: for these networks it takes 0.7 s where the newer one
    takes 6.5 s, and both graphs run alike.

    shape: as in `Runtime.convert`; or of whatever else a module reads in a batch.
    dynamic_batch: whether the graph takes any batch.
    dtype: of weights, images and scores; the network has it afterwards.
    Raises MeasurementError for an operator that the exporter does not know.
    """
    buffer = io.BytesIO()
    size = shape if isinstance(shape, tuple) else full_shape(shape)
    image = torch.zeros(batch, *size, dtype=dtype)
    axes = {INPUT: {0: "batch"}, OUTPUT: {0: "batch"}} if dynamic_batch else None
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    try:
        logger.setLevel(logging.ERROR)
        with _without_log(), warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network.eval().to("cpu", dtype),
                (image,),
                buffer,  # type: ignore[arg-type]
                dynamo=False,
                opset_version=_OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_axes=axes,
            )
    except Exception as error:  # the exporter raises whatever an operator provokes
        raise MeasurementError(
            f"this network cannot be written as ONNX: {_reason(error)}"
        ) from error
    finally:
        logger.setLevel(level)
    return buffer.getvalue()


def _reason(error: Exception) -> str:
    """Return the exporter's reason without what it asks its users for."""
    return first_line(error).partition(". Please ")[0]


@contextlib.contextmanager
def _without_log() -> Iterator[None]:
    """Keep the exporter from printing whole graphs when it fails.

    It switches that log on by itself: it asks whether the function that tells is true.
    """
    switch = torch._C._jit_set_onnx_log_enabled
    switch(False)
    torch._C._jit_set_onnx_log_enabled = lambda enabled: None
    try:
        yield
    finally:
        torch._C._jit_set_onnx_log_enabled = switch


def load_onnx(graph: bytes | Path, *, threads: int = 1) -> Session:
    """Load a graph into ONNX Runtime on the CPU.

    graph: its content, or its file.
    Raises MeasurementError when it cannot be loaded.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # A spinning thread pool takes the core from the training beside it.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source = str(graph) if isinstance(graph, Path) else graph
    try:
        session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common public base
        raise MeasurementError(f"ONNX Runtime cannot load the graph: {error}") from None

    def infer(images: NDArray[np.float32]) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = session.run([OUTPUT], {INPUT: images})[0]
        return scores

    return infer


def write_onnx(network: nn.Module, shape: Shape, batch: int, precision: str) -> bytes:
    """Write a graph of one batch size, in fp32 or int8.

    Raises MeasurementError for an operator that the exporter does not know.
    """
    graph = to_onnx(network, shape, batch=batch)
    # Ranges seen on random images are right for time, not for scores.
    return quantise(graph, _random((batch, *shape))) if precision == "int8" else graph


def quantise(
    graph: bytes, batches: Iterable[NDArray[np.float32]], *, symmetric: bool = False
) -> bytes:
    """Quantise a graph statically (QDQ, per channel), with the ranges seen on these batches.

    batches: (N, 3, H, W) each.
    symmetric: whether all zero points are 0 and biases stay in fp32, as TensorRT wants them.
    """
    # These imports take half a second, and fp32 does without.
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        plain, prepared = Path(folder, "plain.onnx"), Path(folder, "prepared.onnx")
        path = Path(folder, "int8.onnx")
        # As a file: of a graph in memory it does not find the shapes that constants hold.
        plain.write_bytes(graph)
        # The symbolic half knows fewer operators, and all shapes are fixed here.
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            path,
            _Batches(batches),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            # Signed activations take twice the time on x86.
            activation_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # Its own kernel refuses what it writes for batched products (FCA's) by itself.
            extra_options={
                "QDQOpTypePerChannelSupportToAxis": {"MatMul": -1},
                **({"ActivationSymmetric": True, "QuantizeBias": False} if symmetric else {}),
            },
        )
        return path.read_bytes()


def _random(shape: tuple[int, int, int, int]) -> Iterator[NDArray[np.float32]]:
    generator = np.random.default_rng(0)
    for _ in range(_CALIBRATION_BATCHES):
        yield generator.standard_normal(shape, np.float32)


class _Batches:
    """The images in the form that the quantiser reads them."""

    def __init__(self, batches: Iterable[NDArray[np.float32]]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def _read(graph: bytes, device: Device) -> Session:
    return load_onnx(graph, threads=device.threads)


ONNXRUNTIME = Runtime(
    name="onnxruntime",
    precisions=("fp32", "int8"),
    clock="thread",
    packages=("onnxruntime", "onnx"),
    install="pip install attention-nas",
    write=write_onnx,
    read=_read,
)
