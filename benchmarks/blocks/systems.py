"""One table of the blocks: how closely each equals its authors' code, and which runtimes take it.

    python -m benchmarks.blocks.systems AUTHORS [BLOCK ...]

AUTHORS is the folder of `benchmarks.blocks.fidelity`; what takes a block is read from
nas/blocks/measured.json, which `benchmarks.blocks.measured` writes. Prints Markdown. A difference
is the largest of all comparisons with the block's authors, as `fidelity` measures it; a runtime
takes a block when its scores are torch's within 1e-4 of the largest, and of an accelerator's
operators the number is shown that it leaves to the processor.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import warnings
from pathlib import Path

import torch

from benchmarks.blocks.fidelity import difference
from benchmarks.blocks.published import PUBLISHED
from nas.blocks import BLOCKS, Block
from nas.blocks.measured import MeasuredAccelerator, MeasuredBlock, MeasuredBlocks


def largest_difference(root: Path, name: str) -> str:
    """Compare a block with all that there is of its authors."""
    entries = [entry for entry in PUBLISHED if entry.block == name]
    found = []
    for entry in entries:
        if (root / entry.file).exists():
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                try:
                    found.append(difference(root, entry))
                except AssertionError:  # what is mended in it is not there any more
                    return "their file changed"
    if not entries:
        return "not compared"
    if len(found) < len(entries):
        return "not found"
    ported = " (port)" if any("port" in entry.note for entry in entries) else ""
    return ("0" if max(found) == 0 else f"{max(found):.0e}") + ported


def row(root: Path, block: Block, measured: MeasuredBlock) -> str:
    paper = block.paper.replace("https://arxiv.org/abs/", "arXiv:").removeprefix("https://")
    time = "" if measured.time is None else f"{100 * measured.time:+.0f} %"
    cells = [
        f"`{block.name}`",
        f"[{block.title}, {paper}]({block.paper})",
        largest_difference(root, block.name),
        time,
        *("yes" if way in measured.taken_by else "no" for way in measured.differences),
        *(left_outside(taken) for taken in measured.accelerators.values()),
    ]
    return f"| {' | '.join(cells)} |"


def left_outside(taken: MeasuredAccelerator) -> str:
    """Say how many operators of a block an accelerator leaves to the processor."""
    outside = sum(taken.outside.values())
    return f"{outside} of {taken.inside + outside} not" if outside else "yes"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("authors", type=Path)
    parser.add_argument("blocks", nargs="*")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    content = MeasuredBlocks.load()
    names = [name for name in content.blocks if not arguments.blocks or name in arguments.blocks]
    first = content.blocks[names[0]]
    accelerators = [name.partition(" (")[0] for name in first.accelerators]
    heads = ["block", "what", "largest difference", "time", *first.differences, *accelerators]
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    for name in names:
        print(row(arguments.authors, BLOCKS[name], content.blocks[name]), flush=True)


if __name__ == "__main__":
    main()
