"""What an identity start costs after export, where its doubled gates cannot be folded away.

    python -m benchmarks.blocks.doubled_gates

Behind a depthwise convolution one convolution reads the slot, and takes the factor over. Behind
a projection or a shortcut several things read it, and a multiplication per gate stays. Times
networks as deployed beside the same networks without doubled gates.
"""

from __future__ import annotations

from nas.latency.deployment import build_deployed
from nas.latency.device import Device
from nas.latency.measure import Anchor, Subject, measure_anchor, measure_together
from nas.latency.survey import loader_of
from nas.models.build import build, uniform
from nas.spec.architecture import Architecture
from nas.spec.task import Task

NETWORKS = (("mobilenetv2_100", 224, None), ("mobilenetv2_035", 32, 16))
POSITIONS = ("after_depthwise", "after_projection", "after_residual")


def main() -> None:
    device = Device("onnxruntime")
    prepare = loader_of(device)
    print(f"{'network':<16} {'position':<17} {'block':<6} {'without ms':>10} {'deployed':>9}")
    for backbone, side, stride in NETWORKS:
        shape = (3, side, side)
        subjects: dict[str, Subject] = {}
        for position in POSITIONS:
            for block in ("se", "cbam", "coord"):
                placed = uniform(
                    backbone, block, resolution=side, total_stride=stride, position=position
                )
                for start, network in (
                    ("deployed", build_deployed(placed, Task(outputs=10))),
                    ("without", build(placed, num_classes=10)),
                ):
                    name = f"{position} {block} {start}"
                    subjects[name] = Subject(prepare(network, shape), (1, *shape))
        plain = Subject(
            prepare(
                build_deployed(Architecture(backbone, side, (), stride), Task(outputs=10)), shape
            ),
            (1, *shape),
        )
        found = measure_together(subjects, Anchor(plain, measure_anchor(plain)), seed=0, rounds=24)
        for position in POSITIONS:
            for block in ("se", "cbam", "coord"):
                one = found[f"{position} {block} without"].latency_ms
                two = found[f"{position} {block} deployed"].latency_ms
                print(
                    f"{backbone:<16} {position:<17} {block:<6} {one:>10.3f} {two / one - 1:>+9.1%}"
                )


if __name__ == "__main__":
    main()
