"""How images, maps and weights lie in memory while a network is trained."""

from __future__ import annotations

import math

import torch
from torch import nn

__all__ = ["lay_out", "memory_format"]

_LEAST_CHANNELS = 16


def memory_format(network: nn.Module, device: torch.device) -> torch.memory_format:
    """Return the layout that a network is trained in: channels last, which is faster.

    Except on a CPU with a strided 1x1 convolution of fewer than 16 channels (a narrow shortcut):
    its gradient in that layout corrupts memory, and the process dies (torch 2.15 with oneDNN on an
    AMD EPYC; widths of 3 to 15 died, of 16 and more did not).
    """
    fatal = device.type == "cpu" and any(map(_is_fatal, network.modules()))
    return torch.contiguous_format if fatal else torch.channels_last


def _is_fatal(layer: nn.Module) -> bool:
    return (
        isinstance(layer, nn.Conv2d)
        and math.prod(layer.kernel_size) == 1 < math.prod(layer.stride)
        and layer.groups == 1
        and layer.in_channels < _LEAST_CHANNELS
    )


def lay_out(network: nn.Module, layout: torch.memory_format) -> None:
    """Lay out the weights of 2-D convolutions, in place.

    `network.to` refuses a network with a 3-D convolution (lambda).
    """
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=layout)
