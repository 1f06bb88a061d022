"""One contract for every block: whatever is listed in BLOCKS is tested here."""

from __future__ import annotations

import pytest
import torch

from nas.blocks import BLOCKS, make_block
from nas.blocks.block import paper_width
from nas.errors import SpecError

every_block = pytest.mark.parametrize("name", sorted(BLOCKS))


@every_block
@pytest.mark.parametrize("shape", [(48, 16, 16), (96, 7, 5), (64, 1, 1)])
def test_shape_stays(name: str, shape: tuple[int, int, int]) -> None:
    channels, height, width = shape
    block = make_block(name, channels=channels, height=height, width=width).eval()
    images = torch.randn(2, *shape)
    assert block(images).shape == images.shape
    assert torch.isfinite(block(images)).all()


@every_block
def test_identity_start_is_an_identity_and_can_leave_it(name: str) -> None:
    torch.manual_seed(0)
    block = make_block(name, channels=48, height=8, width=8, start="identity")
    images = torch.randn(4, 48, 8, 8)
    assert torch.equal(block.eval()(images), images)
    block.train()
    optimiser = torch.optim.SGD(block.parameters(), lr=0.1)
    for _ in range(3):
        loss = (block(images) - torch.randn(4, 48, 8, 8)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert not torch.equal(block.eval()(images), images)


@every_block
def test_paper_start_is_not_an_identity(name: str) -> None:
    images = torch.randn(2, 48, 8, 8)
    assert not torch.allclose(
        make_block(name, channels=48, height=8, width=8).eval()(images), images
    )


@every_block
def test_gates_multiply_as_often_as_they_say(name: str) -> None:
    """Closed and not doubled, a block gives its input times 2 ** -gates."""
    block = BLOCKS[name]
    module = block.make(48, 8, 8, **block.defaults).eval()
    for parameter in block.closed_by:
        torch.nn.init.zeros_(module.get_parameter(parameter))
    images = torch.randn(2, 48, 8, 8)
    assert torch.equal(module(images), images * 0.5**block.gates)


@every_block
def test_what_a_block_says_about_itself(name: str) -> None:
    block = BLOCKS[name]
    assert block.name == name
    assert block.paper.startswith("https://arxiv.org/abs/")
    assert block.complete({}) == block.defaults


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [
        # m = max(8, 96 // 24) = 8, except CBAM: 96 // 24 = 4
        ("se", {"reduction": 24}, 2 * 96 * 8 + 8 + 96),
        ("cbam", {"reduction": 24, "kernel_size": 7}, 2 * 96 * 4 + 4 + 96 + 2 * 49 + 2),
        ("coord", {"reduction": 32}, 3 * 96 * 8 + 3 * 8 + 2 * 96),
        ("eca", {}, 3),
    ],
)
def test_parameters_follow_the_formula(name: str, options: dict[str, int], parameters: int) -> None:
    block = make_block(name, channels=96, height=7, width=7, **options)
    assert sum(item.numel() for item in block.parameters()) == parameters


def test_coordinate_attention_equals_the_formula_of_its_paper() -> None:
    """Equations 4 to 8 of arXiv:2103.02907, written out."""
    torch.manual_seed(0)
    block = make_block("coord", channels=64, height=6, width=5, reduction=32).eval()
    x = torch.randn(2, 64, 6, 5)
    z_h = x.mean(dim=3)  # (N, C, H)
    z_w = x.mean(dim=2)  # (N, C, W)
    joined = torch.cat([z_h, z_w], dim=2)[..., None]
    f = block.act(block.bn1(block.conv1(joined)))
    g_h = torch.sigmoid(block.conv_h(f[:, :, :6]))[..., 0]
    g_w = torch.sigmoid(block.conv_w(f[:, :, 6:]))[..., 0]
    expected = x * g_h[:, :, :, None] * g_w[:, :, None, :]
    torch.testing.assert_close(block(x), expected, atol=1e-6, rtol=1e-6)


def test_paper_width_has_a_floor() -> None:
    assert [paper_width(channels, 32) for channels in (16, 96, 256, 960)] == [8, 8, 8, 30]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "sea"}, "unknown block 'sea'; known: cbam, coord, eca, se"),
        ({"name": "se", "ratio": 4}, "no option 'ratio'; it has: reduction"),
        ({"name": "eca", "reduction": 4}, "it has: none"),
        ({"name": "se", "reduction": 0}, "at least 1"),
        ({"name": "se", "reduction": 2.5}, "whole number"),
        ({"name": "se", "reduction": True}, "whole number"),
        ({"name": "se", "reduction": 128}, "reduction 128 is larger than its 96 channels"),
        ({"name": "cbam", "kernel_size": 4}, "odd whole number"),
        ({"name": "se", "start": "warm"}, "allowed: paper, identity"),
        ({"name": "se", "channels": 0}, "at least 1"),
    ],
)
def test_wrong_input_is_said_in_one_line(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        make_block(**({"channels": 96, "height": 4, "width": 4} | arguments))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
