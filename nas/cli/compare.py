"""`nas compare`: which of two runs is ahead."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.base.formats import format_probability
from nas.cli.options import Json, ObjectiveNames, OtherDevice, RunFolder
from nas.cli.output.console import print_json
from nas.cli.output.formats import format_numbers
from nas.cli.parsing import parse_names

if TYPE_CHECKING:
    from nas.runs.compare import FrontComparison

__all__ = ["compare"]


def compare(
    first: RunFolder,
    second: Annotated[Path, typer.Argument(help="Another.")],
    by: ObjectiveNames = None,
    device: OtherDevice = None,
    mixed: Annotated[
        bool, typer.Option("--mixed", help="Compare runs of different data or devices anyway.")
    ] = False,
    json_: Json = False,
) -> None:
    """Say which of two runs is ahead: the hypervolumes of their fronts, and the noise of that.

    Example: nas compare runs/first runs/second
    """
    from nas.runs.compare import compare as compare_runs

    comparison = compare_runs(first, second, parse_names(by), device=device, mixed=mixed)
    if json_:
        values = {"first": str(first), "second": str(second), "hypervolume": asdict(comparison)}
        print_json(_without_nan(values) | {"verdict": comparison.verdict})
    else:
        _print_comparison(comparison, first, second)


def _print_comparison(comparison: FrontComparison, first: Path, second: Path) -> None:
    bound = format_numbers(comparison.reference)
    print(f"hypervolume below {bound} (the worst of both fronts and their hand-placed networks):")
    print(f"  first   {first}: {comparison.first:.6g}")
    print(f"  second  {second}: {comparison.second:.6g}")
    difference = comparison.first - comparison.second
    interval = ""
    if not math.isnan(comparison.low):
        interval = f" [{comparison.low:+.3g}, {comparison.high:+.3g}] (95 %)"
        sure = format_probability(comparison.probability)
        interval += f"; the first is ahead with a probability of {sure}"
    print(f"difference {difference:+.3g}{interval}")
    print(comparison.verdict)
    for line in comparison.caveats:
        print(line)


def _without_nan(value: Any) -> Any:
    """Replace NaN, which JSON does not have, by None."""
    if isinstance(value, dict):
        return {name: _without_nan(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
