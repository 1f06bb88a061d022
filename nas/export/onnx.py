"""ONNX with a dynamic batch."""

from __future__ import annotations

from pathlib import Path

import onnx
from torch import nn

from nas.latency.runtime import Session, load_onnx, to_onnx

__all__ = ["export_onnx"]


def export_onnx(network: nn.Module, resolution: int, path: Path) -> Session:
    """Write images (N, 3, H, W) -> scores (N, classes), check the file and load it."""
    path.write_bytes(to_onnx(network, resolution, dynamic_batch=True))
    onnx.checker.check_model(str(path))
    return load_onnx(path)
