"""One table of the blocks: how closely each equals its authors' code, and which runtimes take it.

    python -m benchmarks.blocks.systems AUTHORS [BLOCK ...]

AUTHORS is the folder of `benchmarks.blocks.fidelity`; runtimes are those of
`benchmarks.blocks.runtimes` that are installed. Prints Markdown. A difference is the largest of all
comparisons with the block's authors, as that script measures it; a runtime takes a block when its
scores are torch's within 1e-4 of the largest.
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
from benchmarks.blocks.runtimes import BATCH, tried
from nas.base.errors import MeasurementError
from nas.blocks import BLOCKS, Block
from nas.latency.runtime import RUNTIMES, device_named

_TAKEN = 1e-4
_SHOWN = ("onnxruntime", "openvino", "ncnn", "litert", "executorch")


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


def runtimes() -> list[str]:
    """Those that are installed."""
    there = []
    for name in _SHOWN:
        with contextlib.suppress(MeasurementError):
            RUNTIMES[name].fingerprint()
            there.append(name)
    return there


def taken(name: str, runtime: str) -> str:
    """Whether a runtime gives torch's scores of a network with the block."""
    found = tried(device_named(f"{runtime}-batch{BATCH}"), name)
    return "yes" if found.difference is not None and found.difference < _TAKEN else "no"


def row(root: Path, block: Block, there: list[str]) -> str:
    paper = block.paper.replace("https://arxiv.org/abs/", "arXiv:").removeprefix("https://")
    cells = [
        f"`{block.name}`",
        f"[{block.title}, {paper}]({block.paper})",
        largest_difference(root, block.name),
        *(taken(block.name, runtime) for runtime in there),
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("authors", type=Path)
    parser.add_argument("blocks", nargs="*")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    there = runtimes()
    print("| block | what | largest difference | " + " | ".join(there) + " |")
    print("| --- | --- | --- | " + " | ".join("---" for _ in there) + " |")
    for block in BLOCKS.values():
        if not arguments.blocks or block.name in arguments.blocks:
            print(row(arguments.authors, block, there), flush=True)


if __name__ == "__main__":
    main()
