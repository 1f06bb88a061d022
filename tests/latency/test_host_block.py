from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nas.backbones.sites.walk import walk
from nas.latency.host_block import HostBlock, input_shapes


class Residual(nn.Module):
    """A residual block with a slot of its own in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.se, self.two = nn.Conv2d(8, 8, 3, 1, 1), nn.Identity(), nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.two(self.se(self.one(x)))


class OfSeveral(Residual):
    """It reads the shortcut beside its map."""

    def forward(self, x: Tensor, shortcut: Tensor) -> Tensor:  # type: ignore[override]
        return shortcut + self.two(self.se(self.one(x)))


class OfList(Residual):
    def forward(self, x: list[Tensor]) -> Tensor:  # type: ignore[override]
        return super().forward(x[0])


class Network(nn.Module):
    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.stem, self.block = nn.Conv2d(3, 8, 3, 2, 1), block

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        inputs = (x, x) if isinstance(self.block, OfSeveral) else (x,)
        given: Tensor = self.block([x]) if isinstance(self.block, OfList) else self.block(*inputs)
        return given


@pytest.mark.parametrize("kind", [Residual, OfSeveral, OfList])
def test_a_site_is_timed_also_where_its_block_cannot_run_by_itself(kind: type[nn.Module]) -> None:
    network = Network(kind()).eval()
    shapes = input_shapes(network, "16x12")
    assert ("block" in shapes) == (kind is Residual)
    sites = {site.name: site for site in walk(Network(kind()), "16x12")}
    assert list(sites)[1:] == [
        f"block/{name}" for name in ("after_convolution", "after_projection", "after_residual")
    ]
    for site in sites.values():
        host = HostBlock(network, site, shapes)
        (without,), (with_block,) = (
            [graph.module() for graph in host.graphs(label)] for label in (None, "se/r4")
        )
        image = torch.randn(1, *host.shapes[0])
        with torch.no_grad():
            assert without(image).shape == with_block(image).shape
        added = sum(item.numel() for item in with_block.parameters()) - sum(
            item.numel() for item in without.parameters()
        )
        assert added > 0


class Scales(nn.Module):
    """Its one block runs at two scales, and at one of them twice."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = Residual()

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x, x, x[:, :2]], dim=1)
        small: Tensor = self.shared(x[:, :, ::2, ::2]).mean((2, 3))
        return small + self.shared(self.shared(x)).mean((2, 3))


class ListedScales(Scales):
    """A module that reads a list of maps cannot run by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = OfList()

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x, x, x[:, :2]], dim=1)
        small: Tensor = self.shared([x[:, :, ::2, ::2]]).mean((2, 3))
        return small + self.shared([self.shared([x])]).mean((2, 3))


@pytest.mark.parametrize("kind", [Scales, ListedScales])
def test_a_module_that_runs_several_times_is_timed_at_each_of_its_maps(
    kind: type[nn.Module],
) -> None:
    network = kind().eval()
    inputs = input_shapes(network, 16)
    sizes = (8, 8, 8), (8, 16, 16), (8, 16, 16)
    assert inputs.get("shared", sizes) == sizes
    for site in walk(kind(), 16):
        assert HostBlock(network, site, inputs).shapes == sizes
        graphs = HostBlock(network, site, inputs).graphs("se/r4")
        assert [graph.shape for graph in graphs] == list(sizes)
        assert len({graph.key for graph in graphs}) == 2
        with torch.no_grad():
            for graph in graphs:
                graph.module()(torch.zeros(1, *graph.shape))
