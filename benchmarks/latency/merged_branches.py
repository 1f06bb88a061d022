"""What merging parallel branches takes off the latency of networks that are trained with them.

    python -m benchmarks.latency.merged_branches

Each backbone as it is trained and as it is shipped, by ONNX Runtime, one image, in turn with each
other: CPU milliseconds of one thread, and parameters.
"""

from __future__ import annotations

from torch import nn

from benchmarks.shared.report import print_machine, print_table
from nas.latency.deployment import build_deployed
from nas.latency.device import Device
from nas.latency.measure import Anchor, Subject, measure_anchor, measure_together
from nas.latency.survey import loader_of
from nas.models.build import build
from nas.spec.architecture import Architecture
from nas.spec.task import Task

BACKBONES = ("mobileone_s0", "mobileone_s1", "repvgg_a0", "repvit_m0_9", "fastvit_t8")
SIDE, TASK = 224, Task()


def main() -> None:
    load, shape, subjects, sizes = loader_of(Device("onnxruntime")), (3, SIDE, SIDE), {}, {}
    for backbone in BACKBONES:
        plain = Architecture(backbone, SIDE)
        for way, network in (
            ("trained", build(plain, task=TASK)),
            ("shipped", build_deployed(plain, TASK)),
        ):
            subjects[backbone, way] = Subject(load(network, shape), (1, *shape))
            sizes[backbone, way] = _parameters(network)
    first = subjects[BACKBONES[0], "shipped"]
    named = {" ".join(key): subject for key, subject in subjects.items()}
    found = measure_together(named, Anchor(first, measure_anchor(first)), seed=0, rounds=24)
    print_machine("torch", "timm", "onnxruntime")
    rows = []
    for backbone in BACKBONES:
        one, two = (found[f"{backbone} {way}"].latency_ms for way in ("trained", "shipped"))
        millions = [f"{sizes[backbone, way] / 1e6:.2f}" for way in ("trained", "shipped")]
        rows.append([backbone, f"{one:.2f}", f"{two:.2f}", f"{one / two:.2f}", *millions])
    print_table(["backbone", "ms, trained", "ms, shipped", "ratio", "M, trained", "shipped"], rows)


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


if __name__ == "__main__":
    main()
