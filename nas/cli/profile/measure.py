"""`nas profile measure`, which is `nas profile`: measure a space on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.base.files import refuse_taken
from nas.cli.options import ClassCount, Head, SpaceFile, TaskOption
from nas.cli.output.count_progress import show_count
from nas.cli.output.profile_tables import print_profile
from nas.cli.profile.options import (
    Batch,
    HeldOut,
    Networks,
    Precision,
    Runtime,
    Threads,
)

__all__ = ["measure"]


def measure(
    space: SpaceFile,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Device profile to write.")],
    runtime: Runtime = "onnxruntime",
    threads: Threads = 1,
    batch: Batch = 1,
    precision: Precision = "fp32",
    classes: ClassCount = 1000,
    task: TaskOption = None,
    head: Head = None,
    networks: Networks = 8,
    held_out: HeldOut = 6,
) -> None:
    """Measure what each block adds at each site, and whole networks to correct the sum by.

    Interrupted, the same command goes on. Example:
    nas profile search_spaces/mobilenetv2.yaml --runtime openvino --out device.json
    """
    from nas.latency.device import Device
    from nas.latency.runtime import check_device
    from nas.latency.survey import measure_profile
    from nas.models.candidates import Candidates, load_space
    from nas.spec.task import Task

    refuse_taken(out, "--out")
    purpose = Task.of(task or "classification", classes, head)
    device = check_device(Device(runtime, threads, batch, precision))
    with show_count("timing graphs") as progress:
        profile = measure_profile(
            Candidates(load_space(space), purpose),
            device,
            out,
            task=purpose,
            networks=networks,
            held_out=held_out,
            progress=progress,
        )
    print_profile(profile, out)
