"""`nas init`: a search drafted from four answers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from nas.base.errors import SpecError
from nas.base.files import refuse_taken
from nas.cli.completion import backbone_names, data_kinds, runtime_names

__all__ = ["init"]

_Checked = TypeVar("_Checked")

_QUESTIONS = {
    "--data": "Your images? folder:PATH with train/<class>/<images>, voc:PATH, "
    "coco:IMAGES,FILE.json, yolo:DATA.yaml; to try it: digits",
    "--backbone": "Which network? A name of timm or torchvision, or your own as FILE.py:function; "
    "nas backbones lists some",
    "--device": "Latency on what? A runtime of this machine (onnxruntime, openvino, ...), or the "
    "file of a device profile; of a phone, make one first: nas profile pack",
    "--budget": "How long may it take, search and full trainings together? 30m, 2h, 1d",
}
_USUAL = {"--data": "digits", "--backbone": "mobilenetv2_050", "--device": "onnxruntime"}
_USUAL |= {"--budget": "1h"}


def init(
    out: Annotated[Path, typer.Argument(help="Folder to make.")] = Path("my-search"),
    data: Annotated[
        str | None,
        typer.Option(
            autocompletion=data_kinds, metavar="DATA", help="Your images, as in nas search --data."
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            autocompletion=backbone_names,
            metavar="NAME",
            help="The network that blocks are put into.",
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="DEVICE",
            autocompletion=runtime_names,
            help="A runtime of this machine, or the file of a device profile.",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Time for search and full trainings together: 30m, 2h."),
    ] = None,
    resolution: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Size of the images, 128 or 224x160; default: one that suits them."
        ),
    ] = None,
) -> None:
    """Ask for data, network, device and time; write a space and a runner, and the command to run.

    Example: nas init my-search --data digits --backbone mobilenetv2_035 --device onnxruntime
    --budget 30m
    """
    refuse_taken(out, "the folder", "folder")
    given = {"--data": data, "--backbone": backbone, "--device": device, "--budget": budget}
    _check_answerable([option for option, answer in given.items() if answer is None])

    from nas.base.size import Size
    from nas.cli.output.console import make_console
    from nas.runs.draft import RUNNER, SPACE, Draft, check_data, check_network, check_target
    from nas.spec.resolution import parse_resolution

    size = None if resolution is None else parse_resolution(resolution, "--resolution")
    images = _settle("--data", data, lambda answer: check_data(answer, size))
    network = _settle("--backbone", backbone, lambda answer: check_network(images, answer))
    target = _settle("--device", device, lambda answer: check_target(network, answer))
    draft = _settle("--budget", budget, lambda answer: Draft.of(network, target, answer))
    draft.write(out)

    screen = make_console()
    for note in network.notes:
        screen.print(note)
    size_read = Size.of(images.resolution)
    screen.print(
        f"{images.train:,} training images of {images.classes} classes, read at {size_read}, for "
        f"{images.task.name}; trainings of {draft.short:g} epochs, full ones of {draft.full:g}"
    )
    screen.print(f"Written: {out / SPACE}, {out / RUNNER}")
    command = draft.command(out)
    screen.print("What it would do, and how long that takes:")
    screen.print(f"  {command} --dry-run", soft_wrap=True)
    screen.print("Start it:")
    screen.print(f"  {command}", soft_wrap=True)


def _check_answerable(missing: list[str]) -> None:
    """Raise SpecError where there is a question, and nobody who could be asked."""
    if missing and not _somebody_is_there():
        raise SpecError(
            f"{', '.join(missing)} left out, and without a terminal nobody can be asked; write "
            "nas init FOLDER --data DATA --backbone NAME --device DEVICE --budget TIME"
        )


def _somebody_is_there() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _settle(option: str, given: str | None, check: Callable[[str], _Checked]) -> _Checked:
    """Return what a checked answer comes to; one that is asked for is asked again until it fits.

    Raises SpecError for one that was given by its option.
    """
    if given is not None:
        return check(given)
    while True:
        try:
            answer = typer.prompt(_QUESTIONS[option], default=_USUAL[option])
            return check(answer)
        except SpecError as error:
            print(f"  {error}")
        except typer.Abort:
            raise typer.Exit(130) from None
