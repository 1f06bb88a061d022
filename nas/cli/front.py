"""`nas front`: the Pareto front of runs. Start fast: no torch, no Optuna."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.base.errors import SpecError
from nas.base.files import refuse_taken
from nas.cli.options import ObjectiveNames, OtherDevice
from nas.cli.output.console import make_console
from nas.cli.parsing import parse_limit, parse_names, parse_numbers

if TYPE_CHECKING:
    from nas.cli.output.answers import FrontQuery
    from nas.study.front.front import Front

__all__ = ["front"]

_MARGINS = ("loss", "points")


def front(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.")],
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EXPRESSION",
            help="Only networks of which it is true: \"latency_ms < 8 and sites('coord', "
            "stage='blocks.3') <= 2\"; columns, numbers, "
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
    by: ObjectiveNames = None,
    device: OtherDevice = None,
    mixed: Annotated[
        bool,
        typer.Option("--mixed", help="Put runs of different data or devices together anyway."),
    ] = False,
    epsilon: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=NUMBER,...",
            help="Thin the front: for each network left out one stays that is at most this much "
            "worse.",
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=NUMBER,...",
            help="The best network within a budget, the cheapest that is as good, and how sure "
            "that is.",
        ),
    ] = None,
    within: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="POINTS",
            help="Points of accuracy that count as no difference for --at; default: 0.5.",
        ),
    ] = None,
    knee: Annotated[
        bool,
        typer.Option(
            "--knee", help="The knee of the front: from there a step either way costs most."
        ),
    ] = False,
    hypervolume: Annotated[
        bool,
        typer.Option(
            "--hypervolume",
            help="The hypervolume that the front dominates, and its reference point.",
        ),
    ] = False,
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=NUMBER,...",
            help="Reference point of the hypervolume; default: the worst values.",
        ),
    ] = None,
    margin: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=NUMBER,...",
            help="Differences that count as none: loss=0.002,points=0.1 (of accuracy, by full "
            "training).",
        ),
    ] = None,
    findings: Annotated[
        bool,
        typer.Option(
            "--findings",
            help="Print all that may be said of the front; with --json, each statement with its "
            "figures.",
        ),
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON, a list of objects.")] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a table for a README.")
    ] = False,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the table to a CSV file.")
    ] = None,
    parquet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the table to a Parquet file.")
    ] = None,
) -> None:
    """Show the Pareto front of a run, or of several together, with the hand-placed references.

    Example: nas front runs/demo --where "latency_ms < 8 and params < 3e6 and sites('coord') <= 2"
    """
    from nas.cli.output.answers import print_answers
    from nas.cli.output.front_table import front_markdown, print_front
    from nas.runs.compare import front_of_runs
    from nas.study.front.caveats import caveat_lines
    from nas.study.front.verdict import findings_json, judge

    query = _query(at, within, reference, knee=knee, hypervolume=hypervolume)
    _refuse_both(query, json_=json_, markdown=markdown, findings=findings)
    _refuse_files(csv, parquet)
    whole = front_of_runs(runs, parse_names(by), device=device, mixed=mixed)
    narrowed = _narrow(_with_margin(whole, margin), where, at_most, at_least, epsilon)
    written = _write(narrowed, csv, parquet)
    if findings:
        verdict = judge(narrowed)
        told = (*verdict.answer, *verdict.lines)
        print(findings_json(narrowed) if json_ else "\n".join(told))
        return
    if not len(narrowed) and (json_ or markdown or written):
        # What is printed or written does not say why.
        typer.echo(judge(narrowed).lines[-1], err=True)
    if query.asks:
        print_answers(narrowed, query, as_json=json_)
    elif json_:
        print(narrowed.to_json())
    elif markdown:
        print(front_markdown(narrowed))
    elif not written:
        print_front(narrowed, make_console())
        return
    # Answers and rows do not say where their figures come from.
    for line in caveat_lines(narrowed):
        typer.echo(line, err=True)


def _refuse_both(query: FrontQuery, *, json_: bool, markdown: bool, findings: bool) -> None:
    """Refuse options that contradict each other. Raises SpecError."""
    if json_ and markdown:
        raise SpecError("--json and --markdown both say how to print; leave one")
    if findings and (markdown or query.asks):
        raise SpecError("--findings prints findings alone; leave the other questions out")


def _refuse_files(csv: Path | None, parquet: Path | None) -> None:
    """Refuse files that exist, before anything is read. Raises SpecError."""
    for path, option in ((csv, "--csv"), (parquet, "--parquet")):
        if path is not None:
            refuse_taken(path, option)
    if csv is not None and csv == parquet:
        raise SpecError(f"--csv and --parquet both name {csv}; name two files")


def _narrow(
    front: Front,
    expressions: Sequence[str] | None,
    at_most: Sequence[str] | None,
    at_least: Sequence[str] | None,
    epsilon: str | None,
) -> Front:
    """Leave out what was not asked for. Raises SpecError."""
    for text in expressions or ():
        front = front.where(text)
    for sign, texts in (("<=", at_most), (">=", at_least)):
        for text in texts or ():
            front = front.where(None, **parse_limit(sign, text))
    if epsilon is not None:
        front = front.thinned(**parse_numbers(epsilon, "--epsilon"))
    return front


def _with_margin(front: Front, margin: str | None) -> Front:
    """Set how much counts as no difference. Raises SpecError."""
    values = {} if margin is None else parse_numbers(margin, "--margin")
    for name, value in values.items():
        if name not in _MARGINS:
            raise SpecError(f"--margin of {name!r}; allowed: {', '.join(_MARGINS)}")
        if not (math.isfinite(value) and value >= 0):
            raise SpecError(f"--margin {name}={value:g}; allowed: a number, 0 or more")
    return replace(
        front,
        margin=values.get("loss", front.margin),
        margin_points=values.get("points", front.margin_points),
    )


def _write(front: Front, csv: Path | None, parquet: Path | None) -> bool:
    """Write the front where files were named. Returns whether there was one."""
    if csv is not None:
        front.write_csv(csv)
    if parquet is not None:
        front.write_parquet(parquet)
    return csv is not None or parquet is not None


def _query(
    at: str | None, within: float | None, reference: str | None, *, knee: bool, hypervolume: bool
) -> FrontQuery:
    """Read the questions. Raises SpecError."""
    from nas.cli.output.answers import FrontQuery

    if within is not None and at is None:
        raise SpecError("--within says what is as good within a budget; give --at, too")
    return FrontQuery(
        at=parse_numbers(at, "--at") if at is not None else None,
        knee=knee,
        hypervolume=hypervolume or reference is not None,
        reference=parse_numbers(reference, "--reference") if reference is not None else {},
        within=within,
    )
