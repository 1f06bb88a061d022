"""`nas ask`: what can be said of a space before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from nas.cli.options import Head, Json, SpaceFile, TaskOption

__all__ = ["ask"]


def ask(
    space: SpaceFile,
    device: Annotated[
        str | None,
        typer.Option(help="A profile (see nas profile), or a runtime of this machine."),
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="DATA", help="As of nas search, for the command shown.")
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
            help="Of the plain network fully trained, if known: 0.76.",
        ),
    ] = None,
    task: TaskOption = None,
    head: Head = None,
    classes: Annotated[
        int | None,
        typer.Option(min=1, max=1_000_000, help="Default: 1000; of segmentation 21."),
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
