"""Blocks that are parts of whole systems, against their papers' formulas written out in loops."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from support.stirred_blocks import close, random_image, stirred_block
from torch import Tensor, nn
from torch.nn import functional as F

from nas.base.errors import SpecError
from nas.blocks import block_named, make_block
from nas.blocks.adaptive_average import adaptive_average
from nas.blocks.contmix import DynamicKernels
from nas.blocks.windows import by_grid, by_window, from_grid, from_windows
from nas.spec.architecture import Option

C, H, W = 32, 8, 6
POSITIONS = list(product(range(H), range(W)))


def stirred(
    name: str, channels: int = C, height: int = H, width: int = W, **options: Option
) -> nn.Module:
    return stirred_block(name, (channels, height, width), by=0.2, **options)


def image(channels: int = C, height: int = H, width: int = W) -> Tensor:
    return random_image(2, channels, height, width)


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [
        # C = 96 on 14 x 14
        ("ese", {}, 96**2 + 96),
        ("mlca", {}, 2 * 3),
        ("sge", {"groups": 32}, 2 * 32),
        ("caa", {"kernel_size": 11}, 2 * 96**2 + 4 * 96 + 2 * 11 * 96),
        ("msca", {}, 96**2 + 96 * (26 + 2 * (7 + 11 + 21) + 6 + 1)),
        ("svga", {}, 7 * 96**2 + 12 * 96),
        ("shsa", {}, 20 * 52 + 2 * 52 + 2 * 20 + 96**2 + 2 * 96),
        ("light_nl", {}, 11 * 96),
        ("davit_window", {}, 4 * 96**2 + 16 * 96),
        ("davit_channel", {}, 4 * 96**2 + 16 * 96),
        ("moat", {}, 4 * 96**2 + 6 * 96 + 169 * 3),
        ("i2rmb", {"expansion": 2}, 6 * 96**2 + 61 * 96),
        (
            "contmix",
            {"kernel_size": 9},
            5 * 96**2 + 108 * 96 + 2 * 96 * 16 + 16 + 50 * 106 + 4 * (81 + 17**2),
        ),
        ("spartan_space", {}, 7 * 96**2 // 4 + 87 * 96 // 4),
        ("spartan_wave", {}, 7 * 96**2 + 209 * 96 // 4),
    ],
)
def test_parameters_follow_the_formula(
    name: str, options: dict[str, Option], parameters: int
) -> None:
    block = make_block(name, channels=96, height=14, width=14, **options)
    assert sum(item.numel() for item in block.parameters()) == parameters


@pytest.mark.parametrize("size", [(14, 9), (7, 7), (5, 3), (1, 2)])
@pytest.mark.parametrize("into", [(5, 5), (7, 7), (1, 1), (14, 9)])
def test_adaptive_averages_are_those_of_torch(size: tuple[int, int], into: tuple[int, int]) -> None:
    x = image(3, *size)
    close(adaptive_average(x, *into), F.adaptive_avg_pool2d(x, into))


def test_effective_squeeze_excitation_keeps_every_channel_between_squeeze_and_gate() -> None:
    block, x = stirred("ese"), image()
    z = x.mean((2, 3)) @ block.fc.weight[:, :, 0, 0].T + block.fc.bias
    close(block(x), x * ((z + 3).clamp(0, 6) / 6)[:, :, None, None])


def test_mixed_local_attention_is_half_of_a_patch_and_half_of_the_map() -> None:
    block, x = stirred("mlca", patches=2), image()
    patches = [x[:, :, i * 4 : i * 4 + 4, j * 3 : j * 3 + 3].mean((2, 3)) for i, j in QUARTERS]
    line = torch.cat(patches, dim=1)  # channels of one patch follow those of the one before
    local = F.conv1d(line[:, None], block.local.weight, padding=1)[:, 0].sigmoid()
    average = torch.stack(patches).mean(0)
    whole = F.conv1d(average[:, None], block.whole.weight, padding=1)[:, 0].sigmoid()
    for number, (i, j) in enumerate(QUARTERS):
        gate = 0.5 * whole + 0.5 * local[:, number * C : number * C + C]
        rows, columns = slice(i * 4, i * 4 + 4), slice(j * 3, j * 3 + 3)
        close(block(x)[:, :, rows, columns], x[:, :, rows, columns] * gate[:, :, None, None])


QUARTERS = list(product(range(2), range(2)))


def test_group_enhance_compares_positions_with_their_groups_average() -> None:
    """The formula of arXiv:1905.09646, group by group."""
    block, x = stirred("sge", groups=4), image()
    output = block(x)
    for group in range(4):
        part = x[:, group * 8 : group * 8 + 8]
        c = (part * part.mean((2, 3), keepdim=True)).sum(1)
        c = (c - c.mean((1, 2), keepdim=True)) / (c.std((1, 2), keepdim=True) + 1e-5)
        gate = (block.weight[0, group] * c + block.bias[0, group]).sigmoid()
        close(output[:, group * 8 : group * 8 + 8], part * gate[:, None])


@pytest.mark.parametrize(("channels", "groups"), [(128, 64), (96, 48), (40, 40), (67, 1)])
def test_group_enhance_takes_as_many_groups_as_divide_the_channels(
    channels: int, groups: int
) -> None:
    assert make_block("sge", channels=channels, height=4, width=4).groups == groups


def test_group_enhance_learns_from_groups_that_are_constant() -> None:
    block = make_block("sge", channels=8, height=3, width=3, start="identity")
    images = torch.zeros(2, 8, 3, 3, requires_grad=True)
    block(images).sum().backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()


def test_an_anchor_sees_a_strip_around_its_neighbourhood() -> None:
    """Strips of 11 behind an average over 7 see 8 positions in each direction."""
    block, x = stirred("caa", 4, 24, 24), image(4, 24, 24)
    changed = x.clone()
    changed[:, :, 12, 12] += 1
    seen = (block(changed) != block(x)).any(dim=1)[0]
    rows, columns = (seen.any(dim).nonzero().flatten() for dim in (1, 0))
    assert (int(rows.min()), int(rows.max())) == (4, 20)
    assert (int(columns.min()), int(columns.max())) == (4, 20)


def test_three_lengths_of_strips_are_added_to_the_near_kernel() -> None:
    block, x = stirred("msca"), image()
    near = block.near(x)
    scales = near + sum(strip[1](strip[0](near)) for strip in block.strips)
    close(block(x), x * block.mix(scales))
    assert [strip[0].kernel_size for strip in block.strips] == [(1, 7), (1, 11), (1, 21)]


@pytest.mark.parametrize(("height", "width", "stride"), [(8, 6, 2), (7, 5, 2), (8, 7, 3)])
def test_the_graph_joins_positions_a_number_of_strides_away(
    height: int, width: int, stride: int
) -> None:
    """Largest differences to the rolled lines, one position at a time."""
    block, x = stirred("svga", C, height, width, stride=stride), image(C, height, width)
    y = block.embed(x)
    largest = torch.zeros_like(y)
    for i, j in product(range(height), range(width)):
        joined = [((i - k) % height, j) for k in range(stride, height, stride)]
        joined += [(i, (j - k) % width) for k in range(stride, width, stride)]
        for h, w in joined:
            largest[:, :, i, j] = torch.maximum(largest[:, :, i, j], y[:, :, i, j] - y[:, :, h, w])
    close(block(x), x + block.reduce(block.mix(torch.cat([y, largest], dim=1))))


def test_single_head_attention_attends_to_some_channels_and_lets_the_others_pass() -> None:
    block, x = stirred("shsa", 28), image(28)
    assert block.attended == 6
    normalised = F.group_norm(x[:, :6], 1, block.norm.weight, block.norm.bias)
    q, k, v = block.qkv(normalised).split([16, 16, 6], dim=1)
    attended = torch.zeros(2, 6, H, W)
    for i, j in POSITIONS:
        likeness = torch.stack([(q[:, :, i, j] * k[:, :, h, w]).sum(1) / 4 for h, w in POSITIONS])
        weights = likeness.softmax(dim=0)
        values = torch.stack([v[:, :, h, w] for h, w in POSITIONS])
        attended[:, :, i, j] = (weights[:, :, None] * values).sum(0)
    close(block(x), x + block.project(torch.cat([attended, x[:, 6:]], dim=1).relu()))


@pytest.mark.parametrize(
    ("channels", "reduction", "stride"), [(32, 4, 1), (32, 1, 2), (200, 2, 1), (6, 1, 1)]
)
def test_light_non_local_sums_products_of_positions_in_the_cheaper_order(
    channels: int, reduction: int, stride: int
) -> None:
    """Few channels are multiplied first, many last; the sum is the same."""
    block = stirred("light_nl", channels, reduction=reduction, stride=stride)
    x = image(channels)
    some = channels // reduction
    y = torch.zeros_like(x)
    for i, j in POSITIONS:
        for h, w in product(range(0, H, stride), range(0, W, stride)):
            likeness = (x[:, :some, i, j] * x[:, :some, h, w]).sum(1, keepdim=True)
            y[:, :, i, j] += likeness * x[:, :, h, w] / (H * W)
    close(block(x), x + block.norm(block.depthwise(y)))


def test_windows_attend_within_themselves() -> None:
    block, x = stirred("davit_window", window=3), image()
    nn.init.zeros_(block.place.weight)  # it reaches into the next window
    changed = x.clone()
    changed[:, 0, 4, 4] += 1
    seen = (block(changed) - block(x)).abs().amax(dim=(0, 1)) > 1e-6
    assert seen.nonzero().tolist() == [[i, j] for i in (3, 4, 5) for j in (3, 4, 5)]


def test_channels_of_a_group_attend_to_each_other_over_the_whole_map() -> None:
    """Attention of arXiv:2204.03645 with channels as tokens, one group at a time."""
    block, x = stirred("davit_channel", 64), image(64)
    placed = x + block.place(x)
    q, k, v = block.qkv(block.norm(placed)).flatten(2).chunk(3, dim=1)
    groups = []
    for first in (0, 32):
        part = slice(first, first + 32)
        likeness = torch.einsum("ncp,ndp->ncd", k[:, part] * 32**-0.5, v[:, part])
        groups.append(torch.einsum("ncd,ndp->ncp", likeness.softmax(dim=2), q[:, part]))
    close(block(x), placed + block.project(torch.cat(groups, dim=1).reshape(x.shape)))


def test_every_position_attends_to_every_other_with_a_bias_for_its_offset() -> None:
    """One head of MOAT's attention; the bias is the table stretched to all offsets."""
    block, x = stirred("moat"), image()
    q, k, v = block.qkv(block.norm(x)).chunk(3, dim=1)
    table = F.interpolate(block.positions[None], (2 * H - 1, 2 * W - 1), mode="bilinear")[0, 0]
    attended = torch.zeros_like(x)
    for i, j in POSITIONS:
        products = torch.stack([(q[:, :, i, j] * k[:, :, h, w]).sum(1) for h, w in POSITIONS])
        biases = torch.stack([table[h - i + H - 1, w - j + W - 1] for h, w in POSITIONS])
        likeness = products / 32**0.5 + biases[:, None]
        values = torch.stack([v[:, :, h, w] for h, w in POSITIONS])
        attended[:, :, i, j] = (likeness.softmax(dim=0)[:, :, None] * values).sum(0)
    close(block(x), x + block.project(attended))


def test_a_table_of_positions_fits_any_map() -> None:
    small, large = stirred("moat"), stirred("moat", C, 14, 14)
    small.load_state_dict(large.state_dict())
    close(small(image(C, 14, 14)), large(image(C, 14, 14)))


def test_spanning_attention_sees_its_window_and_positions_a_window_apart() -> None:
    block, x = stirred("i2rmb", 40, 6, 9, window=3), image(40, 6, 9)
    nn.init.ones_(block.scale)
    nn.init.zeros_(block.local.conv.weight)  # it reaches further
    nn.init.zeros_(block.local.bn.bias)
    changed = x.clone()
    changed[:, 0, 4, 4] += 1
    seen = (block(changed) - block(x)).abs().amax(dim=(0, 1)) > 1e-6
    window = {(i, j) for i in (3, 4, 5) for j in (3, 4, 5)}
    grid = {(i, j) for i in (0, 2, 4) for j in (1, 4, 7)}
    assert {(int(i), int(j)) for i, j in seen.nonzero()} == window | grid


@pytest.mark.parametrize("window", [(3, 3), (2, 4)])
def test_windows_and_grids_are_put_together_as_they_were_cut(window: tuple[int, int]) -> None:
    x = image(5, 2 * window[0], 3 * window[1])
    assert torch.equal(from_windows(by_window(x, window), window, x), x)
    assert torch.equal(from_grid(by_grid(x, window), window, x), x)
    tall, wide = window
    for number, (down, across) in enumerate(product(range(2), range(3))):
        close(
            by_window(x, window)[:, :, number],
            x[:, :, down * tall : down * tall + tall, across * wide : across * wide + wide].flatten(
                2
            ),
        )
        close(by_grid(x, window)[:, :, number], x[:, :, down::2, across::3].flatten(2))


def test_each_position_has_a_kernel_of_its_own_that_moves_inside_at_the_border() -> None:
    """Dynamic kernels of 5 x 5 with their biases, one position at a time."""
    torch.manual_seed(0)
    kernels = DynamicKernels(5, heads=2)
    logits, value = torch.randn(1, 25, 2, H * W), torch.randn(1, 8, H, W)
    found = kernels(logits, value)
    for i, j in POSITIONS:
        top, left = min(max(i - 2, 0), H - 5), min(max(j - 2, 0), W - 5)
        for head in range(2):
            # Biases count from the last position of the kernel's window back to this one.
            rows, columns = 4 - (i - top), 4 - (j - left)
            bias = kernels.positions[head, rows : rows + 5, columns : columns + 5].flatten()
            weights = (logits[0, :, head, i * W + j] + bias).softmax(0)
            window = value[0, head * 4 : head * 4 + 4, top : top + 5, left : left + 5].flatten(1)
            close(found[0, head * 4 : head * 4 + 4, i, j], window @ weights)


def test_waves_are_amplitude_times_phase_and_their_strongest_channels() -> None:
    """Complex numbers as torch multiplies them."""
    block, x = stirred("spartan_wave"), image()
    mixer = block.mixer
    theta, phase = F.gelu(mixer.amplitude(x)), mixer.phase(x)
    wave = torch.zeros(2, 2 * C, H, W)
    for n, (i, j) in product(range(2), POSITIONS):
        first = int(x[n, :, i, j].argmax())
        wave[n, :, i, j] = phase[n, :, i, j] * theta[n, :, i, j]
        wave[n, :, i, j] += phase[n, first, i, j] * theta[n, first, i, j]
    pairs = torch.view_as_complex(wave.reshape(2, C, 2, H, W).movedim(2, -1).contiguous())
    turned = pairs * torch.view_as_complex(mixer.turn)[:, None, None]
    turned = torch.view_as_real(turned).movedim(-1, 2).reshape(2, 2 * C, H, W)
    close(mixer(x), mixer.project(mixer.excitation(mixer.aggregate(turned))))


def test_low_frequencies_see_further_than_high_ones() -> None:
    block, x = stirred("spartan_space", 16, 15, 15).mixer, image(16, 15, 15)
    nn.init.zeros_(block.share)  # the average reaches everywhere
    y = block.reduce(x)
    changed = y.clone()
    changed[:, :, 7, 7] += 1
    reach = []
    for layers in (block.high, block.low):
        seen = (layers(changed) != layers(y)).any(dim=1).any(dim=0).nonzero()
        reach.append((int(seen.min()), int(seen.max())))
    assert reach == [(6, 8), (3, 11)]


@pytest.mark.parametrize(
    ("name", "shape", "options", "reason"),
    [
        ("sge", (16, 1, 1), {}, "one position"),
        ("svga", (16, 2, 2), {}, "nothing on its map of 2x2 is 2 positions away"),
        ("shsa", (4, 7, 7), {}, "of its 4 channels none would be attended"),
        ("shsa", (16, 57, 56), {}, "3192 positions are more than 3136"),
        ("light_nl", (16, 1, 7), {"stride": 2}, "too small for a stride of 2"),
        ("davit_window", (32, 7, 5), {}, "7x5 is smaller than a window of 7"),
        ("i2rmb", (32, 3, 7), {"window": 4}, "3x7 is smaller than a window of 4"),
        ("contmix", (32, 9, 12), {"kernel_size": 13}, "9x12 is smaller than a kernel of 13"),
        ("contmix", (32, 4, 4), {"kernel_size": 3}, "4x4 is smaller than a kernel of 5"),
        ("contmix", (36, 14, 14), {}, "36 channels do not divide into 8"),
        ("moat", (32, 57, 56), {}, "3192 positions are more than 3136"),
        ("spartan_space", (20, 7, 7), {}, "20 channels do not divide into 8"),
        ("spartan_wave", (4, 7, 7), {}, "4 channels do not divide into 8"),
    ],
)
def test_maps_that_do_not_fit_are_refused(
    name: str, shape: tuple[int, int, int], options: dict[str, Option], reason: str
) -> None:
    channels, height, width = shape
    with pytest.raises(SpecError, match=reason):
        make_block(name, channels=channels, height=height, width=width, **options)


def test_blocks_name_their_heads_by_the_channels() -> None:
    heads = [
        block_named("davit_channel").make(channels, 7, 7).heads for channels in (16, 48, 96, 136)
    ]
    assert heads == [1, 1, 3, 4]
