"""`nas supernet`: training one network that holds all of a space, and scoring with it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from nas.cli.options import DataSource, ResumableFolder, RunnerSettings, SpaceFile
from nas.cli.output.console import make_console, plain_table, print_json
from nas.cli.output.count_progress import show_count

__all__ = ["supernet"]


def supernet(
    space: SpaceFile,
    data: DataSource = "digits",
    out: ResumableFolder = Path("runs/supernet"),
    epochs: Annotated[
        float, typer.Option(metavar="NUMBER", min=0.01, help="Passes over the training images.")
    ] = 20.0,
    resolution: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Size of the images to train on.")
    ] = None,
    train_backbone: Annotated[
        bool,
        typer.Option("--train-backbone", help="Train the backbone, too, and not the blocks alone."),
    ] = False,
    plain: Annotated[
        float,
        typer.Option(
            metavar="SHARE", min=0, max=1, help="Share of plain paths, with --train-backbone."
        ),
    ] = 0.0,
    sandwich: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            max=1000,
            help="Paths drawn in a step, beside a dense and the plain one.",
        ),
    ] = 0,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, max=2**31 - 1, help="Seed of everything random.")
    ] = 0,
    score: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            max=1_000_000,
            help="Then score the hand-placed networks and N drawn ones.",
        ),
    ] = 0,
    json_: Annotated[bool, typer.Option("--json", help="Scores for machines.")] = False,
    set_: RunnerSettings = None,
) -> None:
    """Train all networks of a space at once with shared weights, to score any in seconds.

    Interrupted, the same command goes on. Scores rank networks roughly; a search decides.
    Example: nas supernet search_spaces/mobilenetv2-small.yaml --out runs/supernet --score 20
    """
    from nas.models.candidates import Candidates, load_space
    from nas.runs.check_network import CLASSES
    from nas.runs.reading import settle_task
    from nas.runs.supernets import open_supernets, train_and_score
    from nas.spec.resolution import parse_resolution
    from nas.spec.runner import load_runner
    from nas.training.supernet.supernet import Paths

    paths = Paths(plain, sandwich)
    paths.check(frozen=not train_backbone)
    # The kind means nothing here; all folders say this one, and another would not go on with them.
    settings = [f"search.seed={seed}", "proxy.kind=probe"]
    settings += ["proxy.unit=epochs", f"proxy.rungs=[{epochs}]"]
    if resolution is not None:
        size = parse_resolution(resolution, "--resolution")
        settings.append(f"proxy.resolution={size}")
    runner = settle_task(load_runner(None, (*settings, *(set_ or ()))), data)
    candidates = Candidates(load_space(space), runner.task_on(CLASSES))
    folder, images = open_supernets(
        out, candidates, runner, data, paths=paths, frozen=not train_backbone, note=_note
    )
    try:
        rows = train_and_score(folder, images, networks=score, count=show_count)
    except KeyboardInterrupt:
        _note("stopped; the same command goes on from the last checkpoint")
        raise typer.Exit(130) from None
    if json_:
        print_json(rows)
    elif rows:
        _print_scores(rows)
    else:
        print(f"{out}: trained; score networks with the same command and --score 20")


def _note(text: str) -> None:
    print(text, file=sys.stderr)


def _print_scores(rows: Sequence[Mapping[str, Any]]) -> None:
    table = plain_table()
    for name in ("loss", "accuracy %"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("network", overflow="ellipsis", no_wrap=True)
    several = len({(row["backbone"], row["resolution"]) for row in rows}) > 1
    for row in rows:
        where = f"{row['backbone']} at {row['resolution']}: " if several else ""
        named = f"{row['reference']} hand-placed: " if row["reference"] else ""
        table.add_row(
            f"{row['loss']:.4f}", f"{row['accuracy'] * 100:.2f}", where + named + row["blocks"]
        )
    screen = make_console()
    screen.print(table)
    screen.print(
        "By inherited weights: a rough order, not what these networks reach once trained "
        "(nas search).",
        style="dim",
    )
