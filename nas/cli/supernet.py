"""`nas supernet`: training one network that holds all of a space, and scoring with it."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from nas.cli.tables import console, summary

if TYPE_CHECKING:
    from nas.data import Dataset
    from nas.spec.architecture import Architecture
    from nas.training.supernet.folder import SupernetFolder
    from nas.training.supernet.supernet import Supernet

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    app.command("supernet")(_supernet)


def _supernet(
    space: Annotated[Path, typer.Argument(help="Search space file.")],
    data: Annotated[str, typer.Option(metavar="DATA", help="As of nas search.")] = "digits",
    out: Annotated[Path, typer.Option(help="Folder to make, or to go on with.")] = Path(
        "runs/supernet"
    ),
    epochs: Annotated[float, typer.Option(min=0.01, help="Over the training images.")] = 20.0,
    resolution: Annotated[
        int | None, typer.Option(min=8, max=1024, help="Side of the images to train on.")
    ] = None,
    train_backbone: Annotated[
        bool, typer.Option("--train-backbone", help="Train it too, and not the blocks alone.")
    ] = False,
    plain: Annotated[
        float, typer.Option(help="Share of plain paths, with --train-backbone.")
    ] = 0.0,
    sandwich: Annotated[
        int, typer.Option(min=0, help="Paths drawn in a step, beside a dense and the plain one.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    score: Annotated[
        int, typer.Option(min=0, help="Then score the hand-placed networks and N drawn ones.")
    ] = 0,
    json_: Annotated[bool, typer.Option("--json", help="Scores for machines.")] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any key of the runner; may be repeated."),
    ] = None,
) -> None:
    """Train all networks of a space at once with shared weights, to score any in seconds.

    Interrupted, the same command goes on. Scores rank networks roughly; a search decides.
    Example: nas supernet search_spaces/mobilenetv2-small.yaml --out runs/supernet --score 20
    """
    from nas.data import cached_data, open_data, resolve_source
    from nas.models.candidates import Candidates, load_space
    from nas.runs.images import train_resolution
    from nas.runs.lock import run_lock
    from nas.spec.runner import load_runner
    from nas.training.supernet.folder import SupernetFile, SupernetFolder
    from nas.training.supernet.supernet import Paths

    Paths(plain, sandwich).check(frozen=not train_backbone)
    overrides = [f"search.seed={seed}", "proxy.unit=epochs", f"proxy.rungs=[{epochs}]"]
    overrides += [f"proxy.resolution={resolution}"] if resolution else []
    runner = load_runner(None, (*overrides, *(set_ or ())))
    candidates = Candidates(load_space(space))
    seed, side = runner.search.seed, train_resolution(candidates.space, runner)
    cached = cached_data(data, side, validation=runner.validation, seed=seed)
    images = open_data(cached)
    file = SupernetFile(
        space=candidates.space,
        data=resolve_source(data),
        key=cached.name,
        classes=len(images.classes),
        validation=runner.validation,
        seed=seed,
        frozen=not train_backbone,
        plain=plain,
        sandwich=sandwich,
        proxy=runner.proxy,
    )
    folder = SupernetFolder.prepare(out, file, candidates)
    rows: list[dict[str, Any]] = []
    try:
        with run_lock(out):
            for architecture, _ in candidates.plains():
                supernet = _trained(folder, architecture, images)
                rows += _scores(supernet, images, score) if score else []
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last checkpoint", file=sys.stderr)
        raise typer.Exit(130) from None
    if json_:
        print(json.dumps(rows, indent=1))
    elif rows:
        _show(rows)
    else:
        print(f"{out}: trained; score networks with the same command and --score 20")


def _trained(folder: SupernetFolder, plain: Architecture, images: Dataset) -> Supernet:
    from nas.base.machine import usable_cores
    from nas.cli.counting import counting
    from nas.training.device import best_device
    from nas.training.plain_backbone import prepare_backbone

    backbone, proxy = folder.backbone(plain), folder.file.proxy
    if not backbone.exists():
        with counting(f"training the plain {plain.backbone}") as progress:
            prepare_backbone(
                plain,
                images,
                folder.file.key,
                proxy,
                backbone,
                seed=folder.file.seed,
                threads=usable_cores(),
                device=best_device(),
                progress=progress,
            )
    with counting(f"training the supernet of {plain.backbone}") as progress:
        return folder.train(plain, images, device=best_device(), progress=progress)


def _scores(supernet: Supernet, images: Dataset, number: int) -> list[dict[str, Any]]:
    """Hand-placed and drawn networks by their inherited weights, the lowest loss first."""
    from nas.cli.counting import counting
    from nas.training.device import best_device
    from nas.training.supernet.weights import score
    from nas.training.task import Classification

    asked = _to_score(supernet, number)
    task, device = Classification(len(images.classes)), best_device()
    rows: list[dict[str, Any]] = []
    with counting(f"scoring networks of {supernet.plain.backbone}") as progress:
        for done, (architecture, reference) in enumerate(asked, start=1):
            found = score(supernet, architecture, images, task, device=device)
            rows.append(
                {
                    "backbone": architecture.backbone,
                    "resolution": architecture.resolution,
                    "reference": reference,
                    "blocks": summary(architecture),
                    "loss": found.loss,
                    "accuracy": found.accuracy,
                    "architecture": architecture.to_dict(),
                }
            )
            progress(done, len(asked))
    return sorted(rows, key=lambda row: row["loss"])


def _to_score(supernet: Supernet, number: int) -> list[tuple[Architecture, str | None]]:
    """Distinct networks, with the names of the hand-placed ones that the supernet holds."""
    from nas.base.seeds import derive

    named = supernet.candidates.references().items()
    found = {item.digest: (item, name) for name, item in named if supernet.holds(item)}
    rng = random.Random(derive(supernet.seed, "scored"))
    drawn: dict[str, tuple[Architecture, None]] = {}
    candidates = supernet.candidates
    for _ in range(20 * number * len(candidates.plains())):  # a small space has no more
        item = candidates.architecture(candidates.sample(rng))
        if supernet.holds(item) and item.digest not in found and len(drawn) < number:
            drawn[item.digest] = (item, None)
    return [*found.values(), *drawn.values()]


def _show(rows: Sequence[Mapping[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
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
    screen = console()
    screen.print(table)
    screen.print(
        "By inherited weights: a rough order, not what these networks reach once trained "
        "(nas search).",
        style="dim",
    )
