"""Blocks that read the whole map, against their papers' formulas written out in loops."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from support.stirred_blocks import close, random_image, stirred_block
from torch import Tensor, nn
from torch.nn import functional as F

from nas.base.errors import SpecError
from nas.blocks import make_block
from nas.spec.architecture import Option

C, H, W = 16, 4, 3
POSITIONS = list(product(range(H), range(W)))


def stirred(name: str, height: int = H, width: int = W, **options: Option) -> nn.Module:
    return stirred_block(name, (C, height, width), **options)


def image(height: int = H, width: int = W) -> Tensor:
    return random_image(1, C, height, width)


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [
        # C = 96 on 14 x 14; m = 8, 24, 48 as the options say
        ("gc", {"reduction": 4}, 2 * 96 * 24 + 3 * 24 + 2 * 96 + 1),
        ("gc_scale", {"reduction": 16}, 2 * 96 * 8 + 3 * 8 + 2 * 96 + 1),
        ("nl", {"reduction": 2}, 4 * 96 * 48 + 3 * 48 + 3 * 96),
        ("a2", {"reduction": 4}, 4 * 96 * 24 + 3 * 24 + 96),
        ("cc", {"reduction": 8}, 2 * 96 * 12 + 2 * 12 + 96 * 96 + 96 + 1),
        ("gsop", {"covariance": 32}, 5 * 96 * 32 + 96 + 4 * 32**2 + 9 * 32),
        ("ge", {"extent": "global"}, 96 * 14 * 14 + 2 * 96 + 2 * 96 * 8 + 8 + 96),
        ("ge", {"extent": "e8"}, 3 * 11 * 96 + 2 * 96 * 8 + 8 + 96),
        ("ge", {"variant": "theta", "extent": "e2"}, 11 * 96),
        ("ge", {"variant": "theta_minus", "extent": "e2"}, 1),
    ],
)
def test_parameters_follow_the_formula(
    name: str, options: dict[str, Option], parameters: int
) -> None:
    block = make_block(name, channels=96, height=14, width=14, **options)
    assert sum(item.numel() for item in block.parameters()) == parameters


@pytest.mark.parametrize("name", ["gc", "gc_scale"])
def test_global_context_pools_with_one_attention_map(name: str) -> None:
    block, x = stirred(name), image()
    logits = torch.stack([block.conv_attn(x)[0, 0, i, j] for i, j in POSITIONS])
    weights = logits.exp() / logits.exp().sum()
    pooled = sum(weight * x[0, :, i, j] for weight, (i, j) in zip(weights, POSITIONS, strict=True))
    mlp = block.mlp_add if name == "gc" else block.mlp_scale
    hidden = F.conv2d(pooled.view(1, C, 1, 1), mlp.fc1.weight, mlp.fc1.bias).flatten()
    hidden = F.layer_norm(hidden, hidden.shape, mlp.norm.weight, mlp.norm.bias, 1e-5).relu()
    change = mlp.fc2(hidden.view(1, -1, 1, 1))
    close(block(x), x + change if name == "gc" else x * change.sigmoid())


def test_non_local_is_a_weighted_sum_over_all_positions() -> None:
    """Equations 1, 3 and 6 of arXiv:1711.07971."""
    block, x = stirred("nl", subsample=False), image()
    theta, phi, g = block.t(x)[0], block.p(x)[0], block.g(x)[0]
    y = torch.zeros_like(theta)
    for i in POSITIONS:
        affinity = torch.stack([(theta[:, i[0], i[1]] @ phi[:, *j]).exp() for j in POSITIONS])
        values = torch.stack([g[:, *j] for j in POSITIONS])
        y[:, i[0], i[1]] = (affinity[:, None] * values).sum(0) / affinity.sum()
    close(block(x), block.norm(block.z(y[None])) + x)


def test_subsampling_leaves_a_quarter_of_the_positions_to_attend_to() -> None:
    block = stirred("nl", 4, 4, subsample=True)
    assert block.p(image(4, 4)).shape[2:] == (2, 2)
    assert block.t(image(4, 4)).shape[2:] == (4, 4)


def test_double_attention_gathers_over_positions_and_distributes_over_descriptors() -> None:
    block, x = stirred("a2"), image()
    features, gather, distribute = block.features(x)[0], block.gather(x)[0], block.distribute(x)[0]
    descriptors = []
    for one in gather:
        weight = one.exp() / one.exp().sum()
        descriptors.append(sum(weight[i, j] * features[:, i, j] for i, j in POSITIONS))
    z = torch.zeros_like(features)
    for i, j in POSITIONS:
        weight = distribute[:, i, j].exp() / distribute[:, i, j].exp().sum()
        z[:, i, j] = sum(w * item for w, item in zip(weight, descriptors, strict=True))
    close(block(x), x + block.expand(z[None]))


def test_criss_cross_attends_to_its_row_and_column_and_to_itself_once() -> None:
    block, x = stirred("cc", recurrence=1), image()
    query, key, value = block.query(x)[0], block.key(x)[0], block.value(x)[0]
    expected = x.clone()
    for i, j in POSITIONS:
        path = [(h, j) for h in range(H) if h != i] + [(i, w) for w in range(W)]
        affinity = torch.stack([(query[:, i, j] @ key[:, *other]).exp() for other in path])
        for weight, other in zip(affinity / affinity.sum(), path, strict=True):
            expected[0, :, i, j] += block.gamma[0] * weight * value[:, *other]
    close(block(x), expected)


@pytest.mark.parametrize(("recurrence", "reached"), [(1, H + W - 1), (2, H * W)])
def test_two_crossings_reach_the_whole_map(recurrence: int, reached: int) -> None:
    block, x = stirred("cc", recurrence=recurrence), image().requires_grad_()
    block(x)[0, :, 0, 0].sum().backward()
    assert x.grad is not None
    assert int((x.grad[0].abs().sum(0) > 0).sum()) == reached


def test_second_order_pooling_reads_the_covariance_row_by_row() -> None:
    block, x = stirred("gsop"), image()
    features = block.norm(block.reduce(x.relu())).relu()[0].flatten(1)
    covariance = torch.cov(features, correction=0)
    rows = block.row_norm(covariance[None, :, :, None])[0, :, :, 0]
    four = torch.cat(
        [block.rows.weight[4 * i : 4 * i + 4, 0, :, 0] @ row for i, row in enumerate(rows)]
    )
    gate = block.expand((four + block.rows.bias).view(1, -1, 1, 1)).sigmoid()
    close(block(x), x * gate)


def test_second_order_pooling_takes_every_other_position_of_a_large_map() -> None:
    strides = [
        make_block("gsop", channels=C, height=side, width=side).reduce.stride for side in (28, 56)
    ]
    assert strides == [(1, 1), (2, 2)]


def test_gather_excite_without_parameters_averages_windows() -> None:
    """Windows of 2e - 1 = 3 at a stride of e = 2, over what lies inside the map."""
    block = make_block("ge", channels=C, height=4, width=4, variant="theta_minus", extent="e2")
    x = image(4, 4)
    expected = x.clone()
    for i, j in product(range(4), repeat=2):
        top, left = i // 2 * 2, j // 2 * 2  # nearest neighbour
        window = x[:, :, max(0, top - 1) : top + 2, max(0, left - 1) : left + 2]
        expected[:, :, i, j] *= window.mean(dim=(2, 3)).sigmoid()
    close(block(x), expected)


def test_gather_excite_gathers_the_whole_map_by_channel() -> None:
    block, x = stirred("ge", variant="theta"), image()
    weight = block.gather[0].weight[:, 0]
    gathered = torch.stack([(weight[c] * x[0, c]).sum() for c in range(C)])
    norm = block.last
    scaled = gathered / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
    close(block(x), x * scaled.sigmoid().view(1, C, 1, 1))


def test_gather_excite_plus_is_theta_with_a_bottleneck() -> None:
    block, x = stirred("ge", variant="theta_plus", extent="e8"), image()
    kinds = [type(layer).__name__ for layer in block.gather]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU"] * 3 + ["Conv2d", "ReLU"]
    gate = block.last(block.gather(x)).sigmoid()
    assert gate.shape[2:] == (1, 1)
    close(block(x), x * gate)


@pytest.mark.parametrize(
    ("name", "shape", "options", "reason"),
    [
        ("nl", (16, 57, 56), {}, "too many"),
        ("nl", (16, 1, 9), {"subsample": True}, "too small to subsample"),
        ("gsop", (16, 1, 1), {}, "single position"),
        ("gsop", (32, 7, 7), {"covariance": 32}, "no less than its 32 channels"),
    ],
)
def test_maps_that_do_not_fit_are_refused(
    name: str, shape: tuple[int, int, int], options: dict[str, Option], reason: str
) -> None:
    channels, height, width = shape
    with pytest.raises(SpecError, match=reason):
        make_block(name, channels=channels, height=height, width=width, **options)
