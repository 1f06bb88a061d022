"""`nas front`, `nas compare`, `nas show`: what a run has found. Start fast: no torch, no Optuna."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.base.errors import SpecError
from nas.base.files import refuse_taken
from nas.cli import asking
from nas.cli.asking import numbers
from nas.cli.tables import console, count, front_markdown, milliseconds, print_front
from nas.study.front.front import Front, Limit
from nas.study.front.verdict import judge

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    app.command("front")(_front)
    app.command("compare")(_compare)
    app.command("show")(_show)


def _front(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.")],
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EXPRESSION",
            help="\"latency_ms < 8 and sites('coord', stage='blocks.3') <= 2\"; columns, numbers, "
            "'texts', + - * /, comparisons, and, or, not, in, sites(kind, stage).",
        ),
    ] = None,
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
    mixed: Annotated[
        bool,
        typer.Option("--mixed", help="Put runs of different data or devices together anyway."),
    ] = False,
    epsilon: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=NUMBER,...",
            help="Fewer networks: for each left out, one that is at most so much worse.",
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=NUMBER,...", help="The best within a budget, and how sure that is."
        ),
    ] = None,
    knee: Annotated[
        bool, typer.Option("--knee", help="The network from which any way costs most.")
    ] = False,
    hypervolume: Annotated[
        bool, typer.Option("--hypervolume", help="What the front dominates, and below what.")
    ] = False,
    reference: Annotated[
        str | None,
        typer.Option(metavar="NAME=NUMBER,...", help="Of the hypervolume; default: the worst."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="A list of objects.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="A table for a README.")] = False,
    csv: Annotated[Path | None, typer.Option(help="Write CSV here.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="Write Parquet here.")] = None,
) -> None:
    """Show the Pareto front of a run, or of several together, with the hand-placed references.

    Example: nas front runs/demo --where "latency_ms < 8 and params < 3e6 and sites('coord') <= 2"
    """
    from nas.runs.compare import front_of_runs

    if json_ and markdown:
        raise SpecError("--json and --markdown both say how to print; leave one")
    for path, option in ((csv, "--csv"), (parquet, "--parquet")):
        if path is not None:
            refuse_taken(path, option)
    if csv is not None and csv == parquet:
        raise SpecError(f"--csv and --parquet both name {csv}; name two files")
    names = [name.strip() for name in by.split(",")] if by else None
    front = front_of_runs(runs, names, device=device, mixed=mixed)
    for text in where or []:
        front = front.where(text)
    for sign, texts in (("<=", at_most), (">=", at_least)):
        for text in texts or []:
            front = _narrowed(front, sign, text)
    if epsilon is not None:
        front = front.thinned(**numbers(epsilon, "--epsilon"))
    if csv is not None:
        front.write_csv(csv)
    if parquet is not None:
        front.write_parquet(parquet)
    if not len(front) and (json_ or markdown or csv is not None or parquet is not None):
        typer.echo(judge(front).lines[-1], err=True)  # what is printed or written does not say why
    if at is not None or knee or hypervolume or reference is not None:
        asked = asking.FrontQuery(
            at=numbers(at, "--at") if at is not None else None,
            knee=knee,
            hypervolume=hypervolume or reference is not None,
            reference=numbers(reference, "--reference") if reference is not None else {},
        )
        asking.answer(front, asked, json_=json_)
    elif json_:
        print(front.to_json())
    elif markdown:
        print(front_markdown(front))
    elif csv is None and parquet is None:
        print_front(front, console())


def _compare(
    first: Annotated[Path, typer.Argument(help="Run folder.")],
    second: Annotated[Path, typer.Argument(help="Another.")],
    by: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Objectives instead of the run's: accuracy,latency_ms."),
    ] = None,
    device: Annotated[
        Path | None, typer.Option(metavar="PROFILE", help="As it would be on another device.")
    ] = None,
    mixed: Annotated[
        bool, typer.Option("--mixed", help="Compare runs of different data or devices anyway.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Say which of two runs is ahead: the hypervolumes of their fronts, and the noise of that.

    Example: nas compare runs/first runs/second
    """
    from nas.runs.compare import compare

    names = [name.strip() for name in by.split(",")] if by else None
    asking.print_comparison(
        compare(first, second, names, device=device, mixed=mixed), first, second, json_=json_
    )


def _narrowed(front: Front, sign: str, text: str) -> Front:
    name, _, value = text.partition("=")
    try:
        limit: Limit = (sign, float(value))
    except ValueError:
        raise SpecError(f"filter {text!r}; write name=number, as in latency_ms=8") from None
    limits: dict[str, Limit] = {name.strip(): limit}
    return front.where(None, **limits)


def _show(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    trial: Annotated[int, typer.Argument(help="Number of the trial.")],
    json_: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show one trial: which block stands where, and what was measured.

    Example: nas show runs/demo 17
    """
    import json

    from nas.runs.run import open_run
    from nas.spec.architecture import Architecture
    from nas.study.record import COMPLETE, PRUNED, read_rungs

    opened = open_run(run)
    read = opened.read()
    row = read.row(trial)
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
        below = read_rungs(row["rungs"])
        if row["state"] != COMPLETE:
            what = "stopped early" if row["state"] == PRUNED else "so far"
            rungs, unit = opened.file.proxy.budgets, opened.file.proxy.unit
            print(f"{what}: trained for {rungs[len(below)]:g} of {rungs[-1]:g} {unit}")
        print(f"loss      {row['loss']:.4f} on {row['images']} validation images")
        print(f"accuracy  {row['accuracy']:.2%}")
        print(f"params    {count(row['params'])}")
        print(f"MACs      {count(row['macs'])}")
        print(f"seed      {row['seed']}")
        print(f"took      {row['seconds']:.1f} s, of them {row['train_seconds']:.1f} s training")
        for rung in below:
            scores = f"loss {rung.loss:.4f}, accuracy {rung.accuracy:.2%}"
            print(f"  at {rung.budget:g}: {scores}, {rung.seconds:.1f} s")
        if row["parts"] > 1:
            print(f"memory ran out: batches were computed in {row['parts']} pieces")
    rows = (read.trials["digest"] == row["digest"]).nonzero()[0]
    same = [int(number) for number in rows if number != trial]
    if same:
        print(f"same network, other seeds: trials {', '.join(map(str, same))}")
