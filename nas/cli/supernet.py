"""`nas supernet`: training one network that holds all of a space, and scoring with it."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.options import DataSource, ResumableFolder, RunnerSettings, SpaceFile
from nas.cli.output.console import make_console, plain_table, print_json
from nas.cli.output.count_progress import show_count

if TYPE_CHECKING:
    from nas.data import Dataset
    from nas.models.candidates import Candidates
    from nas.spec.architecture import Architecture
    from nas.spec.runner import Runner
    from nas.training.supernet.folder import SupernetFolder
    from nas.training.supernet.supernet import Paths, Supernet

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
    folder, images = _open_folder(
        out, candidates, runner, data, paths=paths, frozen=not train_backbone
    )
    rows = _train_and_score(out, folder, images, score)
    if json_:
        print_json(rows)
    elif rows:
        _print_scores(rows)
    else:
        print(f"{out}: trained; score networks with the same command and --score 20")


def _open_folder(
    out: Path, candidates: Candidates, runner: Runner, data: str, *, paths: Paths, frozen: bool
) -> tuple[SupernetFolder, Dataset]:
    """Make the folder, or open the one that goes on; with the images to train on."""
    from nas.data import (
        cached_data,
        data_names,
        open_data,
        resolve_source,
        resolve_validation,
    )
    from nas.runs.check_network import CLASSES, check_networks
    from nas.runs.images import train_resolution
    from nas.runs.reading import reading_of
    from nas.training.device import best_device
    from nas.training.precision import settle_precision
    from nas.training.supernet.folder import SupernetFile, SupernetFolder

    for note in check_networks(candidates, runner.proxy, None, runner.task_on(CLASSES)):
        print(note, file=sys.stderr)
    seed, size = runner.search.seed, train_resolution(candidates.space, runner)
    reading, held = reading_of(runner), runner.validation
    cached = cached_data(
        data,
        size,
        validation=held,
        seed=seed,
        reading=reading,
        note=lambda text: print(text, file=sys.stderr),
    )
    names = data_names(data, size, validation=held, seed=seed, reading=reading)
    images = open_data(cached)
    file = SupernetFile(
        space=candidates.space,
        data=resolve_source(data),
        key=cached.name,
        classes=len(images.classes),
        task=runner.task_on(1).name,
        head=runner.task_on(1).head,
        validation=resolve_validation(held),
        seed=seed,
        frozen=frozen,
        plain=paths.plain,
        sandwich=paths.sandwich,
        proxy=settle_precision(runner.proxy, best_device()),
    )
    return SupernetFolder.prepare(out, file, candidates, names.values()), images


def _train_and_score(
    out: Path, folder: SupernetFolder, images: Dataset, number: int
) -> list[dict[str, Any]]:
    """Train a supernet for each backbone, and score networks of each."""
    from nas.runs.lock import run_lock

    rows: list[dict[str, Any]] = []
    try:
        with run_lock(out):
            for architecture, _ in folder.candidates.plains():
                supernet = _train(folder, architecture, images)
                rows += _score(folder, supernet, images, number) if number else []
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last checkpoint", file=sys.stderr)
        raise typer.Exit(130) from None
    return rows


def _train(folder: SupernetFolder, plain: Architecture, images: Dataset) -> Supernet:
    from nas.base.machine import usable_cores
    from nas.training.device import best_device
    from nas.training.plain_backbone import prepare_backbone

    backbone, proxy = folder.backbone(plain), folder.file.proxy
    if not backbone.exists():
        with show_count(f"training the plain {plain.backbone}") as progress:
            prepare_backbone(
                plain,
                images,
                folder.file.key,
                folder.file.purpose,
                proxy,
                backbone,
                seed=folder.file.seed,
                threads=usable_cores(),
                device=best_device(),
                progress=progress,
            )
    with show_count(f"training the supernet of {plain.backbone}") as progress:
        return folder.train(plain, images, device=best_device(), progress=progress)


def _score(
    folder: SupernetFolder, supernet: Supernet, images: Dataset, number: int
) -> list[dict[str, Any]]:
    """Score hand-placed and drawn networks by inherited weights; the lowest loss comes first."""
    from nas.training.device import best_device
    from nas.training.supernet import weights

    networks = _networks_to_score(supernet, number)
    task, device, precision = supernet.task, best_device(), folder.file.proxy.computed_in
    rows: list[dict[str, Any]] = []
    with show_count(f"scoring networks of {supernet.plain.backbone}") as progress:
        for done, (architecture, reference) in enumerate(networks, start=1):
            scores = weights.score(
                supernet, architecture, images, task, device=device, precision=precision
            )
            rows.append(
                {
                    "backbone": architecture.backbone,
                    "resolution": architecture.resolution,
                    "reference": reference,
                    "blocks": architecture.summary,
                    "loss": scores.loss,
                    "accuracy": scores.accuracy,
                    "architecture": architecture.to_dict(),
                }
            )
            progress(done, len(networks))
    return sorted(rows, key=lambda row: row["loss"])


def _networks_to_score(supernet: Supernet, number: int) -> list[tuple[Architecture, str | None]]:
    """Choose distinct networks, with the names of those that are hand-placed."""
    from nas.base.seeds import derive

    named = supernet.candidates.references().items()
    placed = {network.digest: (network, name) for name, network in named if supernet.holds(network)}
    rng = random.Random(derive(supernet.seed, "scored"))
    drawn: dict[str, tuple[Architecture, None]] = {}
    candidates = supernet.candidates
    for _ in range(20 * number * len(candidates.plains())):  # a small space has no more
        network = candidates.architecture(candidates.sample(rng))
        if supernet.holds(network) and network.digest not in placed and len(drawn) < number:
            drawn[network.digest] = (network, None)
    return [*placed.values(), *drawn.values()]


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
