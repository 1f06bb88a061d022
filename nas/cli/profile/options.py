"""The options of what is measured and how: those of `nas profile measure` and `pack`."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["Batch", "Classes", "HeldOut", "Networks", "Precision", "Runtime", "Threads"]

Runtime = Annotated[
    str,
    typer.Option(help="onnxruntime, openvino, litert, executorch, ncnn, torch, cuda or tensorrt."),
]
Threads = Annotated[int, typer.Option(min=1)]
Batch = Annotated[int, typer.Option(min=1, help="Images at once.")]
Precision = Annotated[str, typer.Option(help="fp32, or what the runtime has: int8, fp16.")]
Classes = Annotated[int, typer.Option(min=1, help="Of the classifier.")]
Networks = Annotated[int, typer.Option(min=1, help="Whole networks to fit to.")]
HeldOut = Annotated[int, typer.Option(min=0, help="Whole networks to judge by.")]
