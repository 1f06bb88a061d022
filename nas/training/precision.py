"""Arithmetic of a training: autocast, a scaled loss, and what tensor cores may round.

As the guide of torch.amp has it: the forward pass in autocast, losses and what follows in single
precision, the backward pass outside.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

import torch

from nas.base.errors import SpecError
from nas.spec.precision import FP32, Precision

if TYPE_CHECKING:
    from nas.spec.proxy import Proxy

__all__ = [
    "autocast",
    "backend_flags",
    "check_precision",
    "settle_precision",
    "usual_precision",
]

_LOW = {"bf16": torch.bfloat16, "fp16": torch.float16}
_AMPERE = 8, 0
"""The compute capability from which GPUs have TF32 and bfloat16 in hardware."""


def usual_precision(device: torch.device) -> Precision:
    """Return the precision that suits a device: half of the bits on a GPU of CUDA, else all."""
    if device.type != "cuda":
        return FP32
    return "bf16" if _has_ampere(device) else "fp16"


def settle_precision(proxy: Proxy, device: torch.device) -> Proxy:
    """Return a proxy that says its precision, where it does not, that of the device.

    Raises SpecError where it says one that the device has not.
    """
    if proxy.precision is None:
        return proxy.model_copy(update={"precision": usual_precision(device)})
    check_precision(proxy.precision, device)
    return proxy


def check_precision(precision: Precision, device: torch.device) -> None:
    """Raise SpecError where a device cannot train in a precision, or would take for ever."""
    if precision == FP32 or (precision == "bf16" and device.type == "cpu"):
        return
    if device.type == "cpu":
        raise SpecError(
            f"proxy.precision {precision} needs a GPU, and trainings run on the CPU here; go on "
            "where there is one, or begin another search in fp32 or bf16"
        )
    if precision == "tf32" and device.type != "cuda":
        raise SpecError(
            f"proxy.precision tf32 is of CUDA, and trainings run on {device.type} here; use fp32"
        )
    if precision in ("tf32", "bf16") and device.type == "cuda" and not _has_ampere(device):
        raise SpecError(
            f"proxy.precision {precision} needs a GPU of compute capability 8.0, and "
            f"{torch.cuda.get_device_name(device)} has less; use fp16 or fp32"
        )


def _has_ampere(device: torch.device) -> bool:
    return torch.cuda.get_device_capability(device) >= _AMPERE


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Return the context of a forward pass."""
    dtype = _LOW.get(precision)
    if dtype is None:
        return nullcontext()
    # Weights that were cast in an earlier pass are none that a CUDA graph may read.
    return torch.autocast(device.type, dtype=dtype, cache_enabled=False)


@contextmanager
def backend_flags(precision: Precision, device: torch.device) -> Iterator[None]:
    """Let CUDA round products as a precision says, and choose convolutions by timing them.

    TF32, which torch lets convolutions take by itself, is off but in `tf32`. All batches of a
    training have one shape, so each convolution is timed once.
    """
    if device.type != "cuda":
        yield
        return
    rounded = precision == "tf32"
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if rounded else "highest")
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=rounded):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
