"""PyTorch's own files: pt2 (torch.export) and TorchScript."""

from __future__ import annotations

import io

import torch
from torch import nn

from nas.base.size import Size
from nas.export.plain_torch import export_program
from nas.export.target.target import Target, WrittenGraph

__all__ = ["PT2", "TORCHSCRIPT", "UNQUANTISED", "to_pt2", "to_torchscript"]

UNQUANTISED = "for int8 take onnx, openvino, litert or executorch"


def to_pt2(network: nn.Module, size: Size) -> bytes:
    """Write a network that reads any number of images by torch.export.

    Raises SpecError when it holds what torch.export cannot follow.
    """
    buffer = io.BytesIO()
    torch.export.save(export_program(network, size), buffer)
    return buffer.getvalue()


def to_torchscript(network: nn.Module, size: Size) -> bytes:
    """Write a network that reads any number of images by tracing it."""
    with torch.no_grad():
        traced = torch.jit.trace(network, torch.zeros(2, *size.shape), check_trace=False)  # type: ignore[no-untyped-call]
    buffer = io.BytesIO()
    torch.jit.save(traced, buffer)
    return buffer.getvalue()


PT2 = Target(
    name="pt2",
    title="PyTorch (torch.export)",
    runs=("torch",),
    writes=(),
    install="pip install torch",
    write=lambda winner: WrittenGraph({".pt2": to_pt2(winner.shipped, winner.size)}),
    main=".pt2",
    alone=True,
    any_batch=True,
    no_int8=UNQUANTISED,
)

TORCHSCRIPT = Target(
    name="torchscript",
    title="TorchScript",
    runs=("torch",),
    writes=(),
    install="pip install torch",
    write=lambda winner: WrittenGraph({".pt": to_torchscript(winner.shipped, winner.size)}),
    main=".pt",
    alone=True,
    any_batch=True,
    no_int8=UNQUANTISED,
)
