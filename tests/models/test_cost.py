from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from nas.backbones import plain_network
from nas.models.build import uniform
from nas.models.cost import Cost, cost, cost_by_parts, cost_of_module
from nas.spec.architecture import Architecture, Insertion
from nas.spec.task import Task


@pytest.mark.parametrize(
    ("block", "options", "params", "macs"),
    [
        # Table 2 of arXiv:2103.02907 (M parameters, M multiply-adds rounded to 10)
        ("keep", {}, 3.5, 300),
        ("se", {"reduction": 24}, 3.89, 300),
        ("cbam", {"reduction": 24}, 3.89, 300),
        ("coord", {"reduction": 32}, 3.95, 310),
    ],
)
def test_mobilenetv2_costs_what_the_paper_says(
    block: str, options: dict[str, int], params: float, macs: int
) -> None:
    found = cost(uniform("mobilenetv2_100", block, exclude=["blocks.0.*"], **options))
    assert round(found.params / 1e6, 2) == params
    assert round(found.macs / 1e7) * 10 == macs
    assert found.unsupported == ()


def test_a_small_network_by_hand() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),  # 4x4 map: 16 * 8 * 27
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),  # 16 * 8 * 9
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),  # 40
    )
    found = cost_of_module(network, torch.zeros(1, 3, 8, 8))
    assert found == Cost(params=216 + 16 + 72 + 45, macs=3456 + 1152 + 40)


def test_parts_add_up_to_the_whole() -> None:
    mixed = Architecture(
        "mobilenetv2_035",
        64,
        (
            Insertion.of("blocks.1.0/after_depthwise", "coord/r32"),
            Insertion.of("blocks.3.1/after_depthwise", "cbam/r8/k7"),
            Insertion.of("blocks.5.2/after_depthwise", "se/r8"),
        ),
    )
    for architecture in (mixed, uniform("mobilenetv3_small_050", "none", resolution=64)):
        assert cost_by_parts(architecture, Task()) == cost(architecture)


def test_an_operator_that_nobody_counts_is_named() -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cdist(x, x)

    assert cost_of_module(Odd(), torch.zeros(1, 3, 8, 8)).unsupported == ("aten::cdist",)


class Tokens(nn.Module):
    """A module over the positions of a map, (N, H * W, C)."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens: torch.Tensor = self.inner(x.flatten(2).transpose(1, 2))
        return tokens


class ToOthers(nn.Module):
    """Attention of each position to the first five."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        others = x[:, :5]
        return functional.scaled_dot_product_attention(x, others, others[..., :2])


def test_attention_is_counted_by_its_two_products() -> None:
    # 16 queries of width 8 by 5 keys, and 16 x 5 weights of values of width 2
    found = cost_of_module(Tokens(ToOthers()), torch.zeros(1, 8, 4, 4))
    assert found == Cost(params=0, macs=16 * 5 * 8 + 16 * 5 * 2)


@pytest.mark.parametrize("name", ["mobilevit_xxs", "pvt_v2_b0"])
def test_fused_attention_costs_what_its_parts_cost(name: str) -> None:
    """A fifth of mobilevit_xxs was missing."""
    network = plain_network(name)
    images = torch.zeros(1, 3, 64, 64)
    fused = cost_of_module(network, images)
    for module in network.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False
    apart = cost_of_module(network, images)
    assert fused.unsupported == apart.unsupported == ()
    assert fused.macs == apart.macs


def test_attention_in_one_operator_costs_what_its_parts_cost() -> None:
    layer = Tokens(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True))
    images = torch.zeros(1, 32, 4, 4)
    whole = cost_of_module(layer, images)
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        apart = cost_of_module(layer, images)
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    assert whole.unsupported == apart.unsupported == ()
    # Four projections, two products, two layers.
    assert whole.macs == apart.macs == 16 * 32 * 32 * 4 + 16 * 16 * 32 * 2 + 16 * 32 * 64 * 2


def test_other_products_are_counted() -> None:
    class Products(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            rows = x.flatten(2)  # (1, 8, 16)
            columns = rows.transpose(1, 2)
            first, vector = rows[0], rows[0, 0]
            return (
                torch.baddbmm(torch.zeros(1, 8, 8), rows, columns)
                + torch.addbmm(torch.zeros(8, 8), rows, columns)
                + torch.mv(first, vector)
                + torch.dot(vector, vector)
            )

    found = cost_of_module(Products(), torch.zeros(1, 8, 4, 4))
    assert found == Cost(params=0, macs=2 * 8 * 16 * 8 + 8 * 16 + 16)


@pytest.mark.parametrize(
    ("layer", "macs"),
    [
        # Of each of 8x8 numbers in 32 channels, 16 x 2x2 products; and of depthwise ones 4x4.
        (nn.ConvTranspose2d(32, 16, 2, stride=2), 64 * 32 * 16 * 4),
        (nn.ConvTranspose2d(32, 32, 4, stride=2, padding=1, groups=32), 64 * 32 * 16),
        (nn.Conv2d(32, 16, 3, padding="same"), 64 * 16 * 32 * 9),
        (nn.Conv2d(32, 32, 3, padding="same", dilation=2, groups=32), 64 * 32 * 9),
        (nn.InstanceNorm2d(32), 0),
        (nn.PixelShuffle(2), 0),
        (nn.ELU(), 0),
    ],
)
def test_layers_are_counted_as_by_hand(layer: nn.Module, macs: int) -> None:
    """Transposed convolutions counted stride^2 times, and those with padding="same" not at all."""
    counted = cost_of_module(layer.eval(), torch.zeros(1, 32, 8, 8))
    assert (counted.macs, counted.unsupported) == (macs, ())


def test_costs_are_of_the_shape_that_is_deployed() -> None:
    square, tall, wide = (
        cost(uniform("mobilenetv2_035", "se", resolution=size)) for size in (64, (64, 32), "32x64")
    )
    assert tall.params == square.params and tall.macs == wide.macs
    # What is done once, at one position: the blocks' own layers, and the head.
    assert square.macs / 2 < tall.macs < square.macs
    axes = [
        cost(uniform("mobilenetv2_035", "coord", resolution=size)).macs
        for size in ("64x32", "32x64")
    ]
    assert axes[0] == axes[1], "one axis has no more weight than the other"
