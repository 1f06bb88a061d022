"""`nas ask`: what can be said of a space before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from nas.cli.completion import data_kinds, runtime_names
from nas.cli.options import Head, Json, SpaceFile, TaskOption

__all__ = ["ask"]


def ask(
    space: SpaceFile,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="DEVICE",
            autocompletion=runtime_names,
            help="File of a device profile, or a runtime of this machine.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            autocompletion=data_kinds,
            metavar="DATA",
            help="Your images, as in nas search --data.",
        ),
    ] = None,
    regime: Annotated[
        Literal["scratch", "finetune"],
        typer.Option(help="Train from random weights, or on from a trained plain network."),
    ] = "scratch",
    plain_accuracy: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="SHARE",
            help="Accuracy of the plain network after full training, if known: 0.76.",
        ),
    ] = None,
    task: TaskOption = None,
    head: Head = None,
    classes: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=1_000_000,
            help="Number of classes; default: 1000, for segmentation 21.",
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """Say what published results and costs tell of a space, before any training.

    Example: nas ask search_spaces/mobilenetv2-cifar.yaml --plain-accuracy 0.74
    """
    from nas.cli.output.outlook import print_outlook
    from nas.report import outlook

    found = outlook.ask(
        space,
        device=device,
        regime=regime,
        plain_accuracy=plain_accuracy,
        task=task or "classification",
        head=head,
        num_classes=classes,
    )
    print_outlook(found, Path(space), device, data, as_json=json_)
