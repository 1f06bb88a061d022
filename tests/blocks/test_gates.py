"""Triplet, SRM, FCA, BAM, EMA and the two halves of coordinate attention."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from nas.blocks import BLOCKS, make_block
from nas.blocks.block import Shape
from nas.spec.architecture import Option


def made(name: str, shape: tuple[int, int, int], **options: Option) -> nn.Module:
    """Random weights everywhere: authors' zeros would hide faults."""
    torch.manual_seed(0)
    channels, height, width = shape
    block = make_block(name, channels=channels, height=height, width=width, **options).eval()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return block


def images_for(*shape: int) -> Tensor:
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [
        ("coord_x", {"reduction": 8}, 2 * 96 * 12 + 3 * 12 + 96),
        ("coord_y", {"reduction": 8}, 2 * 96 * 12 + 3 * 12 + 96),
        ("triplet", {"kernel_size": 7}, 3 * (2 * 49 + 2)),
        ("srm", {}, 4 * 96),
        ("fca", {"reduction": 16}, 2 * 96 * 6),
        ("bam", {"reduction": 16}, 3 * 96 * 6 + 96 + 18 * 36 + 13 * 6 + 1),
        ("ema", {"factor": 32}, 10 * 9 + 4 * 3),
    ],
)
def test_parameters_follow_the_formula(
    name: str, options: dict[str, Option], parameters: int
) -> None:
    block = make_block(name, channels=96, height=7, width=7, **options)
    assert sum(item.numel() for item in block.parameters()) == parameters


@pytest.mark.parametrize(("name", "gated", "other"), [("coord_x", 2, 3), ("coord_y", 3, 2)])
def test_half_a_coordinate_attention_has_one_gate_per_line(
    name: str, gated: int, other: int
) -> None:
    """X pools every row and gates the rows, Y the columns; what a line holds where is lost."""
    block, images = made(name, (32, 6, 5)), images_for(32, 6, 5)
    gates = block(images) / images
    assert gates.std(dim=other).max() < 1e-5
    assert gates.std(dim=gated).min() > 1e-5
    shuffled = images.roll(2, dims=other)
    torch.testing.assert_close(block(shuffled), block(images).roll(2, dims=other))


def test_triplet_attention_equals_the_authors_turning_of_the_map() -> None:
    """arXiv:2010.03045, as its authors have it: turn, pool the first dimension, gate, turn back."""
    block, x = made("triplet", (8, 6, 5), kernel_size=3), images_for(8, 6, 5)

    def gated(turned: Tensor, branch: nn.Module, kernel: Tensor) -> Tensor:
        pooled = torch.stack([turned.max(dim=1).values, turned.mean(dim=1)], dim=1)
        z = nn.functional.conv2d(pooled, kernel, padding=1)
        return turned * torch.sigmoid(branch.norm(z))  # type: ignore[operator]

    height, width = block.height, block.width
    one = gated(x.permute(0, 2, 1, 3), height, height.conv.weight).permute(0, 2, 1, 3)
    turned_kernel = width.conv.weight.transpose(2, 3)
    two = gated(x.permute(0, 3, 2, 1), width, turned_kernel).permute(0, 3, 2, 1)
    three = gated(x, block.channel, block.channel.conv.weight)
    torch.testing.assert_close(block(x), (one + two + three) / 3, atol=1e-6, rtol=1e-6)


def test_srm_recalibrates_each_channel_by_its_own_style() -> None:
    """Style pooling and integration of arXiv:1903.10829, one channel at a time."""
    block, x = made("srm", (3, 4, 5)), images_for(3, 4, 5)
    output = block(x)
    for image in range(2):
        for channel in range(3):
            values = x[image, channel]
            by_mean, by_deviation = block.style[:, channel, 0, 0]
            z = by_mean * values.mean() + by_deviation * values.std()
            z = z / math.sqrt(1 + 1e-5) * block.norm.weight[channel] + block.norm.bias[channel]
            torch.testing.assert_close(output[image, channel], values * torch.sigmoid(z))


def test_srm_learns_from_constant_channels() -> None:
    """The root of the variance has no finite slope at 0, where dead channels are."""
    block = make_block("srm", channels=2, height=3, width=3, start="identity")
    images = torch.zeros(2, 2, 3, 3, requires_grad=True)
    block(images + torch.tensor([[[[0.0]]], [[[1.0]]]])).sum().backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()


def test_srm_can_learn_more_than_its_bias_from_an_identity() -> None:
    block = make_block("srm", channels=8, height=3, width=3, start="identity")
    (block(images_for(8, 3, 3)) * images_for(8, 3, 3)).sum().backward()
    assert block.norm.weight.grad.abs().min() > 0


@pytest.mark.parametrize(("size", "stretch"), [(7, 1), (14, 2), (16, 2)])
def test_fca_squeezes_each_group_by_its_own_frequency(size: int, stretch: int) -> None:
    """The transform of arXiv:2012.11325 in plain sums, at (0, 0), (0, 1) and (6, 0)."""
    block, x = made("fca", (4, size, size), frequencies=4), images_for(4, size, size)
    squeezed = block._squeeze(x)
    for group, (u, v) in enumerate([(0, 0), (0, 1), (6, 0)]):
        norm = (1 if u == 0 else math.sqrt(2)) * (1 if v == 0 else math.sqrt(2)) / size
        total = sum(
            x[0, group, i, j].item()
            * math.cos(math.pi * u * stretch * (i + 0.5) / size)
            * math.cos(math.pi * v * stretch * (j + 0.5) / size)
            for i in range(size)
            for j in range(size)
        )
        assert squeezed[0, group].item() == pytest.approx(norm * total, abs=1e-4)


def test_fca_of_the_lowest_frequency_alone_is_the_average() -> None:
    block, x = made("fca", (5, 9, 14), frequencies=1), images_for(5, 9, 14)
    scale = math.sqrt(9 * 14)
    torch.testing.assert_close(block._squeeze(x), x.mean(dim=(2, 3)) * scale, atol=1e-5, rtol=1e-5)


def test_fca_stretches_a_small_map_to_the_smallest_transform() -> None:
    small, x = made("fca", (32, 5, 3)), images_for(32, 5, 3)
    stretched = nn.functional.adaptive_avg_pool2d(x, (7, 7))
    expected = made("fca", (32, 7, 7))._squeeze(stretched)
    torch.testing.assert_close(small._squeeze(x), expected, atol=1e-5, rtol=1e-5)


def test_fca_weights_fit_any_map() -> None:
    small, large = made("fca", (32, 5, 5)), made("fca", (32, 14, 14))
    small.load_state_dict(large.state_dict())
    with pytest.raises(RuntimeError, match="size"):
        small(images_for(32, 14, 14)[:1])


@pytest.mark.parametrize("size", [(12, 16), (16, 16), (12, 12), (24, 8), (16, 24)])
def test_fca_refuses_a_map_of_another_shape(size: tuple[int, int]) -> None:
    """One of as many positions, too: it would read lines as what they are not."""
    with pytest.raises(RuntimeError, match="size"):
        made("fca", (32, 16, 12))(images_for(32, *size))


def test_bam_adds_a_branch_for_channels_and_one_for_positions() -> None:
    """Equations 1 and 2 of arXiv:1807.06514; moved values reach other channels and positions."""
    block, x = made("bam", (32, 12, 12), dilation=2), images_for(32, 12, 12)
    channel = block.channel(x.mean(dim=(2, 3), keepdim=True))
    spatial = block.spatial(x)
    assert channel.shape == (2, 32, 1, 1)
    assert spatial.shape == (2, 1, 12, 12)
    torch.testing.assert_close(block(x), x * (1 + torch.sigmoid(channel + spatial)))


def test_bam_sees_two_dilated_kernels_far() -> None:
    """Two 3x3 kernels, 4 apart, reach 8 positions in each direction."""
    block, x = made("bam", (32, 24, 24), dilation=4), images_for(32, 24, 24)
    changed = x.clone()
    changed[:, :, 12, 12] += 1
    rows = (block.spatial(changed) != block.spatial(x)).any(dim=3)[0, 0].nonzero().flatten()
    assert rows.tolist() == [4, 8, 12, 16, 20]


def test_bam_at_an_identity_start_can_take_away_as_much_as_it_adds() -> None:
    block = make_block("bam", channels=32, height=4, width=4, start="identity").eval()
    x = images_for(32, 4, 4)
    for bias, factor in ((-50.0, 0.5), (50.0, 1.5)):
        nn.init.constant_(block.get_parameter("spatial.3.bias"), bias)
        torch.testing.assert_close(block(x), x * factor)


def test_ema_gates_every_position_of_a_group_alike() -> None:
    """arXiv:2305.13563, one group and one channel at a time."""
    block, x = made("ema", (12, 6, 5), factor=3), images_for(12, 6, 5)
    output = block(x)
    for first in (0, 4, 8):
        group = x[:, first : first + 4]
        joined = torch.cat([group.mean(dim=3), group.mean(dim=2)], dim=2)[..., None]
        gates = block.conv1x1(joined).sigmoid()[..., 0]
        rows, columns = gates[:, :, :6, None], gates[:, :, None, 6:]
        one, two = block.norm(group * rows * columns), block.conv3x3(group)
        logits = torch.zeros(2, 6, 5)
        for weigher, weighed in ((one, two), (two, one)):
            weights = weigher.mean(dim=(2, 3)).softmax(dim=1)
            for channel in range(4):
                logits += weights[:, channel, None, None] * weighed[:, channel]
        expected = group * logits.sigmoid()[:, None]
        torch.testing.assert_close(output[:, first : first + 4], expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "shape", "options", "said"),
    [
        ("srm", (8, 1, 1), {}, "one position"),
        ("ema", (96, 1, 1), {}, "one position"),
        ("ema", (24, 7, 7), {}, "its 24 channels do not divide into 32 groups"),
        ("fca", (24, 7, 7), {}, "its 24 channels do not divide into 16 groups"),
        ("fca", (48, 7, 7), {"frequencies": 48}, "only the best 32 are known"),
    ],
)
def test_a_map_that_does_not_fit_is_refused_with_a_reason(
    name: str, shape: tuple[int, int, int], options: dict[str, Option], said: str
) -> None:
    assert said in str(BLOCKS[name].applies(Shape(*shape), options))
