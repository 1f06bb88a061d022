"""Another last layer, for vectors of a length."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nas.backbones.last_layer import give_outputs
from nas.base.errors import SpecError

SHAPE = (3, 8, 8)


def network(*last: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(1), *last).eval()


@pytest.mark.parametrize(
    "last",
    [
        (nn.Flatten(), nn.Linear(6, 10, bias=False)),
        (nn.Conv2d(6, 10, 1), nn.Flatten()),
        (nn.Flatten(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 10), nn.Dropout()),
    ],
)
def test_the_last_layer_has_as_many_outputs_as_are_asked_for(last: tuple[nn.Module, ...]) -> None:
    changed = network(*last)
    kept = {name: value.clone() for name, value in changed.state_dict().items()}
    give_outputs(changed, SHAPE, 12, "own")
    assert changed(torch.zeros(2, *SHAPE)).shape == (2, 12)
    assert set(changed.state_dict()) == set(kept)
    same = [name for name, value in changed.state_dict().items() if value.shape == kept[name].shape]
    assert len(kept) - len(same) in {1, 2}, "its weight, and its bias where it has one"


def test_a_network_that_gives_as_many_keeps_its_layer() -> None:
    own = network(nn.Flatten(), nn.Linear(6, 12))
    layer = own[-1]
    give_outputs(own, SHAPE, 12, "own")
    assert own[-1] is layer


def test_what_no_layer_gives_is_said() -> None:
    with pytest.raises(SpecError, match="'own' gives 2 numbers for an image where 12 are needed"):
        give_outputs(network(nn.Flatten(), nn.Linear(6, 4), nn.GLU()), SHAPE, 12, "own")
