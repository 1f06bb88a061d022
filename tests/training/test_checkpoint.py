"""Weights on disk, and back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from nas.training.checkpoint import load_weights, save_weights


class Tied(nn.Module):
    """A convolution that is used twice, and two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, padding=1)
        self.again = self.first
        self.one, self.other = nn.Linear(4, 4), nn.Linear(4, 4)
        self.other.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.other(self.one(self.again(self.first(x)).mean(2)))


def test_tied_weights_are_kept_under_each_name(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, path = Tied().eval(), tmp_path / "w.safetensors"
    save_weights(path, network.state_dict())
    fresh = Tied().eval()
    fresh.load_state_dict(load_weights(path))
    images = torch.randn(2, 3, 4, 4)
    assert torch.equal(fresh(images), network(images))
    assert fresh.again is fresh.first and fresh.other.weight is fresh.one.weight


@pytest.mark.parametrize("part", [slice(0, 2), slice(2, 4)])
def test_a_view_is_written_alone(tmp_path: Path, part: slice) -> None:
    whole = torch.arange(400.0).reshape(4, 100)
    save_weights(tmp_path / "w.safetensors", {"part": whole[part], "turned": whole.t()})
    found = load_weights(tmp_path / "w.safetensors")
    assert torch.equal(found["part"], whole[part]) and torch.equal(found["turned"], whole.t())
    assert (tmp_path / "w.safetensors").stat().st_size < 200 * 4 + 400 * 4 + 400
