"""Identity start: how much a network's output moves when blocks are inserted, and what is left
of it after export.

    python -m benchmarks.blocks.identity_start [BLOCK ...]

Every block at every place it fits, in one network of each kind of residual block; images at
128 x 128, trained-like batch norm. Prints the largest difference from the plain network's
output in evaluation mode, the largest change by folding after the weights have moved, and how
many doubled gates could not be folded.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from nas.backbones import find_sites
from nas.blocks import BLOCKS
from nas.models.build import build, deploy, inserted_modules, uniform
from nas.spec.architecture import EMPTY, Architecture
from nas.spec.space import POSITIONS

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


def calibrated(network: nn.Module, images: Tensor) -> nn.Module:
    """Batch norm statistics of images: fresh ones hide every difference."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
    network.train()
    for _ in range(2):
        network(images.repeat(4, 1, 1, 1) + torch.randn(8, 3, SIDE, SIDE))
    return network.eval()


def placed(backbone: str, block: str, position: str) -> Architecture:
    """A block wherever it fits; other slots that come filled are emptied."""
    emptied = uniform(backbone, EMPTY, resolution=SIDE, position=position)
    if block == EMPTY:
        return emptied
    found = uniform(backbone, block, resolution=SIDE, position=position, where_it_fits=True)
    taken = {item.site for item in found.insertions}
    rest = tuple(item for item in emptied.insertions if item.site not in taken)
    return replace(found, insertions=found.insertions + rest)


def cases(
    backbone: str, images: Tensor, blocks: Sequence[str]
) -> Iterator[tuple[str, str, float, float, int, int]]:
    """Position, block, difference at the start, difference by folding, gates left, blocks."""
    there = {site.position for site in find_sites(backbone, SIDE, positions=POSITIONS)}
    for position in sorted(there):
        plain = calibrated(build(placed(backbone, EMPTY, position), num_classes=10), images)
        expected = plain(images)
        for block in blocks:
            architecture = placed(backbone, block, position)
            if not architecture.blocks:
                continue
            network = build(architecture, num_classes=10, start="identity")
            network.load_state_dict(plain.state_dict(), strict=False)
            start = float((network(images) - expected).abs().max() / expected.abs().max())
            for module in inserted_modules(network, architecture):
                for parameter in module.parameters():
                    parameter.add_(0.05 * torch.randn_like(parameter))
            trained = network(images)
            deployed = deploy(copy.deepcopy(network), architecture)
            folding = float((deployed(images) - trained).abs().max() / trained.abs().max())
            left = repr(deployed).count("DoubledGate")
            yield position, block, start, folding, left, len(architecture.blocks)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("blocks", nargs="*", default=list(BLOCKS))
    names = parser.parse_args().blocks
    torch.manual_seed(0)
    images = torch.randn(2, 3, SIDE, SIDE) * torch.tensor([1.0, 3.0])[:, None, None, None]
    print("differences are relative to the largest output\n")
    print(
        f"{'backbone':<32} {'position':<22} {'blocks':>6} {'start':>8} {'folding':>8}  gates left"
    )
    worst = (0.0, 0.0)
    for backbone in BACKBONES:
        found: dict[str, list[tuple[str, float, float, int, int]]] = {}
        for position, *rest in cases(backbone, images, names):
            found.setdefault(position, []).append(tuple(rest))  # type: ignore[arg-type]
        for position, rows in found.items():
            start, folding = max(row[1] for row in rows), max(row[2] for row in rows)
            left = sum(row[3] > 0 for row in rows)
            worst = max(worst[0], start), max(worst[1], folding)
            note = f"in {left} of {len(rows)} kinds" if left else ""
            print(f"{backbone:<32} {position:<22} {len(rows):>6}", end=" ")
            print(f"{start:>8.0e} {folding:>8.0e}  {note}", flush=True)
    print(f"\nlargest: {worst[0]:.1e} at the start, {worst[1]:.1e} by folding")


if __name__ == "__main__":
    main()
