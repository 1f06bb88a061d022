from __future__ import annotations

import pytest
import torch
from torch import nn

from nas.models.build import uniform
from nas.models.cost import Cost, cost, cost_by_parts, cost_of_module
from nas.spec.architecture import Architecture, Insertion


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
    for architecture in (mixed, uniform("efficientnet_b0", "none", resolution=64)):
        assert cost_by_parts(architecture) == cost(architecture)


def test_an_operator_that_nobody_counts_is_named() -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cumsum(x, dim=1)

    assert cost_of_module(Odd(), torch.zeros(1, 3, 8, 8)).unsupported == ("aten::cumsum",)
