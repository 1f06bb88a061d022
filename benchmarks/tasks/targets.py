"""Every head in every target that is installed: converted, run and compared, or what fails.

    python -m benchmarks.tasks.targets
    python -m benchmarks.tasks.targets --head unet --to ncnn litert --resolution 96x128

MobileNetV2 with coordinate attention in its inverted residuals and random weights, at the width,
size and number of classes that are asked for, on images of noise. Batch norms have seen a few of
them, so that scores are of a sensible size; what a network has learnt is no matter here. Prints a
table of heads and targets: the largest difference of any score from the network's own as a share of
the largest score.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.shared.report import print_machine, print_table
from nas.base.errors import ExportError, SpecError
from nas.data import Dataset, Split
from nas.export import TARGETS, Target
from nas.export.conversion import convert, open_graph, write_files
from nas.export.parity import ValidationScores, predict_validation
from nas.export.winner import Winner
from nas.models.build import build, uniform
from nas.spec.suppression import SUPPRESSION
from nas.spec.task import OWN, TASKS, Task

_IMAGES = 8
_WARMUP = 4  # batches that batch norms see
_MEAN, _STD = (127.5,) * 3, (64.0,) * 3
_SHOWN = 160  # characters of what fails


def main() -> None:
    heads = [head for kind in TASKS.values() for head in kind.heads if head != OWN]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--head", nargs="*", choices=heads, default=heads)
    parser.add_argument("--to", nargs="*", choices=list(TARGETS), default=list(TARGETS))
    parser.add_argument("--backbone", default="mobilenetv2_050")
    parser.add_argument("--block", default="coord")
    parser.add_argument("--resolution", default="128x96")
    parser.add_argument("--output-stride", type=int)
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument("--nms", action="store_true", help="suppression in graphs of detectors")
    arguments = parser.parse_args()
    print_machine("torch")
    rows, faults = [], []
    for head in arguments.head:
        winner = _network(head, arguments)
        images = predict_validation(winner, _noise(winner), _IMAGES)
        cells = []
        for name in arguments.to:
            try:
                cells.append(_compared(TARGETS[name], winner, images, nms=arguments.nms))
            except (SpecError, ExportError) as error:
                faults.append(f"{head}, {name}: {str(error)[:_SHOWN]}")
                cells.append("no")
        rows.append([head, *cells])
        print(f"{head}: {', '.join(cells)}", flush=True)
    print_table(("head", *arguments.to), rows)
    print("\n".join(faults))


def _network(head: str, arguments: argparse.Namespace) -> Winner:
    name = next(name for name, kind in TASKS.items() if head in kind.heads)
    task = Task.of(name, arguments.classes, head)
    architecture = uniform(
        arguments.backbone,
        arguments.block,
        resolution=arguments.resolution,
        output_stride=arguments.output_stride,
    )
    torch.manual_seed(0)
    network = build(architecture, task=task)
    classes = tuple(f"class {number}" for number in range(arguments.classes))
    winner = Winner(network, architecture, classes, _MEAN, _STD, resize="stretch", task=task)
    with torch.no_grad():
        network.train()
        for _ in range(_WARMUP):
            network(torch.randn(_IMAGES, *winner.size.shape))
        network.eval()
    return winner


def _noise(winner: Winner) -> Dataset:
    """Images and annotations of any kind, which say nothing of each other."""
    rng = np.random.default_rng(0)
    size, task = winner.size, winner.task
    pixels = rng.integers(0, 256, (_IMAGES, size.height, size.width, 3), dtype=np.uint8)
    labels = torch.arange(_IMAGES) // 2
    known = None
    if task.kind.annotated == "masks":
        masks = rng.integers(0, task.outputs, pixels.shape[:3], dtype=np.uint8)
        known = torch.from_numpy(masks)
    elif task.kind.annotated == "identities":
        known = torch.stack([torch.full_like(labels, -1), torch.arange(_IMAGES) % 2], dim=1)
    elif task.kind.annotated == "boxes":
        whole = torch.tensor([0.0, 0, size.width, size.height, 0, 0])
        known = whole.expand(_IMAGES, 1, 6)
    split = Split(torch.from_numpy(pixels), labels, known)
    return Dataset(split, split, winner.classes, _MEAN, _STD, False, "noise", task.kind.annotated)


def _compared(target: Target, winner: Winner, images: ValidationScores, *, nms: bool) -> str:
    """Convert, run and compare: the cell of the table. Raises SpecError and ExportError."""
    target.check_task(winner.task)
    target.check_installed()
    if nms:
        target.check_suppresses(winner.task, int8=False)
        winner = replace(winner, suppression=SUPPRESSION)
    files = convert(target, lambda: target.write(winner), suppresses=nms).files
    if not target.runs_here:
        return "converted"
    with tempfile.TemporaryDirectory() as folder:
        write_files(files, Path(folder, "network"))
        session = open_graph(target.name, Path(folder, f"network{target.main}"))
        try:
            parity = images.compare(session, target.tolerance).parity
        except Exception as error:  # each runtime has errors of its own
            raise ExportError(f"its graph does not run: {str(error).splitlines()[0]}") from error
        if not parity.holds:
            raise ExportError(f"its graph differs by {parity.share:.1e} of the largest score")
    return f"{parity.share:.0e}"


if __name__ == "__main__":
    main()
