"""Squeeze-and-excitation. Hu et al., https://arxiv.org/abs/1709.01507

timm's `SEModule`, with the hidden width of arXiv:2103.02907. Parameters: 2Cm + m + C. `se_hard` is
that of MobileNetV3, https://arxiv.org/abs/1905.02244: its gate is a hard sigmoid, and its hidden
width a multiple of eight.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from timm.layers.helpers import make_divisible
from timm.layers.squeeze_excite import SEModule
from torch import Tensor, nn
from torch.nn import functional as F

from nas.blocks.block import Block, paper_width

__all__ = ["SE", "SE_HARD"]


def _make(channels: int, height: int, width: int, *, reduction: int) -> nn.Module:
    return SEModule(channels, rd_channels=paper_width(channels, reduction))


def _make_hard(channels: int, height: int, width: int, *, reduction: int) -> nn.Module:
    hidden = _divisible_width(channels, reduction)
    return SEModule(channels, rd_channels=hidden, gate_layer="hard_sigmoid")


_in_steps = partial(make_divisible, divisor=8)


def _divisible_width(channels: int, reduction: int) -> int:
    """Return the hidden width of MobileNetV3's: a multiple of 8, and at least 0.9 C / r."""
    return int(_in_steps(channels / reduction))


_LAYERS = (("fc1", "fc2"), ("conv_reduce", "conv_expand"))
"""The names of the two layers: in timm's `SEModule` and torchvision, in timm's `SqueezeExcite`."""


def _read(module: nn.Module, block: nn.Module) -> Mapping[str, Tensor] | None:
    """Read the weights of a library's squeeze-and-excitation into a block that is no narrower.

    Hidden channels that the block has beyond those of the module begin with nothing to say.
    """
    children = dict(module.named_children())
    names = next((names for names in _LAYERS if children.keys() >= set(names)), None)
    if names is None:
        return None
    squeeze, excite = (children[name].state_dict() for name in names)
    own = block.state_dict()
    channels, hidden = own["fc2.weight"].shape[:2]
    if not all("weight" in layer and "bias" in layer for layer in (squeeze, excite)):
        return None
    theirs = len(squeeze["bias"])
    shapes = (theirs, channels, 1, 1), (channels, theirs, 1, 1)
    if (squeeze["weight"].shape, excite["weight"].shape) != shapes or theirs > hidden:
        return None
    return {
        "fc1.weight": torch.cat([squeeze["weight"], own["fc1.weight"][theirs:]]),
        "fc1.bias": torch.cat([squeeze["bias"], own["fc1.bias"][theirs:]]),
        "fc2.weight": F.pad(excite["weight"], (0, 0, 0, 0, 0, hidden - theirs)),
        "fc2.bias": excite["bias"],
    }


SE = Block(
    name="se",
    title="Squeeze-and-excitation",
    paper="https://arxiv.org/abs/1709.01507",
    make=_make,
    closed_by=("fc2.weight", "fc2.bias"),
    read=_read,
    options={"reduction": (24, 8, 16, 32)},
    width=lambda channels, options: paper_width(channels, int(options["reduction"])),
)

SE_HARD = Block(
    name="se_hard",
    title="Squeeze-and-excitation, hard sigmoid",
    paper="https://arxiv.org/abs/1905.02244",
    make=_make_hard,
    closed_by=("fc2.weight", "fc2.bias"),
    read=_read,
    options={"reduction": (4, 8, 16)},
    width=lambda channels, options: _divisible_width(channels, int(options["reduction"])),
)
