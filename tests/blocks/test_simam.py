from __future__ import annotations

import math

import torch

from nas.blocks.block import Shape
from nas.blocks.simam import SIMAM


def test_simam_follows_from_the_least_energy() -> None:
    """Equation 5: e = 4 (s + lambda) / ((x - mean)^2 + 2 s + 2 lambda), gate sigmoid(1 / e).

    One channel holds 1, 1, 1, 5: mean 2, squares 1, 1, 1, 9, variance 12 / 3 = 4.
    """
    x = torch.tensor([1.0, 1.0, 1.0, 5.0]).reshape(1, 1, 2, 2)
    energy = [4 * 4.0001 / (square + 8.0002) for square in (1, 1, 1, 9)]
    expected = [
        value / (1 + math.exp(-1 / e)) for value, e in zip((1, 1, 1, 5), energy, strict=True)
    ]
    found = SIMAM.assemble(1, 2, 2, "paper", {})(x).flatten()
    torch.testing.assert_close(found, torch.tensor(expected))


def test_simam_has_no_parameters_unless_it_starts_as_an_identity() -> None:
    """Then one number, which at 1 gives the paper's block."""
    x = torch.randn(2, 8, 5, 6, generator=torch.Generator().manual_seed(0))
    paper, identity = (SIMAM.assemble(8, 5, 6, start, {}) for start in ("paper", "identity"))
    assert not list(paper.parameters())
    assert torch.equal(identity(x), x)
    (slope,) = identity.parameters()
    identity(x).square().sum().backward()
    assert slope.grad is not None
    assert slope.grad.abs() > 0
    torch.nn.init.ones_(slope)
    torch.testing.assert_close(SIMAM.fold(identity) * identity(x), 2 * paper(x))


def test_simam_refuses_a_map_of_one_position() -> None:
    assert "one position" in str(SIMAM.applies(Shape(8, 1, 1)))
