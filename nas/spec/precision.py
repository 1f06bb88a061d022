"""The precision that networks are trained and judged in."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["FP32", "PRECISIONS", "Precision"]

Precision = Literal["fp32", "tf32", "bf16", "fp16"]
"""`fp32`: all in single precision; `tf32`: as that, but for the products of convolutions and
matrices, which a GPU rounds; `bf16` and `fp16`: by `torch.autocast`, with weights in single
precision, the latter with a scaled loss."""

FP32: Precision = "fp32"
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
