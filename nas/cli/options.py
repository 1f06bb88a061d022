"""Arguments and options that several commands have, each with its one help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.completion import data_kinds, head_names, space_names, task_names

__all__ = [
    "BackboneArguments",
    "Budget",
    "ClassCount",
    "DataSource",
    "FullTrainings",
    "GivenWeights",
    "Head",
    "ImageSize",
    "Json",
    "ObjectiveNames",
    "OtherDevice",
    "ResumableFolder",
    "RunFolder",
    "RunFolderOrUrl",
    "RunnerSettings",
    "SpaceFile",
    "TaskOption",
    "TimeLimit",
    "Trials",
    "WeightsMatch",
    "Workers",
]

RunFolder = Annotated[Path, typer.Argument(help="Run folder.")]
RunFolderOrUrl = Annotated[str, typer.Argument(help="Run folder, or URL of its study.")]
SpaceFile = Annotated[
    Path,
    typer.Argument(
        autocompletion=space_names, help="Search space file, or a name: nas space --list."
    ),
]

ImageSize = Annotated[
    str, typer.Option(metavar="SIZE", help="224, or height x width, as in 224x160.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

# What a search, and what trains as it does, is told.
DataSource = Annotated[
    str,
    typer.Option(
        autocompletion=data_kinds, metavar="DATA", help="Your images, as in nas search --data."
    ),
]
ResumableFolder = Annotated[
    Path, typer.Option(metavar="FOLDER", help="Folder to make, or to go on with.")
]
RunnerSettings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any key of the runner; may be repeated."),
]
GivenWeights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="FILE",
        help="Your trained network: safetensors or a PyTorch checkpoint, local-dir:PATH or "
        "hf-hub:OWNER/NAME; sets the regime finetune.",
    ),
]
WeightsMatch = Annotated[
    str | None,
    typer.Option(
        "--weights-match",
        metavar="HOW",
        help="How its tensors find their places: by name, by order, or by a file of pairs (ours: "
        "theirs).",
    ),
]
TimeLimit = Annotated[
    str | None, typer.Option(metavar="TIME", help="Stop after this long: 90s, 30m, 2h.")
]
Trials = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Networks to evaluate, the hand-placed ones among them."),
]
Workers = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, max=1024, help="Number of processes; default: one per core."),
]

Budget = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", help="Time for search and full trainings at its end, together: 2h, 8h."
    ),
]
FullTrainings = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=3, max=100_000, help="Full trainings at the end, instead of a budget's."
    ),
]

BackboneArguments = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE", help="Argument of your own network's function; may be repeated."
    ),
]

TaskOption = Annotated[
    str | None,
    typer.Option(
        "--task",
        autocompletion=task_names,
        metavar="TASK",
        help="classification, segmentation, retrieval or detection; default: what the data is "
        "annotated for.",
    ),
]
Head = Annotated[
    str | None,
    typer.Option(
        autocompletion=head_names,
        metavar="NAME",
        help="What stands around the backbone. Segmentation: lraspp (default), deeplabv3, unet, "
        "fpn; "
        "detection: ssdlite (default), fcos; own: the network has its own.",
    ),
]

# No network has more classes; a larger head would not fit into memory.
ClassCount = Annotated[
    int, typer.Option(metavar="N", min=1, max=1_000_000, help="Number of classes.")
]

TotalStride = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Total stride of the backbone, for small images: 4, 8, 16 or 32."
    ),
]
OutputStride = Annotated[
    int | None, typer.Option(metavar="N", help="Stride of the last map, by dilation: 8, 16 or 32.")
]

# How a front is looked at.
ObjectiveNames = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES", help="Objectives instead of the run's, as in accuracy,latency_ms."
    ),
]
OtherDevice = Annotated[
    Path | None,
    typer.Option(metavar="PROFILE", help="Latencies of another device, by its profile."),
]
