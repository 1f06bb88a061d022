"""Suppression as ONNX has it: its operator NonMaxSuppression, behind any graph of a detector."""

from __future__ import annotations

from typing import Any

import onnx
import torch
from onnx import compose
from torch import Tensor

from nas.export.suppression.suppressing import Suppressing
from nas.latency.runtime import to_onnx
from nas.spec.suppression import Suppression

__all__ = ["suppressed_onnx"]

_PREFIX = "suppression/"


def suppressed_onnx(
    graph: bytes,
    given: tuple[int, int],
    head: str,
    size: tuple[int, int],
    limits: Suppression,
) -> bytes:
    """Return a graph with suppression behind it, in fp32 whatever it is itself in.

    graph: of a detector, of one image or of any number.
    given: what it gives for an image, (A, 9 + classes).
    head, size, limits: see `Suppressing`.
    """
    network = onnx.load_from_string(graph)
    dynamic = not network.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    behind = onnx.load_from_string(
        to_onnx(Suppressing(head, size, limits, _by_operator), given, dynamic_batch=dynamic)
    )
    behind.ir_version = network.ir_version
    (before,), (after,) = network.graph.output, behind.graph.input
    merged = compose.merge_models(
        network, behind, io_map=[(before.name, after.name)], prefix2=_PREFIX
    )
    return bytes(merged.SerializeToString())


def _by_operator(
    boxes: Tensor, scores: Tensor, classes: Tensor, count: int, limits: Suppression
) -> Tensor:
    """Return the scores of boxes that stay: see `KeptScores`."""
    names = torch.arange(count)[:, None]
    of_classes = torch.where(classes[:, None] == names, scores[:, None], 0.0)
    kept: Tensor = _NonMaxSuppression.apply(boxes, of_classes, scores, limits)
    return kept


class _NonMaxSuppression(torch.autograd.Function):
    """ONNX's operator, which is for graphs alone: what it gives here has the right shape only."""

    @staticmethod
    def forward(
        _context: Any, _boxes: Tensor, _of_classes: Tensor, scores: Tensor, _limits: Suppression
    ) -> Tensor:
        return scores.clone()

    @staticmethod
    def symbolic(g: Any, boxes: Any, of_classes: Any, scores: Any, limits: Suppression) -> Any:
        """Write it. It selects rows of image, class and box, as many as there are."""
        selected = g.op(
            "NonMaxSuppression",
            boxes,
            of_classes,
            _constant(g, limits.most),
            _constant(g, limits.overlap),
            # Those below the limit are 0 already: runtimes differ in whether they take its equal.
            _constant(g, limits.score / 2),
        )
        places = g.op("Gather", selected, _constant(g, [0, 2]), axis_i=1)
        nothing = g.op("Mul", scores, _constant(g, 0.0))
        return g.op("ScatterND", nothing, places, g.op("GatherND", scores, places))


def _constant(g: Any, value: Any) -> Any:
    return g.op("Constant", value_t=torch.tensor(value))
