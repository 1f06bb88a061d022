"""`nas front`, `nas show`: what a run has found. Start fast: no torch, no Optuna."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.tables import console, count, milliseconds, print_front
from nas.errors import SpecError
from nas.front import Front, Limit

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    app.command("front")(_front)
    app.command("show")(_show)


def _front(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    at_most: Annotated[
        list[str] | None,
        typer.Option("--max", metavar="NAME=NUMBER", help="Only networks with at most this."),
    ] = None,
    at_least: Annotated[
        list[str] | None,
        typer.Option("--min", metavar="NAME=NUMBER", help="Only networks with at least this."),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Objectives instead of the run's: accuracy,latency_ms."),
    ] = None,
    device: Annotated[
        Path | None, typer.Option(metavar="PROFILE", help="As it would be on another device.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="A list of objects.")] = False,
    csv: Annotated[Path | None, typer.Option(help="Write CSV here.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="Write Parquet here.")] = None,
) -> None:
    """Show the Pareto front of a run, with its hand-placed references.

    Example: nas front runs/demo --max latency_ms=8 --min accuracy=0.7
    """
    from nas.run import open_run

    names = [name.strip() for name in by.split(",")] if by else None
    front = open_run(run).front(names, device=device)
    for sign, texts in (("<=", at_most), (">=", at_least)):
        for text in texts or []:
            front = _narrowed(front, sign, text)
    if csv is not None:
        front.write_csv(csv)
    if parquet is not None:
        front.write_parquet(parquet)
    if json_:
        print(front.to_json())
    elif csv is None and parquet is None:
        print_front(front, console())


def _narrowed(front: Front, sign: str, text: str) -> Front:
    name, _, value = text.partition("=")
    try:
        limit: Limit = (sign, float(value))
    except ValueError:
        raise SpecError(f"filter {text!r}; write name=number, as in latency_ms=8") from None
    return front.where(**{name.strip(): limit})


def _show(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    trial: Annotated[int, typer.Argument(help="Number of the trial.")],
    json_: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show one trial: which block stands where, and what was measured.

    Example: nas show runs/demo 17
    """
    import json

    from nas.architecture import Architecture
    from nas.record import COMPLETE, PRUNED
    from nas.run import open_run

    opened = open_run(run)
    row = opened.row(trial)
    architecture = Architecture.from_json(row["architecture"])
    if json_:
        print(json.dumps(row | {"architecture": architecture.to_dict()}, indent=1))
        return
    head = f"trial {trial} ({row['state']}), {architecture.backbone} at {architecture.resolution}"
    if architecture.total_stride:
        head += f", total stride {architecture.total_stride}"
    print(head)
    if row["reference"]:
        print(f"hand-placed reference: {row['reference']}")
    if row["failure"]:
        print(f"reason: {row['failure']}")
    for insertion in architecture.insertions:
        print(f"  {insertion.site:28} {insertion.label}")
    if not architecture.insertions:
        print("  no block: the backbone as it comes")
    if row["latency_ms"] is not None:
        spread = row["latency_spread"] * 100
        how = "measured"
        if row["latency_wall_ms"] is not None:
            how += f" (wall clock {milliseconds(row['latency_wall_ms'])} ms)"
        if row["latency_predicted"]:
            how = "predicted from the device profile"
        print(f"latency   {milliseconds(row['latency_ms'])} ms ± {spread:.1f} %, {how}")
        if row["final_latency_ms"] is not None:
            print(f"          {milliseconds(row['final_latency_ms'])} ms on the idle machine")
        below = json.loads(row["rungs"] or "[]")
        if row["state"] != COMPLETE:
            what = "stopped early" if row["state"] == PRUNED else "so far"
            rungs, unit = opened.file.proxy.rungs, opened.file.proxy.unit
            print(f"{what}: trained for {rungs[len(below)]:g} of {rungs[-1]:g} {unit}")
        print(f"loss      {row['loss']:.4f} on {row['images']} validation images")
        print(f"accuracy  {row['accuracy']:.2%}")
        print(f"params    {count(row['params'])}")
        print(f"MACs      {count(row['macs'])}")
        print(f"seed      {row['seed']}")
        print(f"took      {row['seconds']:.1f} s, of them {row['train_seconds']:.1f} s training")
        for budget, loss, accuracy, seconds in below:
            print(f"  at {budget:g}: loss {loss:.4f}, accuracy {accuracy:.2%}, {seconds:.1f} s")
        if row["parts"] > 1:
            print(f"memory ran out: batches were computed in {row['parts']} pieces")
    rows = (opened.trials()["digest"] == row["digest"]).nonzero()[0]
    same = [int(number) for number in rows if number != trial]
    if same:
        print(f"same network, other seeds: trials {', '.join(map(str, same))}")
