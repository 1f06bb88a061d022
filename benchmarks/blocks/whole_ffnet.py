"""FFNified attention in its authors' whole network: FFNet with `ffa` in the place of every mixer.

    python -m benchmarks.blocks.whole_ffnet AUTHORS

AUTHORS is the folder of `benchmarks.blocks.fidelity`. FFNet-1 with random weights and statistics,
whose twin kernels are folded by its authors' own function, gives logits of two random images of
256 x 256; then each of its mixers is replaced by ours with equal weights. Prints parameters and
multiply-adds, the largest difference of any logit, and beside it that between the images.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.blocks.fidelity import load
from benchmarks.blocks.published import PUBLISHED
from nas.blocks import make_block
from nas.models.cost import cost_of_module

SIDE = 256
SMALL = {"depth": [2, 2, 8, 2], "embed_dim": [80, 160, 320, 640], "kernel_sizes": [3, 3, 3, 3]}
"""What their function ffnet_1 gives, which needs names that timm has dropped."""


def stirred(network: nn.Module) -> nn.Module:
    """Give a network statistics of images and weights that hide nothing."""
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                noise = torch.rand_like(tensor) if "var" in name else torch.randn_like(tensor)
                tensor.add_(0.05 * noise)
    return network.eval()


def replaced(network: Any, module: Any) -> int:
    """Put ours in the place of every mixer, in place, and return how many those are."""
    blocks = [block for block in network.modules() if isinstance(block, module.FFBlock)]
    for block in blocks:
        residual = block.token_mixer[0]
        assert not residual.use_layer_scale
        theirs = residual.main.state_dict()
        channels, _, kernel_size, _ = theirs["conv1.weight"].shape
        ours = make_block(
            "ffa", channels=channels, height=SIDE, width=SIDE, kernel_size=kernel_size
        )
        ours.load_state_dict(dict(zip(ours.state_dict(), theirs.values(), strict=True)))
        block.token_mixer[0] = ours.eval()
    return len(blocks)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("authors", type=Path)
    torch.manual_seed(0)
    entry = next(entry for entry in PUBLISHED if entry.block == "ffa")
    module = load(parser.parse_args().authors, entry)
    network = stirred(module.FFNet(**SMALL))
    for mixer in [layer for layer in network.modules() if isinstance(layer, module.Token_Mixer)]:
        for name in ("conv1", "conv2"):
            if isinstance(getattr(mixer, name), module.RepVGGDW):
                setattr(mixer, name, getattr(mixer, name).fuse())
    cost = cost_of_module(network, torch.zeros(1, 3, SIDE, SIDE))
    images = torch.randn(2, 3, SIDE, SIDE)
    expected = network(images)
    count = replaced(network, module)
    difference = (network(images) - expected).abs().max()
    between = (expected[0] - expected[1]).abs().max()
    print(f"{cost.params / 1e6:.1f} M parameters, {cost.macs / 1e9:.2f} G multiply-adds at {SIDE}")
    print(f"{count} mixers replaced: {difference:.1e} (between two images {between:.1e})")


if __name__ == "__main__":
    main()
