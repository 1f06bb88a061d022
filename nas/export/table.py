"""The targets, in one table."""

from __future__ import annotations

from nas.base.errors import SpecError
from nas.export.coreml import COREML
from nas.export.executorch import EXECUTORCH
from nas.export.litert import LITERT
from nas.export.ncnn import NCNN
from nas.export.onnx import ONNX
from nas.export.openvino import OPENVINO
from nas.export.target import Target
from nas.export.torch_files import PT2, TIMM, TORCHSCRIPT

__all__ = ["TARGETS", "target_named"]

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (ONNX, PT2, TORCHSCRIPT, TIMM, OPENVINO, LITERT, EXECUTORCH, NCNN, COREML)
}


def target_named(name: str) -> Target:
    """Look a target up. Raises SpecError listing the known ones."""
    if name not in TARGETS:
        raise SpecError(f"unknown target {name!r}; known: {', '.join(TARGETS)}")
    return TARGETS[name]
