from __future__ import annotations

import pytest
import torch
from torch import nn

from nas.backbones.structure import Structure


def made(width: int = 4, name: str = "one", stride: int = 1, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.ModuleDict({name: nn.Conv2d(3, width, 3, stride), "act": nn.ReLU()})


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (made(seed=1), None),
        (made(width=5), "it has 140 weights, and had 112"),
        (made(name="two"), "its weights have other names or shapes"),
        (made(stride=2), "its layers are others, with the same weights"),
    ],
)
def test_what_a_network_is_made_of_is_told_from_another(other: nn.Module, said: str | None) -> None:
    before, now = Structure.of(made()), Structure.of(other)
    assert Structure.from_dict(before.to_dict()) == before
    assert before.difference(now, layers=True) == said


def test_other_versions_of_torch_may_write_layers_otherwise() -> None:
    assert Structure.of(made()).difference(Structure.of(made(stride=2)), layers=False) is None
