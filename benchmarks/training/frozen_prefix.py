"""What a probe could save by keeping the activations below its first block.

    python -m benchmarks.training.frozen_prefix [--networks 12]

A probe changes nothing below the first inserted block, so with images that are augmented once and
for all, what is computed there could be kept. This prints the share of a training step's CPU time
that goes there (already without gradients), and the memory that 20,000 images would take.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from benchmarks.shared.report import print_machine, print_table
from nas.models.build import build, inserted_modules
from nas.models.candidates import Candidates, load_space
from nas.spec.architecture import Architecture

SPACES = ("mobilenetv2-small", "little-attention")
BATCH, STEPS, IMAGES = 64, 6, 20_000


def measured(architecture: Architecture, side: int) -> tuple[float, float]:
    """Share of a step below the first block, and gigabytes of what reaches it."""
    network = build(architecture, num_classes=10, start="identity")
    network.requires_grad_(False)
    blocks = inserted_modules(network, architecture)
    for block in blocks:
        block.requires_grad_(True)
        block.train()
    reached: list[float] = []
    size = 0

    def note(_module: nn.Module, arrived: tuple[Tensor, ...]) -> None:
        nonlocal size
        reached.append(time.thread_time())
        size = arrived[0][0].numel() * 4 * IMAGES

    blocks[0].register_forward_pre_hook(note)
    optimiser = torch.optim.AdamW([item for block in blocks for item in block.parameters()])
    images = torch.randn(BATCH, 3, side, side).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(10, (BATCH,))
    shares = []
    for _ in range(STEPS):
        started = time.thread_time()
        loss = nn.functional.cross_entropy(network(images), labels)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        shares.append((reached[-1] - started) / (time.thread_time() - started))
    return median(shares[1:]), size / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", type=int, default=12, help="drawn as a search draws them")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print_machine()
    rows = []
    for name in SPACES:
        candidates = Candidates(load_space(Path("search_spaces") / f"{name}.yaml"))
        found: list[tuple[float, float]] = []
        number = 0
        while len(found) < arguments.networks:
            drawn = candidates.architecture(candidates.sample(random.Random(number)))
            number += 1
            if drawn.blocks:
                found.append(measured(drawn, min(drawn.size.height, 64)))
        shares, sizes = zip(*found, strict=True)
        rows.append(
            [name, f"{median(shares):.0%}", f"{max(shares):.0%}", f"{median(sizes):.1f} GB"]
        )
    print_table(["space", "share below, median", "most", "kept for 20,000 images"], rows)


if __name__ == "__main__":
    main()
