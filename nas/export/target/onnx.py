"""ONNX with a dynamic batch, for ONNX Runtime and all that reads ONNX."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import onnx
import torch

from nas.export.suppression import suppressed_onnx
from nas.export.target.target import Delegates, Images, Target, WrittenGraph
from nas.export.winner import Winner
from nas.latency.runtime import to_onnx
from nas.latency.runtime.onnxruntime import quantise

__all__ = ["ONNX", "phone_delegates", "plain_onnx", "quantised_onnx"]


def _write(winner: Winner) -> WrittenGraph:
    graph = plain_onnx(winner, dynamic_batch=True)
    onnx.checker.check_model(graph)
    return WrittenGraph(
        {".onnx": graph}, lambda: phone_delegates(plain_onnx(winner, dynamic_batch=False))
    )


def plain_onnx(winner: Winner, *, dynamic_batch: bool) -> bytes:
    """Write the graph in fp32.

    dynamic_batch: whether it reads any number of images; else one.
    """
    graph = to_onnx(winner.merged, winner.size.shape, dynamic_batch=dynamic_batch)
    return _suppressing(winner, graph)


def quantised_onnx(
    winner: Winner, images: Images, *, dynamic_batch: bool, symmetric: bool = False
) -> bytes:
    """Write the QDQ graph with the ranges seen on these images.

    images: (N, 3, H, W), normalised.
    dynamic_batch: whether it reads any number of images; else one.
    symmetric: see `quantise`.
    """
    graph = to_onnx(winner.merged, winner.size.shape, dynamic_batch=dynamic_batch)
    at_once = 16 if dynamic_batch else 1
    batches = [images[row : row + at_once] for row in range(0, len(images), at_once)]
    return _suppressing(winner, quantise(graph, batches, symmetric=symmetric))


def _suppressing(winner: Winner, graph: bytes) -> bytes:
    """Return the graph of a network, with suppression behind it where its graphs do that."""
    if winner.suppression is None:
        return graph
    with torch.no_grad():
        _, *given = winner.merged(torch.zeros(1, *winner.size.shape)).shape
    size = (winner.size.height, winner.size.width)
    return suppressed_onnx(graph, tuple(given), winner.task.head, size, winner.suppression)


def _quantise(winner: Winner, images: Images) -> WrittenGraph:
    return WrittenGraph({".onnx": quantised_onnx(winner, images, dynamic_batch=True)})


def phone_delegates(graph: bytes) -> tuple[Delegates, ...]:
    """Ask ONNX Runtime's own checker what the accelerators of phones take of a graph.

    graph: in ONNX, of fixed shapes, which an app gives with the session's options.
    """
    from onnxruntime.tools.mobile_helpers import usability_checker as checker

    model = onnx.shape_inference.infer_shapes(_folded(graph))
    partitions = {
        "NNAPI (Android)": checker.check_nnapi_partitions(model, True),
        "Core ML (iOS)": checker.check_coreml_partitions(
            model, True, "coreml_supported_mlprogram_ops.md"
        ),
    }
    kinds = Counter(node.op_type for node in model.graph.node)
    delegates = []
    for name, info in partitions.items():
        names = sorted(unsupported.rpartition(":")[2] for unsupported in info.unsupported_ops)
        outside = {kind: kinds[kind] for kind in names if kinds[kind]}
        left = info.num_nodes - info.num_supported_nodes - sum(outside.values())
        if left > 0:
            outside["others, for shapes that are not fixed or too many dimensions"] = left
        note = (
            f"by operator type, in {info.num_partitions} pieces; ONNX Runtime's own CPU takes all"
        )
        delegates.append(Delegates(name, int(info.num_supported_nodes), outside, note))
    return tuple(delegates)


def _folded(graph: bytes) -> onnx.ModelProto:
    """Return a graph as a session sees it: constants and known shapes are worked out."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "folded.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        return onnx.load(path)


ONNX = Target(
    name="onnx",
    title="ONNX",
    runs=("onnxruntime",),
    writes=("onnx",),
    install="pip install attention-nas",
    write=_write,
    main=".onnx",
    alone=True,
    any_batch=True,
    quantise=_quantise,
    int8_suppresses=True,
)
