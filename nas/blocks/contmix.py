"""Context-mixing dynamic convolution, ContMix. Lou and Yu (OverLoCK), https://arxiv.org/abs/2502.20087

No library has it. Each position's kernel is made from its likeness to 7 x 7 averages of the map:
for each head, a layer turns these 49 numbers into a kernel of k x k positions and one of 5 x 5,
each with a relative position bias and a softmax. One half of the values is summed by
the large kernels, the other by the small ones; at the border a kernel's window moves inside. As in
the authors' module for other networks, a depthwise 3 x 3 convolution is added to the input first,
then a layer norm; a depthwise k x k convolution of it is added to the sum, a
squeeze-and-excitation and a gate multiply it, a projection follows, and the sum is added. Their
feed-forward half is left out.

There are 4 heads in their module (2 for each kernel). Their depthwise k x k convolution is
trained with dilated twins, each with its batch norm, and all are folded into one with bias; here is
the folded one, since a block should be measured as it will run. Their kernels are 7 in the module
and 17 to 7 in their networks, of which the smallest has 16 million parameters: no mobile one, so it
is no backbone here. Maps smaller than the kernel are refused; they enlarge them.
Parameters, with s = max(16, C // 8):
5C^2 + (27 + k^2) C + 2Cs + s + 50 (k^2 + 25) + 4 (81 + (2k - 1)^2).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from timm.layers.conv_bn_act import ConvNormAct
from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional

from nas.blocks.adaptive_average import adaptive_average
from nas.blocks.block import Block
from nas.blocks.limits import too_many_positions, undivided
from nas.spec.architecture import Option

__all__ = ["CONTMIX"]

_AVERAGES = 7
_SMALL = 5
_HEADS = 4


class DynamicKernels(nn.Module):
    """Sum values by the kernel of each position: (N, C, H, W) in and out."""

    def __init__(self, kernel_size: int, heads: int) -> None:
        super().__init__()
        self.kernel_size, self.heads = kernel_size, heads
        self.positions = nn.Parameter(torch.empty(heads, 2 * kernel_size - 1, 2 * kernel_size - 1))
        nn.init.trunc_normal_(self.positions, std=0.02)

    def forward(self, logits: Tensor, value: Tensor) -> Tensor:
        """Sum values. logits: (N, k k, heads, H W)."""
        channels, height, width = (int(size) for size in value.shape[1:])
        kernel = (logits.transpose(1, 2) + self._bias(height, width)).softmax(dim=2)
        windows = self._windows(value).reshape(
            -1, self.heads, channels // self.heads, self.kernel_size**2, height * width
        )
        summed = torch.einsum("ngkp,ngckp->ngcp", kernel, windows)
        return summed.reshape(-1, channels, height, width)

    def _windows(self, value: Tensor) -> Tensor:
        """Return the window of each position, moved inside at the border: (N, C k k, H, W)."""
        size, (height, width) = self.kernel_size, value.shape[2:]
        inner = functional.unfold(value, size)
        inner = inner.reshape(
            -1, value.shape[1] * size**2, int(height) - size + 1, int(width) - size + 1
        )
        return functional.pad(inner, (size // 2,) * 4, mode="replicate")

    def _bias(self, height: int, width: int) -> Tensor:
        """Return the bias of each place of each kernel: (heads, k k, H W)."""
        rows, columns = (
            self._places(length).to(self.positions.device) for length in (height, width)
        )
        # (heads, H, rows of a kernel, W, columns of a kernel)
        places = self.positions[:, rows][..., columns]
        return places.permute(0, 2, 4, 1, 3).reshape(
            self.heads, self.kernel_size**2, height * width
        )

    def _places(self, length: int) -> Tensor:
        """Return which bias each place of a line's kernels has: (length, k)."""
        half = self.kernel_size // 2
        # How many positions lie beyond the one that the kernel is for, at its end of the line.
        behind = [length - 1 - at for at in range(length)]
        first = [min(half, rest) + max(0, rest - (length - 1 - half)) for rest in behind]
        return torch.tensor(first)[:, None] + torch.arange(self.kernel_size)


class SqueezeExcitation(nn.Module):
    """The authors' squeeze-and-excitation, with a GELU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(16, channels // 8)
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.act = nn.GELU()
        self.excite = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.act(self.squeeze(x.mean((2, 3), keepdim=True)))
        excited: Tensor = x * self.excite(hidden).sigmoid()
        return excited


class ContextMixing(nn.Module):
    """The mixer, added to the input behind its positions."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        hidden = channels // 2
        self.scale = (channels // _HEADS) ** -0.5
        self.place = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm = LayerNorm2d(channels, eps=1e-6)
        self.query = ConvNormAct(channels, hidden, 1, apply_act=False)
        self.key = ConvNormAct(channels, hidden, 1, apply_act=False)
        self.value = ConvNormAct(channels, channels, 1, apply_act=False)
        self.kernels = nn.Conv2d(_AVERAGES**2, kernel_size**2 + _SMALL**2, 1)
        self.small = DynamicKernels(_SMALL, _HEADS)
        self.large = DynamicKernels(kernel_size, _HEADS)
        self.fuse = ConvNormAct(channels, channels, 1, apply_act=False)
        self.local = ConvNormAct(
            channels, channels, kernel_size, groups=channels, bias=True, apply_act=False
        )
        self.excitation = SqueezeExcitation(channels)
        self.context = ConvNormAct(channels, channels, 1, act_layer=nn.SiLU)
        self.project = nn.Sequential(nn.BatchNorm2d(channels), nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.place(x)
        y: Tensor = self.norm(x)
        logits = self._logits(y)
        small, large = self.value(y).chunk(2, dim=1)
        near, far = logits[:, : _SMALL**2], logits[:, _SMALL**2 :]
        mixed = torch.cat([self.small(near, small), self.large(far, large)], dim=1)
        mixed = self.context(y) * self.excitation(self.fuse(mixed) + self.local(y))
        projected: Tensor = self.project(mixed)
        return x + projected

    def _logits(self, y: Tensor) -> Tensor:
        """Make every position's two kernels of what it is like: (N, 25 + k k, heads, H W)."""
        each, (height, width) = y.shape[1] // (2 * _HEADS), y.shape[2:]
        query = self.query(y).reshape(-1, _HEADS, each, height * width) * self.scale
        averages = self.key(adaptive_average(y, _AVERAGES, _AVERAGES))
        key = averages.reshape(-1, _HEADS, each, _AVERAGES**2)
        logits: Tensor = self.kernels((key.transpose(2, 3) @ query).transpose(1, 2))
        return logits


def _make(channels: int, height: int, width: int, *, kernel_size: int) -> nn.Module:
    return ContextMixing(channels, kernel_size)


def _limits(channels: int, height: int, width: int, options: Mapping[str, Option]) -> str | None:
    if (reason := undivided(channels, 2 * _HEADS, "halves of heads")) is not None:
        return reason
    size = max(_SMALL, int(options["kernel_size"]))
    if min(height, width) < size:
        return f"its map of {height}x{width} is smaller than a kernel of {size}"
    return too_many_positions(height, width)


CONTMIX = Block(
    name="contmix",
    title="Context-mixing dynamic convolution",
    paper="https://arxiv.org/abs/2502.20087",
    make=_make,
    closed_by=("place.weight", "place.bias", "project.1.weight", "project.1.bias"),
    gates=0,
    options={"kernel_size": (7, 9, 13)},
    limits=_limits,
)
