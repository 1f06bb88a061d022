"""Forwards that run their children in unusual ways: loops, shortcuts in containers, branches."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nas
from nas.backbones.sites.walk import outputs, walk

SIDE = 32


def depthwise(channels: int, size: int = 3) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, size, 1, size // 2, groups=channels, bias=False)


class Body(nn.Module):
    """A stem, anything, and a head."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.stem, self.body, self.head = nn.Conv2d(3, 16, 3, 2, 1), body, nn.Linear(16, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(self.stem(images)).mean((2, 3)))


class Shortcut(nn.Sequential):
    """A shortcut around a sequence."""

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class ByName(nn.Sequential):
    """A sequence that runs two of its layers, by name."""

    def forward(self, x: Tensor) -> Tensor:
        return self[1](self[0](x))


class Children(nn.Module):
    """A stage as that of timm's RegNet; the loop is in a method of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(16, 16, 3, 1, 1), nn.Conv2d(16, 16, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        next(self.parameters())  # which is of torch, and no loop
        return self.run(x)

    def run(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = layer(x)
        return x


class Dense(nn.ModuleDict):
    """A dense block: what is in it is run on a list."""

    def forward(self, x: Tensor) -> Tensor:
        maps = [x]
        for layer in self.values():
            maps.append(layer(torch.cat(maps, dim=1)))
        return maps[-1]


def dense() -> nn.Module:
    return Dense({"a": nn.Conv2d(16, 8, 3, 1, 1), "b": nn.Conv2d(24, 16, 3, 1, 1)})


LOOPS: dict[str, Callable[[], nn.Module]] = {
    "shortcut": lambda: Shortcut(depthwise(16), nn.ReLU(), nn.Conv2d(16, 16, 1)),
    "nested": lambda: Shortcut(Shortcut(nn.Conv2d(16, 16, 3, 1, 1)), nn.Conv2d(16, 16, 1)),
    "by_name": lambda: ByName(nn.Conv2d(16, 16, 3, 1, 1), nn.ReLU()),
    "children": Children,
    "dense": dense,
    "plain": lambda: nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1), nn.ReLU()),
}


class Tap(nn.Module):
    """A block that counts, and gives nothing but zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        return torch.zeros_like(x)


@pytest.mark.parametrize("name", LOOPS)
def test_a_block_behind_a_module_runs_once_and_on_all_that_it_gives(name: str) -> None:
    """It was in the loop, too, or in the branch before the sum, or nowhere."""
    network = Body(LOOPS[name]()).eval()
    (site,) = outputs(copy.deepcopy(network), SIDE, "body")
    site.slot.fill(network, Tap())
    network = copy.deepcopy(network)
    scores = network(torch.randn(2, 3, SIDE, SIDE))
    block = site.slot.block(network)
    assert isinstance(block, Tap) and block.count == 1
    assert torch.equal(scores, network.head(torch.zeros(2, 16)))


def test_blocks_of_modules_in_one_another_are_kept_apart() -> None:
    network = Body(LOOPS["nested"]()).eval()
    grown = nas.insert(network, {"body": "se/r4", "body.0": "se/r4"}, size=SIDE)
    own = set(network.state_dict())
    added = {name.rpartition(".attention")[0] for name in set(grown.state_dict()) - own}
    assert added == {"body.0.0"} and own < set(grown.state_dict())


@pytest.mark.parametrize(
    ("backbone", "where"), [("regnetx_002", "s1"), ("densenet121", "features.denseblock1")]
)
def test_stages_of_timm_take_a_block_behind_them(backbone: str, where: str) -> None:
    """RegNet's ran it twice; DenseNet's ended with "'list' object has no attribute 'mean'"."""
    network = timm.create_model(backbone, num_classes=10).eval()
    (site,) = outputs(copy.deepcopy(network), SIDE, where)
    site.slot.fill(network, tap := Tap())
    network(torch.zeros(1, 3, SIDE, SIDE))
    assert tap.count == 1


class Named(nn.Module):
    """Layers that are called with names."""

    def __init__(self) -> None:
        super().__init__()
        self.filter, self.project = depthwise(16), nn.Conv2d(16, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.project(input=F.relu(self.filter(input=x)))


def test_a_layer_may_be_called_by_name() -> None:
    network = Body(Named()).eval()
    names = [site.name for site in nas.sites(network, SIDE)]
    assert names == [f"body/after_{place}" for place in ("depthwise", "projection", "residual")]
    nas.insert(network, dict.fromkeys(names, "se/r4"), size=SIDE)


# Branches.


class Branches(nn.Module):
    """Depthwise convolutions side by side, as MobileOne's and RepViT's."""

    def __init__(self) -> None:
        super().__init__()
        self.filters = nn.ModuleList([depthwise(16), depthwise(16, 5), depthwise(16, 1)])

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(sum(layer(x) for layer in self.filters) + x)


class Merged(nn.Module):
    """A block of such a layer and a projection."""

    def __init__(self) -> None:
        super().__init__()
        self.filter, self.project = Branches(), nn.Conv2d(16, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.project(self.filter(x))


class InOneForward(nn.Module):
    """Both kinds of branches in one forward: nothing but its end stands behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.filters = nn.ModuleList([depthwise(16), depthwise(16, 5)])
        self.projections = nn.ModuleList([nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 1)])

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(sum(layer(x) for layer in self.filters))
        return F.relu(sum(layer(y) for layer in self.projections))


class Apart(nn.Module):
    """Convolutions of parts of the channels, as in InceptionNeXt: side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.square, self.line, self.project = depthwise(8), depthwise(8), nn.Conv2d(16, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        one, other = x.chunk(2, dim=1)
        return x + self.project(torch.cat([self.square(one), self.line(other)], dim=1))


class Listed(Body):
    """A network whose blocks are written out in its forward, their layers in lists."""

    def __init__(self) -> None:
        super().__init__(nn.Identity())
        self.filters = nn.ModuleList(depthwise(16) for _ in range(3))
        self.projections = nn.ModuleList(nn.Conv2d(16, 16, 1) for _ in range(3))

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        for layer, project in zip(self.filters, self.projections, strict=True):
            x = x + project(F.relu(layer(x)))
        return self.head(x.mean((2, 3)))


class Gated(nn.Module):
    """A gate of two convolutions at the end, with its mean as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.filter, self.project, self.gate = depthwise(16), nn.Conv2d(16, 16, 1), Gate()

    def forward(self, x: Tensor) -> Tensor:
        return self.gate(self.project(self.filter(x)))


class Gate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(16, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv(x.mean((2, 3), keepdim=True)).sigmoid()


class PreNormed(nn.Module):
    """A block that begins with a norm, whose shortcut does not."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(16), nn.Conv2d(16, 16, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(F.relu(self.norm(x)))


def places(body: nn.Module) -> dict[str, tuple[str, str]]:
    return {
        site.name.removeprefix("body"): (site.slot.way, site.slot.module.removeprefix("body"))
        for site in walk(Body(body).eval(), SIDE)
    }


def test_branches_side_by_side_are_one_layer() -> None:
    """The block was in one of the branches, of which the others knew nothing."""
    assert places(Merged())["/after_depthwise"] == ("before", ".project")
    assert set(places(InOneForward())) == {"/after_residual"}


def test_a_convolution_that_reads_something_else_does_not_stand_for_what_is_behind() -> None:
    assert places(Apart())["/after_first_depthwise"] == ("after", ".square")


def test_layers_in_lists_are_blocks_of_their_own() -> None:
    """The whole list was taken for one block, without the first."""
    found = {site.name: site.slot.module for site in walk(Listed().eval(), SIDE)}
    assert found == {
        f"filters.{number}/after_depthwise": f"projections.{number}" for number in range(3)
    }


def test_the_convolution_of_a_gate_is_no_projection() -> None:
    assert places(Gated())["/after_projection"] == ("after", ".project")


def test_the_norm_of_a_branch_is_not_of_the_layer_before_it() -> None:
    network = Body(nn.Sequential(PreNormed(), PreNormed()))
    (stem,) = (site for site in walk(network.eval(), SIDE) if site.name.startswith("stem"))
    assert stem.slot.module == "stem"


def test_mobileone_has_blocks_behind_its_layers() -> None:
    """They stood in the branch without a convolution of the next layer, one of five."""
    network = timm.create_model("mobileone_s0", num_classes=10).eval()
    sites = [site for site in walk(network, SIDE) if site.position == "after_depthwise"]
    assert len(sites) == 21
    assert all(site.slot.module == site.slot.host for site in sites)
