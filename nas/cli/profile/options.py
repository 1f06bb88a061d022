"""The options of what is measured and how, here and on other devices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.completion import runtime_names

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
    typer.Option(
        metavar="RUNTIME",
        autocompletion=runtime_names,
        help="onnxruntime, openvino, litert, executorch, ncnn, torch, cuda or tensorrt.",
    ),
]
Threads = Annotated[
    int, typer.Option(metavar="N", min=1, max=1024, help="Threads that run a network.")
]
Batch = Annotated[int, typer.Option(metavar="N", min=1, max=4096, help="Number of images at once.")]
Precision = Annotated[
    str,
    typer.Option(
        metavar="PRECISION",
        help="Precision of the numbers: fp32, or what the runtime has, int8 or fp16.",
    ),
]
Networks = Annotated[
    int,
    typer.Option(
        metavar="N", min=1, max=10_000, help="Whole networks that the profile is fitted to."
    ),
]
HeldOut = Annotated[
    int,
    typer.Option(
        metavar="N", min=0, max=10_000, help="Whole networks that the profile is judged by."
    ),
]

# Of what is timed elsewhere.
PackFolder = Annotated[Path, typer.Argument(help="Folder that `nas profile pack` made.")]
DeviceTool = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="The runtime's own tool, built for the device, to send along; default: it is there.",
    ),
]
