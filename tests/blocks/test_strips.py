"""Blocks that read means along rows and columns, against their papers' formulas."""

from __future__ import annotations

import pytest
import torch
from support.stirred_blocks import close, random_image, stirred_block
from torch import Tensor, nn
from torch.nn import functional as F

from nas.base.errors import SpecError
from nas.blocks import block_named, make_block
from nas.blocks.gate import double_gates
from nas.spec.architecture import Option

C, H, W = 32, 9, 8


def stirred(name: str, **options: Option) -> nn.Module:
    return stirred_block(name, (C, H, W), **options)


def image(height: int = H, width: int = W) -> Tensor:
    return random_image(2, C, height, width)


def correlated(line: Tensor, kernel: Tensor) -> Tensor:
    """A depthwise convolution of (N, C, L) with (C, k), in a loop over the kernel."""
    size = kernel.shape[1]
    padded = F.pad(line, (size // 2, size // 2))
    return sum(
        (padded[:, :, i : i + line.shape[2]] * kernel[:, i, None] for i in range(size)),
        start=torch.zeros_like(line),
    )


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [
        ("strip", {"kernel_size": 3}, 2 * 96 * 3),
        ("spm", {}, 7 * 96**2 + 5 * 96),
        ("ela", {"variant": "base"}, 96 * 7 + 2 * 96),
        ("ela", {"variant": "tiny"}, 96 * 5 + 2 * 96),
        ("ela", {"variant": "small"}, 8 * 96 * 5 + 2 * 96),
        ("ela", {"variant": "large"}, 8 * 96 * 7 + 2 * 96),
        ("smsa", {}, 11 * 96),
        ("pcsa", {}, 5 * 96),
        ("scsa", {}, 16 * 96),
    ],
)
def test_parameters_follow_the_formula(
    name: str, options: dict[str, Option], parameters: int
) -> None:
    block = make_block(name, channels=96, height=14, width=14, **options)
    assert sum(item.numel() for item in block.parameters()) == parameters


def test_strip_attention_adds_the_two_directions_under_one_gate() -> None:
    block, x = stirred("strip"), image()
    rows = correlated(x.mean(3), block.conv_h.weight[:, 0, :, 0])
    columns = correlated(x.mean(2), block.conv_w.weight[:, 0, 0])
    close(block(x), x * (rows[:, :, :, None] + columns[:, :, None, :]).sigmoid())


def test_strip_pooling_mixes_channels_after_the_sum() -> None:
    """Equations 2 to 5 of arXiv:2003.13328, with the ReLU of the authors' code."""
    block, x = stirred("spm"), image()
    y_h = block.norm_h(block.conv_h(x.mean(3, keepdim=True))).expand(-1, -1, H, W)
    y_v = block.norm_w(block.conv_w(x.mean(2, keepdim=True))).expand(-1, -1, H, W)
    mixed = torch.einsum("oc,nchw->nohw", block.conv.weight[:, :, 0, 0], (y_h + y_v).relu())
    close(block(x), x * (mixed + block.conv.bias[:, None, None]).sigmoid())


def test_efficient_local_attention_shares_its_layers_between_directions() -> None:
    block, x = stirred("ela"), image()
    kernel = block.conv.weight[:, 0]
    gates = []
    for line in (x.mean(3), x.mean(2)):
        groups = correlated(line, kernel).reshape(2, 16, -1)
        deviation = groups - groups.mean(2, keepdim=True)
        normal = deviation / (groups.var(2, keepdim=True, correction=0) + block.norm.eps).sqrt()
        scale, shift = block.norm.weight[:, None], block.norm.bias[:, None]
        gates.append((normal.reshape(line.shape) * scale + shift).sigmoid())
    close(block(x), x * gates[0][:, :, :, None] * gates[1][:, :, None, :])


def test_the_spatial_half_has_a_kernel_size_for_each_quarter_of_the_channels() -> None:
    block, x = stirred("smsa"), image()
    quarter = C // 4
    gates = []
    for line, norm in ((x.mean(3), block.norm_h), (x.mean(2), block.norm_w)):
        quarters = []
        for i, conv in enumerate(block.convs):
            assert conv.weight.shape == (quarter, 1, 3 + 2 * i)
            part = line[:, i * quarter : (i + 1) * quarter]
            quarters.append(correlated(part, conv.weight[:, 0]) + conv.bias[:, None])
        gates.append(norm(torch.cat(quarters, dim=1)).sigmoid())
    close(block(x), x * gates[0][:, :, :, None] * gates[1][:, :, None, :])


@pytest.mark.parametrize("heads", [1, 4])
def test_the_channel_half_attends_among_the_channels_of_a_head(heads: int) -> None:
    block, x = stirred("pcsa", window=4, heads=heads), image()
    windows = torch.stack(
        [x[:, :, i : i + 4, j : j + 4].mean((2, 3)) for i in (0, 4) for j in (0, 4)], dim=2
    )
    normal = F.group_norm(windows, 1, block.norm.weight, block.norm.bias)
    query, key, value = (
        layer.weight[:, 0, 0] * normal for layer in (block.query, block.key, block.value)
    )
    size = C // heads
    attended = torch.zeros_like(windows)
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        logits = query[:, part] @ key[:, part].transpose(1, 2) / size**0.5
        attended[:, part] = logits.softmax(2) @ value[:, part]
    close(block(x), x * attended.mean(2).sigmoid()[:, :, None, None])


def test_both_halves_one_after_the_other() -> None:
    block, x = stirred("scsa", window=4), image()
    close(block(x), block.channel(block.spatial(x)))


@pytest.mark.parametrize("name", ["smsa", "pcsa", "scsa"])
def test_folding_doubled_gates_changes_nothing(name: str) -> None:
    """The channel half normalises what the spatial half has gated: epsilon must follow."""
    block = stirred(name)
    double_gates(block)
    doubled = block(1e-2 * image())
    assert torch.equal(doubled, block_named(name).fold(block) * block(1e-2 * image()))


@pytest.mark.parametrize(
    ("name", "shape", "options", "reason"),
    [
        ("ela", (24, 7, 7), {}, "24 channels do not divide into 16 groups"),
        ("ela", (48, 7, 7), {"variant": "tiny"}, "48 channels do not divide into 32 groups"),
        ("ela", (16, 1, 7), {}, "one value per normalised group"),
        ("smsa", (18, 7, 7), {}, "18 channels do not divide into 4 groups"),
        ("smsa", (4, 7, 1), {}, "one value per normalised group"),
        ("pcsa", (12, 7, 7), {"heads": 8}, "12 channels do not divide into 8 heads"),
        ("scsa", (16, 7, 6), {}, "7x6 is smaller than a window of 7"),
    ],
)
def test_maps_that_do_not_fit_are_refused(
    name: str, shape: tuple[int, int, int], options: dict[str, Option], reason: str
) -> None:
    channels, height, width = shape
    with pytest.raises(SpecError, match=reason):
        make_block(name, channels=channels, height=height, width=width, **options)
