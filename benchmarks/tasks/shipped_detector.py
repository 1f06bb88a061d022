"""What a detector costs as it is shipped, without and with suppression within its graph.

    python -m benchmarks.tasks.shipped_detector
    python -m benchmarks.tasks.shipped_detector voc:~/data/cells --block coord/r32

MobileNetV2 with SSDLite at 320 pixels, unless another is asked for: the paper's detector. It is
trained for some seconds on the images, so that there are boxes to suppress; how well it finds
objects is no matter here. For each target: the latency of the graph, that with suppression within
it and what suppression by numpy takes behind it, of one thread; how far boxes that it keeps are
from those kept of what the trained network gives, on validation images. A pack is only where the
graph without suppression agrees with the network to 1e-4 of the largest score.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.shared.report import print_machine, print_table
from nas.base.errors import ExportError, SpecError
from nas.data import Dataset, load_data
from nas.export import TARGETS
from nas.export.pack import Pack, write_pack
from nas.export.pack_papers import Origin
from nas.export.winner import Winner
from nas.models.build import build, uniform
from nas.models.cost import cost_of_module
from nas.spec.architecture import Architecture
from nas.spec.suppression import SUPPRESSION
from nas.spec.task import Task
from nas.training.tasks import training_task

_IMAGES = 64  # of the training part, that it is trained on
_JUDGED = 16  # of the validation part
_BATCH = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?", default="digits")
    parser.add_argument("--to", nargs="*", choices=list(TARGETS), default=["onnx", "openvino"])
    parser.add_argument("--backbone", default="mobilenetv2_100")
    parser.add_argument("--block", help="in its inverted residuals, such as coord/r32")
    parser.add_argument("--head", default="ssdlite")
    parser.add_argument("--resolution", default="320")
    parser.add_argument("--steps", type=int, default=24)
    arguments = parser.parse_args()
    print_machine("torch", "onnxruntime", "openvino")
    size = int(arguments.resolution) if arguments.resolution.isdigit() else arguments.resolution
    architecture = Architecture(arguments.backbone, size)
    if arguments.block:
        architecture = uniform(arguments.backbone, arguments.block, resolution=size)
    data = load_data(
        arguments.data, size, validation=0.2, seed=0, resize="stretch", annotated="boxes"
    )
    data = data.subset(min(_IMAGES, len(data.train)), seed=0)
    judged = data.validation.only(torch.arange(min(_JUDGED, len(data.validation))))
    data = replace(data, validation=judged)
    winner = _trained(architecture, arguments.head, data, arguments.steps)
    cost = cost_of_module(winner.network, torch.zeros(1, *winner.size.shape))
    print(f"{cost.params / 1e6:.2f} M parameters, {cost.macs / 1e9:.2f} G multiply-adds")
    rows, faults = [], []
    for name in arguments.to:
        try:
            rows.append([name, *_cells(_packed(winner, data, name))])
        except (SpecError, ExportError) as error:
            faults.append(f"{name}: {error}")
    headings = ("target", "ms", "with it", "behind", "differs by", "same boxes", "AP")
    print_table(headings, rows)
    print("\n".join(faults))


def _trained(architecture: Architecture, head: str, data: Dataset, steps: int) -> Winner:
    task = Task.of("detection", len(data.classes), head)
    torch.manual_seed(0)
    network, losses = build(architecture, task=task).train(), training_task(task)
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (data.mean, data.std))
    for _ in range(steps):
        rows = torch.randperm(len(data.train))[:_BATCH]
        images = (data.train.images[rows].permute(0, 3, 1, 2).float() - mean) / std
        loss = losses.loss(network(images), losses.targets(data.train, rows))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    network.eval()
    return Winner(
        network,
        architecture,
        data.classes,
        data.mean,
        data.std,
        "stretch",
        task=task,
        suppression=SUPPRESSION,
    )


def _packed(winner: Winner, data: Dataset, target: str) -> Pack:
    origin = Origin("none", 0, data.source, "scratch", 0, "none", False, {})
    with tempfile.TemporaryDirectory() as folder:
        return write_pack(Path(folder, "pack"), winner, data, TARGETS[target], origin, int8=False)


def _cells(pack: Pack) -> list[str]:
    graph = pack.graphs[-1]
    if graph.scores is None or graph.latency is None or pack.suppression_ms is None:
        return ["not run here", *[""] * 5]
    within = graph.suppressing
    return [
        f"{graph.latency.latency_ms:.2f}",
        "" if within is None else f"{within.latency_ms:.2f}",
        f"{pack.suppression_ms:.2f}",
        f"{graph.scores.parity.share:.0e}",
        f"{graph.scores.parity.agreement:.2%}",
        f"{graph.scores.figures['ap']:.1%}",
    ]


if __name__ == "__main__":
    main()
