"""How closely each block equals its authors' published code, with equal weights.

    python -m benchmarks.blocks.fidelity AUTHORS [BLOCK ...]

AUTHORS is a folder with the authors' files as `owner/repository/path` (published.py names
them; clone the repositories there). Their code is run as it is, apart from the corrections
named there, so look at it before. Prints the largest difference on random images, in evaluation
mode, with random weights and running statistics; as a share of the largest number that comes out,
where that is above 1.
"""

from __future__ import annotations

import argparse
import sys
import types
from pathlib import Path
from typing import Any

import torch

from benchmarks.blocks.absent_libraries import absent
from benchmarks.blocks.comparison import Published
from benchmarks.blocks.published import PUBLISHED
from benchmarks.shared.tensorflow_on_torch import tensorflow_on_torch
from nas.blocks import make_block


def load(root: Path, entry: Published) -> types.ModuleType:
    """Run the authors' file, corrected, as a module of its own."""
    source = (root / entry.file).read_text(encoding="utf-8")
    for found, instead in entry.mended:
        assert found in source, f"{entry.file}: {found!r} is not there any more"
        source = source.replace(found, instead)
    module = types.ModuleType(f"authors_{entry.block}")
    sys.modules[module.__name__] = module
    with absent(entry.absent), tensorflow_on_torch():
        exec(compile(source, entry.file, "exec"), module.__dict__)  # noqa: S102
    return module


def difference(root: Path, entry: Published) -> float:
    torch.manual_seed(0)
    channels, height, width = entry.shape
    ours = make_block(
        entry.block, channels=channels, height=height, width=width, **dict[str, Any](entry.options)
    ).eval()
    theirs = entry.make(load(root, entry), entry.shape).eval()
    with torch.no_grad():
        for name, tensor in ours.state_dict().items():
            if tensor.is_floating_point():
                # Running variances must stay positive.
                noise = torch.rand_like(tensor) if "var" in name else torch.randn_like(tensor)
                tensor.add_(0.3 * noise)
        theirs.load_state_dict(entry.weights(ours.state_dict(), theirs.state_dict()))
        images = torch.randn(2, channels, height, width)
        expected = theirs(images)
        assert not torch.allclose(expected, images)
        return float((ours(images) - expected).abs().max() / expected.abs().max().clamp(min=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("authors", type=Path)
    parser.add_argument("blocks", nargs="*")
    arguments = parser.parse_args()
    entries = [item for item in PUBLISHED if not arguments.blocks or item.block in arguments.blocks]
    print(f"{'block':<12} {'largest difference':>18}  authors' file")
    for entry in entries:
        if (arguments.authors / entry.file).exists():
            found = f"{difference(arguments.authors, entry):.1e}"
        else:
            found = "not found"
        print(f"{entry.block:<12} {found:>18}  {entry.file} {entry.note}")


if __name__ == "__main__":
    main()
