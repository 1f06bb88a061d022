"""The targets that a network can be exported to, in one table."""

from __future__ import annotations

from nas.base.errors import SpecError
from nas.export.target.coreml import COREML
from nas.export.target.executorch import EXECUTORCH
from nas.export.target.litert import LITERT
from nas.export.target.ncnn import NCNN
from nas.export.target.onnx import ONNX
from nas.export.target.openvino import OPENVINO
from nas.export.target.target import Target
from nas.export.target.tensorrt import TENSORRT
from nas.export.target.timm_model import TIMM
from nas.export.target.torch_files import PT2, TORCHSCRIPT

__all__ = ["TARGETS", "Target", "target_named"]

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        ONNX,
        PT2,
        TORCHSCRIPT,
        TIMM,
        OPENVINO,
        LITERT,
        EXECUTORCH,
        NCNN,
        COREML,
        TENSORRT,
    )
}
"""Name -> target."""


def target_named(name: str) -> Target:
    """Look a target up. Raises SpecError that lists the known ones."""
    if name not in TARGETS:
        raise SpecError(f"unknown target {name!r}; known: {', '.join(TARGETS)}")
    return TARGETS[name]
