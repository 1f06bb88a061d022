"""`nas profile pack`: what somebody needs who measures on another device."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import ClassCount, Head, SpaceFile, TaskOption
from nas.cli.output.count_progress import show_count
from nas.cli.profile.options import (
    Batch,
    HeldOut,
    Networks,
    Precision,
    Runtime,
    Threads,
)

__all__ = ["pack"]


def pack(
    space: SpaceFile,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder to make.")],
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
    """Write the graphs that a profile needs, to be timed on someone else's device.

    Example: nas profile pack search_spaces/mobilenetv2.yaml --runtime litert --out phone
    """
    from nas.latency.device import Device
    from nas.latency.pack import pack_space
    from nas.latency.runtime import check_device
    from nas.models.candidates import Candidates, load_space
    from nas.spec.task import Task

    purpose = Task.of(task or "classification", classes, head)
    device = check_device(Device(runtime, threads, batch, precision))
    with show_count("writing graphs") as progress:
        pack_space(
            Candidates(load_space(space), purpose),
            device,
            out,
            task=purpose,
            networks=networks,
            held_out=held_out,
            progress=progress,
        )
    print(
        f"{out}: time it on a phone (nas profile adb {out}), on a board (nas profile ssh {out} "
        f"HOST), or as its README.md says; then: nas profile fit {out} --out device.json"
    )
