"""`nas show`: one trial. Start fast: no torch, no Optuna."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.base.formats import describe_uncounted, format_count, format_milliseconds
from nas.cli.options import Json, RunFolder
from nas.cli.output.console import print_json
from nas.spec.architecture import Architecture
from nas.spec.width import describe_reference, is_widened
from nas.study.constant_prediction import describe_collapse
from nas.study.record import COMPLETE, PRUNED, read_rungs

if TYPE_CHECKING:
    from nas.runs.run import RunState

__all__ = ["show"]


def show(
    run: RunFolder,
    trial: Annotated[int, typer.Argument(min=0, help="Number of the trial.")],
    picture: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="FILE.svg: draw its blocks over the backbone; FILE.png: what it, plain and "
            "hand-placed ones go by.",
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """Show one trial: which block stands where, and what was measured.

    Example: nas show runs/demo 17
    """
    from nas.runs.run import open_run

    state = open_run(run).read()
    row = state.row(trial)
    if picture is not None:
        _draw(state, trial, picture)
    architecture = Architecture.from_json(row["architecture"])
    if json_:
        named = {state.run.file.figure.column(name): value for name, value in row.items()}
        print_json(named | {"architecture": architecture.to_dict()})
        return
    _print_network(row, architecture)
    if row["latency_ms"] is not None:
        _print_latency(row)
        for doubt in state.doubts if row["latency_predicted"] else ():
            print(f"          {doubt}")
        _print_training(row, state)
    rows = (state.trials["digest"] == row["digest"]).nonzero()[0]
    others = [int(number) for number in rows if number != trial]
    if others:
        print(f"same network, other seeds: trials {', '.join(map(str, others))}")
    if picture is not None:
        print(f"Written: {picture}")


def _draw(state: RunState, trial: int, path: Path) -> None:
    """Draw the network of a trial, or its feature maps, by the suffix. Raises SpecError."""
    if path.suffix.lower() == ".svg":
        from nas.report.network_picture import write_network_picture

        write_network_picture(state, trial, path)
        return
    from nas.report.pictures import draw_feature_maps  # torch is imported for it

    draw_feature_maps(state, trial, path)


def _print_network(row: dict[str, Any], architecture: Architecture) -> None:
    stride, dilated = architecture.total_stride, architecture.output_stride
    print(
        f"trial {row['trial']} ({row['state']}), {architecture.backbone} at "
        f"{architecture.resolution}"
        + (f", total stride {stride}" if stride else "")
        + (f", output stride {dilated}" if dilated else "")
        + (f", weights shared in each {architecture.share}" if architecture.share else "")
    )
    if row["reference"]:
        print(f"{describe_reference(row['reference'])} reference: {row['reference']}")
    if row["failure"]:
        print(f"reason: {row['failure']}")
    for insertion in architecture.insertions:
        print(f"  {insertion.site:28} {insertion.label}")
    if not architecture.insertions:
        wider = ", widened" if is_widened(row["reference"]) else " as it comes"
        print(f"  no block: the backbone{wider}")


def _print_latency(row: dict[str, Any]) -> None:
    how = "measured"
    if row["latency_wall_ms"] is not None:
        how += f" (wall clock {format_milliseconds(row['latency_wall_ms'])} ms)"
    if row["latency_predicted"]:
        how = "predicted from the device profile"
    spread = row["latency_spread"] * 100
    print(f"latency   {format_milliseconds(row['latency_ms'])} ms ± {spread:.1f} %, {how}")
    if row["final_latency_ms"] is not None:
        print(f"          {format_milliseconds(row['final_latency_ms'])} ms on the idle machine")
    if row["suppression_ms"] is not None:
        took = format_milliseconds(row["suppression_ms"])
        print(
            f"          keeping boxes takes {took} ms more (the median of validation images, "
            "torchvision on one thread)"
        )


def _print_training(row: dict[str, Any], state: RunState) -> None:
    """Print what training came to, here and at the rungs below."""
    file = state.run.file
    below, proxy, title = read_rungs(row["rungs"]), file.proxy, file.figure.title
    if row["state"] != COMPLETE:
        what = "stopped early" if row["state"] == PRUNED else "so far"
        budgets = proxy.budgets
        print(f"{what}: trained for {budgets[len(below)]:g} of {budgets[-1]:g} {proxy.unit}")
    print(f"loss      {row['loss']:.4f} on {row['images']} validation images")
    print(f"{title:9} {row['accuracy']:.2%}")
    if collapsed := describe_collapse(state.constant_prediction, row["accuracy"]):
        print(f"          {collapsed}")
    print(f"params    {format_count(row['params'])}")
    print(f"MACs      {format_count(row['macs'])}")
    if row["uncounted"]:
        print(f"          {describe_uncounted(row['uncounted'].split())}")
    print(f"seed      {row['seed']}")
    print(f"took      {row['seconds']:.1f} s, of them {row['train_seconds']:.1f} s training")
    for rung in below:
        scores = f"loss {rung.loss:.4f}, {title} {rung.accuracy:.2%}"
        print(f"  at {rung.budget:g}: {scores}, {rung.seconds:.1f} s")
    if row["parts"] > 1:
        print(f"memory ran out: batches were computed in {row['parts']} pieces")
