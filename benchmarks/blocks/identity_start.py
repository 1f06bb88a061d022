"""Identity start: how much a network's output moves when blocks are inserted, and what is left
of it after export.

    python -m benchmarks.blocks.identity_start [BLOCK ...] [--backbone NAME ...] [--everywhere]

In one network of each kind of residual block; images at 128 x 128, trained-like batch norm. Blocks
are dealt over the sites of a position, one each, until every kind that fits one has had it; with
`--everywhere`, each kind is at all places that it fits, by itself. Prints the largest difference
from the plain network's output in evaluation mode, the largest change by folding after the weights
have moved, and which kinds keep a doubled gate that could not be folded.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nas.backbones import Site, find_sites
from nas.blocks import BLOCKS
from nas.blocks.gate import DoubledGate
from nas.models.build import build, deploy, inserted_modules, placements_of
from nas.spec.architecture import EMPTY, Architecture, Insertion
from nas.spec.space import POSITIONS
from nas.spec.task import Task

BACKBONES = (
    "mobilenetv1_100",
    "mobilenetv2_035",
    "torchvision/mobilenet_v2",
    "mobilenetv3_small_050",
    "mobilenetv4_conv_small_050",
    "mobilenext_035",
    "hbonet_025",
    "torchvision/shufflenet_v2_x0_5",
    "ghostnet_050",
    "mixnet_s",
    "efficientnet_b0",
    "repvit_m0_9",
)
SIDE = 128
TASK = Task(outputs=10)

Hand = dict[str, str]
"""Name of a site -> the block there, in one network."""


@dataclass(frozen=True)
class Measured:
    """What was found at one position of a backbone; differences as shares of the largest output.

    kinds: how many fit somewhere.
    left: those that keep a doubled gate where they were put.
    """

    kinds: int
    start: float
    folding: float
    left: tuple[str, ...]


def calibrated(network: nn.Module, images: Tensor) -> nn.Module:
    """Batch norm statistics of images: fresh ones hide every difference."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
    network.train()
    for _ in range(2):
        network(images.repeat(4, 1, 1, 1) + torch.randn(8, 3, SIDE, SIDE))
    return network.eval()


def everywhere(sites: Sequence[Site], blocks: Sequence[str]) -> Iterator[Hand]:
    """Put one kind at every site that it fits, kind after kind."""
    for block in blocks:
        hand = {site.name: block for site in sites if BLOCKS[block].applies(site) is None}
        if hand:
            yield hand


def dealt(sites: Sequence[Site], blocks: Sequence[str]) -> Iterator[Hand]:
    """Deal kinds over the sites, until each that fits one has had one."""
    waiting = list(blocks)
    while True:
        hand: Hand = {}
        for site in sites:
            fitting = (block for block in waiting if BLOCKS[block].applies(site) is None)
            if block := next(fitting, None):
                waiting.remove(block)
                hand[site.name] = block
        if not hand:
            return
        yield hand


def placed(backbone: str, sites: Sequence[Site], hand: Hand) -> Architecture:
    """Place a hand of blocks; other slots that come filled are emptied."""
    there = {site.name: EMPTY for site in sites if site.filled} | hand
    insertions = (
        Insertion(name, block, () if block == EMPTY else tuple(BLOCKS[block].defaults.items()))
        for name, block in there.items()
    )
    return Architecture(backbone, SIDE, tuple(insertions))


def measured(
    backbone: str, position: str, images: Tensor, blocks: Sequence[str], *, alone: bool
) -> Measured:
    """Insert, compare with the plain network, move the weights, fold, and compare again."""
    sites = find_sites(backbone, SIDE, positions=[position])
    plain = calibrated(build(placed(backbone, sites, {}), task=TASK), images)
    expected = plain(images)
    start, folding, left, fitting = 0.0, 0.0, set[str](), set[str]()
    for hand in (everywhere if alone else dealt)(sites, blocks):
        fitting.update(hand.values())
        architecture = placed(backbone, sites, hand)
        network = build(architecture, task=TASK, start="identity")
        network.load_state_dict(plain.state_dict(), strict=False)
        start = max(start, relative(network(images), expected))
        for module in inserted_modules(network, architecture):
            for parameter in module.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        trained = network(images)
        deployed = deploy(network, architecture)
        folding = max(folding, relative(deployed(images), trained))
        modules = inserted_modules(deployed, architecture)
        kinds = [item.block for _, item in placements_of(architecture, TASK) if item.block != EMPTY]
        for block, module in zip(kinds, modules, strict=True):
            if any(isinstance(layer, DoubledGate) for layer in module.modules()):
                left.add(block)
    return Measured(len(fitting), start, folding, tuple(sorted(left)))


def relative(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference as a share of the largest value."""
    return float((found - expected).abs().max() / expected.abs().max())


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("blocks", nargs="*", default=list(BLOCKS))
    parser.add_argument("--backbone", nargs="+", default=BACKBONES)
    parser.add_argument("--everywhere", action="store_true")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    images = torch.randn(2, 3, SIDE, SIDE) * torch.tensor([1.0, 3.0])[:, None, None, None]
    print("| backbone | kinds that fit | start | folding | kinds that keep a doubled gate |")
    print("| --- | --- | --- | --- | --- |")
    for backbone in arguments.backbone:
        sites = find_sites(backbone, SIDE, positions=POSITIONS)
        rows = {
            position: measured(
                backbone, position, images, arguments.blocks, alone=arguments.everywhere
            )
            for position in sorted({site.position for site in sites})
        }
        fitting = sorted({row.kinds for row in rows.values()})
        start = max(row.start for row in rows.values())
        folding = max(row.folding for row in rows.values())
        left = ", ".join(f"{position} {len(row.left)}" for position, row in rows.items())
        print(
            f"| `{backbone}` | {' to '.join(map(str, dict.fromkeys((fitting[0], fitting[-1]))))} | "
            f"{start:.0e} | {folding:.0e} | {left} |".replace("0e+00", "0"),
            flush=True,
        )


if __name__ == "__main__":
    main()
