"""TensorRT: an engine for the GPU that builds it, with the ONNX graph that it is of beside it.

int8 is explicit, as NVIDIA's guide calls it: the graph says where, by QuantizeLinear and
DequantizeLinear, symmetrically, and biases stay as they are. It has not been run on a GPU yet.
"""

from __future__ import annotations

import torch

from nas.export.target.onnx import plain_onnx, quantised_onnx
from nas.export.target.target import Images, Target, WrittenGraph
from nas.export.winner import Winner
from nas.latency.runtime.tensorrt import TENSORRT as RUNTIME
from nas.latency.runtime.tensorrt import build_engine

__all__ = ["TENSORRT"]

_BUILD = "trtexec --onnx=network.onnx --saveEngine=network.engine --noTF32"


def _write(winner: Winner) -> WrittenGraph:
    return _built(plain_onnx(winner, dynamic_batch=False))


def _quantise(winner: Winner, images: Images) -> WrittenGraph:
    return _built(quantised_onnx(winner, images, dynamic_batch=False, symmetric=True))


def _built(graph: bytes) -> WrittenGraph:
    return WrittenGraph({".engine": build_engine(graph)}, source={".onnx": graph})


def _obstacle() -> str | None:
    if torch.cuda.is_available():
        return None
    return (
        "builds an engine for the GPU of NVIDIA that is here, and torch sees none; export where "
        f"there is one, or take --to onnx, and build it there: {_BUILD}"
    )


TENSORRT = Target(
    name="tensorrt",
    title="TensorRT",
    runs=("tensorrt", "torch"),  # whose memory on the GPU it reads and writes
    writes=("onnx", "onnxruntime"),
    install=RUNTIME.install,
    write=_write,
    main=".engine",
    clock=RUNTIME.clock,
    obstacle=_obstacle,
    quantise=_quantise,
    int8_suppresses=True,
    note="An engine runs on the kind of GPU and by the version of TensorRT that built it alone. "
    f"Elsewhere build another of the ONNX graph beside it: `{_BUILD}`.",
)
