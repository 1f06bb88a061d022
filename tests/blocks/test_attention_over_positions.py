"""What makes each of these blocks itself: its equation, written out, and how far it sees."""

from __future__ import annotations

import math

import pytest
import torch
from timm.layers.halo_attn import HaloAttn
from torch import Tensor, nn

from nas.blocks import BLOCKS, make_block
from nas.blocks.axial import AxialAttention
from nas.blocks.block import Shape
from nas.blocks.halo import HaloInsertion
from nas.spec.architecture import Option

AXIAL_TABLES = 2 * 6 * (2 * 7 - 1 + 2 * 14 - 1)


def made(
    name: str, channels: int, height: int, width: int, start: str = "paper", **options: Option
) -> nn.Module:
    """With random weights in place of those that begin at zero."""
    torch.manual_seed(0)
    block = make_block(
        name, channels=channels, height=height, width=width, start=start, **options
    ).eval()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return block


def seen_from(block: nn.Module, shape: tuple[int, int, int], row: int, column: int) -> Tensor:
    """Which positions what comes out at one position depends on, (H, W)."""
    images = torch.randn(1, *shape, requires_grad=True)
    block(images)[0, :, row, column].square().sum().backward()
    assert images.grad is not None
    return images.grad[0].abs().sum(0) > 0


def square(size: int, row: int, column: int, radius: int) -> Tensor:
    places = torch.arange(size)
    near_row, near_column = (places - row).abs() <= radius, (places - column).abs() <= radius
    return near_row[:, None] & near_column[None, :]


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [
        ("lka", {"kernel_size": 21}, 96**2 + 96 * (25 + 49 + 3)),
        ("lka", {"kernel_size": 9}, 96**2 + 96 * (25 + 9 + 3)),
        ("ffa", {"kernel_size": 7}, 96**2 + 2 * 96 + 2 * 96 * (49 + 1)),
        # m = 96 // 4
        ("gala", {"reduction": 4}, 3 * 96 * 24 + 3 * 24 + 3 * 96 + 1),
        # d = 96 / 8
        ("halo", {"block_size": 8, "heads": 8}, 3 * 96**2 + 2 * 12 * (16 + 6 - 1) + 2 * 96),
        # one value and 20 keys for each of 8 heads
        (
            "aa",
            {"reduction": 10, "heads": 8},
            97 * (2 * 8 * 20 + 8) + 20 * (2 * 7 - 1 + 2 * 14 - 1) + 9 * 96,
        ),
        # m = 96 / 2 and d = 6
        (
            "axial",
            {"reduction": 2, "heads": 8},
            2 * 96 * 48 + 2 * 48 + 2 * 96 + 2 * (2 * 48**2 + 8 * 48 + 6 * 8) + AXIAL_TABLES,
        ),
        ("bra", {"topk": 4, "regions": 7}, 4 * 96**2 + 32 * 96),
        # v = 96 / 4
        (
            "lambda",
            {"kernel_size": 9, "heads": 4},
            96 * (64 + 16 + 24) + 32 * 4 + 2 * 24 + 16 * (81 + 1) + 2 * 96,
        ),
    ],
)
def test_parameters_follow_the_formula(
    name: str, options: dict[str, Option], parameters: int
) -> None:
    block = make_block(name, channels=96, height=7, width=14, **options)
    assert sum(item.numel() for item in block.parameters()) == parameters


@pytest.mark.parametrize(
    ("name", "shape", "options", "said"),
    [
        ("lka", (16, 7, 7), {"kernel_size": 11}, "kernel 11 needs a dilated one of 4"),
        ("halo", (12, 7, 7), {}, "its 12 channels do not divide into 8 heads"),
        ("halo", (16, 57, 56), {}, "its 3192 positions are more than 3136"),
        ("lambda", (18, 7, 7), {}, "its 18 channels do not divide into 4 heads"),
        ("lambda", (16, 57, 56), {}, "its 3192 positions are more than 3136"),
        ("aa", (16, 33, 32), {}, "its 1056 positions are more than 1024"),
        ("axial", (16, 57, 56), {}, "its 3192 positions are more than 3136"),
        ("bra", (16, 56, 63), {}, "its 3528 positions are more than 3136"),
    ],
)
def test_a_map_that_does_not_fit_is_refused_with_a_reason(
    name: str, shape: tuple[int, int, int], options: dict[str, Option], said: str
) -> None:
    assert said in (BLOCKS[name].applies(Shape(*shape), options) or "")


@pytest.mark.parametrize(("kernel_size", "radius"), [(21, 2 + 9), (15, 2 + 6), (9, 2 + 3)])
def test_lka_sees_a_large_kernel(kernel_size: int, radius: int) -> None:
    block = made("lka", 2, 27, 27, kernel_size=kernel_size)
    seen = seen_from(block, (2, 27, 27), 13, 13)
    assert torch.equal(seen, square(27, 13, 13, radius))


def test_lka_multiplies_without_a_sigmoid() -> None:
    block, images = made("lka", 4, 5, 5), torch.randn(2, 4, 5, 5)
    attention = block.mix(block.far(block.near(images)))
    assert torch.equal(block(images), images * attention)
    assert bool((attention < 0).any())


def test_ffa_sees_two_kernels_far() -> None:
    block = made("ffa", 2, 15, 15, kernel_size=5)
    assert torch.equal(seen_from(block, (2, 15, 15), 7, 7), square(15, 7, 7, 4))


def test_ffa_equals_the_formula_of_its_paper() -> None:
    """Keys and values are depthwise kernels; GELU stands between them."""
    block, x = made("ffa", 3, 6, 5, kernel_size=3), torch.randn(2, 3, 6, 5)
    query = block.query(x)
    similarity = torch.stack(
        [
            nn.functional.conv2d(query[:, i : i + 1], block.keys.weight[i : i + 1], padding=1)[:, 0]
            + block.keys.bias[i]
            for i in range(3)
        ],
        dim=1,
    )
    coefficients = 0.5 * similarity * (1 + torch.erf(similarity / math.sqrt(2)))
    values = nn.functional.conv2d(
        coefficients, block.values.weight, block.values.bias, padding=1, groups=3
    )
    torch.testing.assert_close(block(x), x + values, atol=1e-5, rtol=1e-5)


def test_gala_equals_the_formula_of_its_paper() -> None:
    block, x = made("gala", 8, 4, 5), torch.randn(2, 8, 4, 5)
    expected = torch.empty_like(x)
    shrink, _, expand = block.what
    narrow, _, collapse = block.where
    for n in range(2):
        hidden = shrink.weight[:, :, 0, 0] @ x[n].mean((1, 2)) + shrink.bias
        g = expand.weight[:, :, 0, 0] @ hidden.relu() + expand.bias
        for i in range(4):
            for j in range(5):
                hidden = narrow.weight[:, :, 0, 0] @ x[n, :, i, j] + narrow.bias
                s = collapse.weight[0, :, 0, 0] @ hidden.relu() + collapse.bias
                z = block.added[:, 0, 0] * (g + s) + block.multiplied[:, 0, 0] * g * s
                expected[n, :, i, j] = x[n, :, i, j] * torch.tanh(z)
    torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-5)


def test_gala_starts_as_its_gate_added_to_a_shortcut() -> None:
    block = made("gala", 8, 4, 5, start="identity")
    with_tanh = made("gala", 8, 4, 5)
    with_tanh.load_state_dict(block.state_dict())
    with torch.no_grad():
        with_tanh.added.mul_(0.5)
        with_tanh.multiplied.mul_(0.5)
    x = torch.randn(2, 8, 4, 5)
    torch.testing.assert_close(block(x), x + with_tanh(x), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("block_size", [7, 4])
def test_halo_attention_equals_timms(block_size: int) -> None:
    """Theirs has rows for offsets that no query of a block can ask for: 2 x halo of them."""
    block = made("halo", 16, 14, 21, block_size=block_size, heads=2)
    assert isinstance(block, HaloInsertion)
    theirs = HaloAttn(16, num_heads=2, dim_head=8, block_size=block_size, scale_pos_embed=True)
    with torch.no_grad():
        theirs.pos_embed.height_rel[6:] = block.positions.rows
        theirs.pos_embed.width_rel[6:] = block.positions.columns
    theirs.q, theirs.kv = block.q, block.kv
    x = torch.randn(2, 16, 14, 21)
    padded = nn.functional.pad(x, (0, -21 % block_size, 0, -14 % block_size))
    expected = x + block.norm(theirs(padded)[:, :, :14, :21])
    torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-5)


def test_halo_attention_sees_its_block_and_a_halo_of_three() -> None:
    block = made("halo", 8, 16, 16, block_size=4, heads=2)
    seen = torch.zeros(16, 16, dtype=torch.bool)
    seen[1:11, 5:15] = True
    assert torch.equal(seen_from(block, (8, 16, 16), 4, 11), seen)


def test_halo_weights_fit_any_map() -> None:
    small, large = made("halo", 8, 7, 7), made("halo", 8, 14, 20)
    large.load_state_dict(small.state_dict())
    images = torch.randn(1, 8, 14, 20)
    assert torch.equal(small(images), large(images))


def test_attention_augmentation_equals_the_formula_of_its_paper() -> None:
    """Equations 1 to 4, one pair of positions after the other."""
    height, width, keys = 3, 4, 20
    block = made("aa", 16, height, width, reduction=4, heads=2)
    x = torch.randn(1, 16, height, width)
    q, k, v = block.attention.qkv(x)[0].split([2 * keys, 2 * keys, 4])
    tall, wide = block.attention.pos_embed.height_rel, block.attention.pos_embed.width_rel
    heads = []
    for head in range(2):
        mine = slice(head * keys, (head + 1) * keys)
        attended = torch.empty(2, height, width)
        for i in range(height):
            for j in range(width):
                logits = torch.empty(height, width)
                for a in range(height):
                    for b in range(width):
                        place = k[mine, a, b] + tall[a - i + height - 1] + wide[b - j + width - 1]
                        logits[a, b] = q[mine, i, j] @ place / math.sqrt(keys)
                weights = logits.flatten().softmax(0).reshape(height, width)
                attended[:, i, j] = (weights * v[2 * head : 2 * head + 2]).sum((1, 2))
        heads.append(attended)
    expected = x + block.project(torch.cat(heads)[None])
    torch.testing.assert_close(block(x), expected, atol=1e-4, rtol=1e-4)


def test_axial_attention_equals_the_formula_of_its_paper() -> None:
    """Equation 4 along one line, with norms that leave everything as it is."""
    torch.manual_seed(0)
    line = AxialAttention(8, 5, heads=2).eval()
    for norm in (line.norm_qkv, line.norm_similarity, line.norm_output):
        norm.eps = 0.0
    x = torch.randn(3, 8, 5)
    expected = torch.empty_like(x)
    for n in range(3):
        qkv = line.qkv.weight[:, :, 0] @ x[n]
        for head in range(2):
            q, k, v = qkv[8 * head : 8 * head + 8].split([2, 2, 4])
            r_q, r_k, r_v = line.tables.split([2, 2, 4])
            for o in range(5):
                # The table's place for o seen from p, and the other way round.
                there, back = [o - p + 4 for p in range(5)], [p - o + 4 for p in range(5)]
                logits = [
                    q[:, o] @ k[:, p] + q[:, o] @ r_q[:, there[p]] + k[:, p] @ r_k[:, back[p]]
                    for p in range(5)
                ]
                weights = torch.stack(logits).softmax(0)
                values = torch.stack([v[:, p] + r_v[:, there[p]] for p in range(5)])
                expected[n, 4 * head : 4 * head + 4, o] = weights @ values
    torch.testing.assert_close(line(x), expected, atol=1e-5, rtol=1e-5)


def test_axial_attention_follows_columns_and_then_rows() -> None:
    block, images = made("axial", 16, 3, 4), torch.randn(1, 16, 3, 4)
    assert seen_from(block, (16, 3, 4), 1, 2).all()
    y = block.down(images)
    columns = torch.stack([block.columns(y[:, :, :, j]) for j in range(4)], dim=3)
    rows = torch.stack([block.rows(columns[:, :, i]) for i in range(3)], dim=2)
    torch.testing.assert_close(block(images), images + block.up(rows.relu()), atol=1e-5, rtol=1e-5)


def test_bi_level_routing_equals_the_formula_of_its_paper() -> None:
    """For 2 x 2 regions of 3 x 2 positions, one region after the other."""
    block = made("bra", 64, 6, 4, topk=2, regions=2)
    x = torch.randn(1, 64, 6, 4)
    q, k, v = block.qkv(block.norm(x))[0].chunk(3)
    regions = [(slice(3 * i, 3 * i + 3), slice(2 * j, 2 * j + 2)) for i in (0, 1) for j in (0, 1)]
    attended = torch.empty(64, 6, 4)
    for rows, columns in regions:
        query = q[:, rows, columns]
        alike = [(query.mean((1, 2)) @ k[:, r, c].mean((1, 2))).item() for r, c in regions]
        first, second = sorted(range(4), key=lambda region: -alike[region])[:2]
        chosen = [regions[first], regions[second]]
        keys = torch.cat([k[:, r, c].flatten(1) for r, c in chosen], dim=1)
        values = torch.cat([v[:, r, c].flatten(1) for r, c in chosen], dim=1)
        heads = []
        for head in (slice(0, 32), slice(32, 64)):
            logits = query[head].flatten(1).T @ keys[head] / math.sqrt(64)
            heads.append((logits.softmax(1) @ values[head].T).T)
        attended[:, rows, columns] = torch.cat(heads).reshape(64, 3, 2)
    expected = x + block.project(attended[None] + block.local(v[None]))
    torch.testing.assert_close(block(x), expected, atol=1e-4, rtol=1e-4)


def test_bi_level_routing_pads_a_map_that_regions_do_not_tile() -> None:
    """5 x 4 positions in 2 x 2 regions: three rows of regions, of which the last is half empty."""
    block, x = made("bra", 32, 5, 4, topk=9, regions=2), torch.randn(1, 32, 5, 4)
    q, k, v = block.qkv(block.norm(x))[0].chunk(3)
    beyond = torch.zeros(32, 4)
    keys, values = (torch.cat([part.flatten(1), beyond], dim=1) for part in (k, v))
    weights = (q.flatten(1).T @ keys / math.sqrt(32)).softmax(1)
    attended = (weights @ values.T).T.reshape(1, 32, 5, 4)
    expected = x + block.project(attended + block.local(v[None]))
    torch.testing.assert_close(block(x), expected, atol=1e-4, rtol=1e-4)


def test_bi_level_routing_takes_all_regions_where_there_are_fewer() -> None:
    images = torch.randn(1, 32, 4, 4)
    all_of_them = made("bra", 32, 4, 4, topk=4, regions=2)
    assert torch.equal(made("bra", 32, 4, 4, topk=9, regions=2)(images), all_of_them(images))


@pytest.mark.parametrize(("channels", "heads"), [(16, 1), (40, 1), (96, 3), (112, 2), (160, 5)])
def test_bi_level_routing_has_as_many_heads_as_divide_its_channels(
    channels: int, heads: int
) -> None:
    assert make_block("bra", channels=channels, height=7, width=7).heads == heads


def test_lambda_layer_equals_the_formula_of_its_paper() -> None:
    """Equations 1 and 2 with a context of 3 x 3: one lambda per position, for all heads."""
    height, width, heads = 4, 3, 2
    block = made("lambda", 8, height, width, kernel_size=3, heads=heads)
    layer, x = block.attention, torch.randn(1, 8, height, width)
    q, k, v = layer.qkv(x).split([16 * heads, 16, 4], dim=1)
    q, v = layer.norm_q(q)[0], layer.norm_v(v)[0]
    keys = k[0].flatten(1).softmax(1)
    content = keys @ v.flatten(1).T  # (16, 4)
    embedding = layer.conv_lambda.weight[:, 0, :, :, 0]  # (16, 3, 3)
    expected = torch.empty(1, 8, height, width)
    for i in range(height):
        for j in range(width):
            position = layer.conv_lambda.bias[:, None].expand(16, 4).clone()
            for a in range(max(0, i - 1), min(height, i + 2)):
                for b in range(max(0, j - 1), min(width, j + 2)):
                    position += torch.outer(embedding[:, a - i + 1, b - j + 1], v[:, a, b])
            for head in range(heads):
                query = q[16 * head : 16 * head + 16, i, j]
                expected[0, 4 * head : 4 * head + 4, i, j] = query @ (content + position)
    torch.testing.assert_close(block(x), x + block.norm(expected), atol=1e-4, rtol=1e-4)
