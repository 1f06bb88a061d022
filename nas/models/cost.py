"""Parameters and multiply-adds of an architecture, counted by fvcore."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import nn

from nas.models.build import build
from nas.spec.architecture import Architecture

with warnings.catch_warnings():
    # fvcore scripts its losses when imported, which torch has deprecated.
    warnings.simplefilter("ignore", FutureWarning)
    from fvcore.nn import FlopCountAnalysis

__all__ = ["Cost", "cost", "cost_by_parts", "cost_of_module"]

# One multiply-add is one multiplication with its addition, in convolutions, linear layers and
# matrix products alone: so the tables of arXiv:2103.02907 count (fvcore adds batch norm).
_NOTHING = (
    "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool2d add add_ amax amin "
    "avg_pool2d batch_norm clamp clamp_ div dropout exp expand_as gelu group_norm "
    "hardsigmoid hardsigmoid_ hardswish hardswish_ hardtanh hardtanh_ im2col layer_norm "
    "leaky_relu max max_pool2d mean mul mul_ pad prelu relu relu6 relu_ rsub sigmoid "
    "sigmoid_ silu silu_ softmax sqrt sub sum tanh topk upsample_nearest2d"
).split()


def _nothing(_inputs: list[object], _outputs: list[object]) -> int:
    return 0


def _convolution_1d_or_2d(inputs: list[object], outputs: list[object]) -> int:
    """Count batch x out channels x out map x (in channels / groups) x kernel."""
    # fvcore's own handle counts the same but refuses 1-D maps of ECA in some versions.
    weight: list[int] = inputs[1].type().sizes()  # type: ignore[attr-defined]
    out: list[int] = outputs[0].type().sizes()  # type: ignore[attr-defined]
    return math.prod(out) * math.prod(weight[1:])


_HANDLES: dict[str, Callable[[list[object], list[object]], int]] = {
    **{f"aten::{name}": _nothing for name in _NOTHING},
    "aten::_convolution": _convolution_1d_or_2d,
}


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a network.

    params: trainable parameters.
    macs: multiply-adds of one image.
    unsupported: operators that hold work nobody counted; empty when `macs` is whole.
    """

    params: int
    macs: int
    unsupported: tuple[str, ...] = ()


def cost(architecture: Architecture, *, num_classes: int = 1000) -> Cost:
    """Count an architecture at its own resolution.

    Raises SpecError when it cannot be built.
    """
    return _cost(architecture, num_classes)


def cost_by_parts(architecture: Architecture, *, num_classes: int = 1000) -> Cost:
    """Count the same as `cost`, from the plain network and what each insertion adds to it.

    Blocks keep the shape of their map, so their costs add up exactly; and a search that asks
    about thousands of networks counts each insertion once.
    Raises SpecError when it cannot be built.
    """
    plain = cost(architecture.plain, num_classes=num_classes)
    singles = [
        cost(replace(architecture, insertions=(insertion,)), num_classes=num_classes)
        for insertion in architecture.insertions
    ]
    unsupported = {name for part in (plain, *singles) for name in part.unsupported}
    return Cost(
        params=plain.params + sum(single.params - plain.params for single in singles),
        macs=plain.macs + sum(single.macs - plain.macs for single in singles),
        unsupported=tuple(sorted(unsupported)),
    )


@lru_cache(maxsize=4096)
def _cost(architecture: Architecture, num_classes: int) -> Cost:
    network = build(architecture, num_classes=num_classes)
    side = architecture.resolution
    return cost_of_module(network, torch.zeros(1, 3, side, side))


def cost_of_module(module: nn.Module, images: torch.Tensor) -> Cost:
    """Count any module in evaluation mode on a batch of one, (1, C, H, W)."""
    analysis = FlopCountAnalysis(module.eval(), images).set_op_handle(**_HANDLES)
    analysis.uncalled_modules_warnings(False).tracer_warnings("none")
    analysis.unsupported_ops_warnings(False)
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    with torch.no_grad():
        macs = int(analysis.total())
    return Cost(
        params=sum(parameter.numel() for parameter in module.parameters()),
        macs=macs,
        unsupported=tuple(sorted(analysis.unsupported_ops())),
    )
