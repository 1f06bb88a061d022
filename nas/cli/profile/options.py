"""The options of what is measured and how, here and on other devices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "Batch",
    "DeviceTool",
    "HeldOut",
    "Networks",
    "PackFolder",
    "Precision",
    "Runtime",
    "Threads",
]

Runtime = Annotated[
    str,
    typer.Option(help="onnxruntime, openvino, litert, executorch, ncnn, torch, cuda or tensorrt."),
]
Threads = Annotated[int, typer.Option(min=1, max=1024)]
Batch = Annotated[int, typer.Option(min=1, max=4096, help="Images at once.")]
Precision = Annotated[str, typer.Option(help="fp32, or what the runtime has: int8, fp16.")]
Networks = Annotated[int, typer.Option(min=1, max=10_000, help="Whole networks to fit to.")]
HeldOut = Annotated[int, typer.Option(min=0, max=10_000, help="Whole networks to judge by.")]

# Of what is timed elsewhere.
PackFolder = Annotated[Path, typer.Argument(help="Folder that `nas profile pack` made.")]
DeviceTool = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="The runtime's own tool, built for the device, to send along; default: it is there.",
    ),
]
