"""PyTorch's own files: pt2 (torch.export) and TorchScript."""

from __future__ import annotations

import io

import torch

from nas.export.plain_torch import export_program
from nas.export.target.target import Target, WrittenGraph
from nas.export.winner import Winner

__all__ = ["PT2", "TORCHSCRIPT", "UNQUANTISED"]

UNQUANTISED = "for int8 take onnx, openvino, litert or executorch"


def _write_pt2(winner: Winner) -> WrittenGraph:
    buffer = io.BytesIO()
    torch.export.save(export_program(winner.shipped, winner.size), buffer)
    return WrittenGraph({".pt2": buffer.getvalue()})


def _write_torchscript(winner: Winner) -> WrittenGraph:
    images = torch.zeros(2, *winner.size.shape)
    with torch.no_grad():
        traced = torch.jit.trace(winner.shipped, images, check_trace=False)  # type: ignore[no-untyped-call]
    buffer = io.BytesIO()
    torch.jit.save(traced, buffer)
    return WrittenGraph({".pt": buffer.getvalue()})


PT2 = Target(
    name="pt2",
    title="PyTorch (torch.export)",
    runs=("torch",),
    writes=(),
    install="pip install torch",
    write=_write_pt2,
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
    write=_write_torchscript,
    main=".pt",
    alone=True,
    any_batch=True,
    no_int8=UNQUANTISED,
)
