"""Blocks with weights that are none of their first ones, to be held against formulas."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nas.blocks import make_block
from nas.spec.architecture import Option

__all__ = ["close", "random_image", "stirred_block"]


def stirred_block(
    name: str, shape: tuple[int, int, int], by: float = 0.3, **options: Option
) -> nn.Module:
    """Return a block for maps of (channels, height, width), in evaluation mode.

    by: the standard deviation of what is added to its first weights.
    """
    torch.manual_seed(0)
    channels, height, width = shape
    block = make_block(name, channels=channels, height=height, width=width, **options)
    with torch.no_grad():
        for item in block.parameters():
            item.add_(by * torch.randn_like(item))
    return block.eval()


def random_image(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
