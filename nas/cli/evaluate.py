"""`nas evaluate`: a placement of one's own beside those of a search."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from nas.base.errors import SpecError
from nas.base.files import read_json
from nas.base.formats import format_milliseconds
from nas.cli.options import RunFolder
from nas.cli.output.console import make_console

if TYPE_CHECKING:
    from nas.runs.run import Run
    from nas.spec.architecture import Architecture

__all__ = ["evaluate", "train_and_tell"]


def evaluate(
    run: RunFolder,
    place: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SITES=BLOCK",
            help="Put a block at the sites that match a pattern: 'blocks.[0-2]*=coord/r32'; may be "
            "repeated, the later counts.",
        ),
    ] = None,
    network: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Read the network from JSON, as nas show --json prints."),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Backbone for --place, where the space has several."),
    ] = None,
    resolution: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Resolution for --place, where it has several."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Hold searched networks against it, and call it by this name."
        ),
    ] = None,
) -> None:
    """Train a placement of your own as a search did, and enter it into the run.

    With --name it is compared with as the hand-placed networks are. Example: nas evaluate
    runs/demo --place 'blocks.[0-2]*=coord/r32' --name ours
    """
    from nas.runs.run import open_run

    if bool(place) == (network is not None):
        raise SpecError("name a network by --place SITES=BLOCK, or by --network FILE")
    if network is not None and (backbone or resolution):
        raise SpecError("--network says its backbone and resolution: leave those options out")
    opened = open_run(run)
    architecture = (
        _read(network)
        if network is not None
        else _placed(opened, place or [], backbone, resolution)
    )
    screen = make_console()
    trial = train_and_tell(opened, architecture, screen, name=name)
    if trial is not None:
        screen.print(
            f"Train it fully: nas retrain {shlex.quote(str(run))} --trial {trial}", soft_wrap=True
        )


def train_and_tell(
    run: Run, architecture: Architecture, screen: Console, *, name: str | None = None
) -> int | None:
    """Train a network as a search does, and say what came of it.

    Returns its trial's number; None where it failed.
    """
    from nas.execution.observer import Narrator
    from nas.runs.further_trial import evaluate_further

    record = evaluate_further(run, architecture, Narrator(screen.print), name=name)
    if record.loss is None or record.accuracy is None or record.latency_ms is None:
        screen.print(f"trial {record.trial} {record.state}: {record.failure}")
        return None
    called = f" ({name})" if name else ""
    screen.print(
        f"trial {record.trial}{called}: loss {record.loss:.4f}, {run.file.figure.title} "
        f"{record.accuracy:.1%}, {format_milliseconds(record.latency_ms)} ms; it stands in: nas "
        f"front {shlex.quote(str(run.path))}",
        soft_wrap=True,
    )
    return record.trial


def _placed(
    run: Run, placements: list[str], backbone: str | None, resolution: str | None
) -> Architecture:
    """Return the network of placements on a backbone of a run's space."""
    from nas.models.candidates import Candidates
    from nas.models.placement import place
    from nas.runs.check_network import CLASSES
    from nas.spec.resolution import parse_resolution

    size = None if resolution is None else parse_resolution(resolution, "--resolution")
    plains = Candidates(run.space, run.file.task_on(CLASSES)).plains()
    matching = [
        (plain, sites)
        for plain, sites in plains
        if backbone in (None, plain.backbone) and size in (None, plain.resolution)
    ]
    if len(matching) != 1:
        there = ", ".join(f"{plain.backbone} at {plain.size}" for plain, _ in plains)
        raise SpecError(f"{run.path} is about {there}; choose one by --backbone and --resolution")
    return place(*matching[0], placements)


def _read(path: Path) -> Architecture:
    """Read an architecture's JSON, or that of a trial that holds it. Raises SpecError."""
    from nas.spec.architecture import Architecture

    network = read_json(path, "network")
    if isinstance(network, dict) and "architecture" in network:
        network = network["architecture"]
    return Architecture.from_json(json.dumps(network))
