from __future__ import annotations

import pytest
import torch
from support.tiny_network import SIDE, winner
from torch import Tensor, nn

from nas.export.target.xnnpack import rewrite_for_xnnpack


class Reductions(nn.Module):
    """Every reduction and split that blocks are written with."""

    def forward(self, x: Tensor) -> Tensor:
        across = x.mean(3, keepdim=True) + x.amax(2, keepdim=True)
        channels = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        first, second = torch.split(across, [1, 2], 1)
        whole = x.mean((2, 3)) + x.amax((2, 3)) + x.mean(2).amax(2)
        some = first.sum((2, 3)) + second.mean((1, 2, 3)).unsqueeze(1)
        return whole + some + channels.chunk(2, 1)[1].sum((2, 3))


def operators(module: nn.Module) -> set[str]:
    assert isinstance(module, torch.fx.GraphModule)
    return {str(node.target) for node in module.graph.nodes if node.op == "call_function"}


def test_what_xnnpack_leaves_outside_is_rewritten_to_the_same() -> None:
    images = torch.randn(1, 3, 6, 5)
    rewritten = rewrite_for_xnnpack(Reductions().eval(), images)
    torch.testing.assert_close(rewritten(images), Reductions()(images))
    found = operators(rewritten)
    assert {"aten.avg_pool2d.default", "aten.max_pool2d.default", "aten.slice.Tensor"} <= found
    assert not {"aten.split_with_sizes.default", "aten.chunk.default"} & found


@pytest.mark.parametrize("block", ["coord", "cbam", "triplet", "strip", "ela", "eca"])
def test_blocks_stay_what_they_are(block: str) -> None:
    network, images = winner(block).network, torch.randn(1, 3, SIDE, SIDE)
    rewritten = rewrite_for_xnnpack(network, images)
    with torch.no_grad():
        torch.testing.assert_close(rewritten(images), network(images))
    left = [
        node
        for node in rewritten.graph.nodes  # type: ignore[union-attr]
        if str(node.target) == "aten.amax.default"
    ]
    # A maximum over channels has no pool that is equal to it.
    assert all(tuple(node.args[1]) in {(1,), (-3,)} for node in left)
