"""What published comparisons of attention blocks say of networks that nobody has trained yet.

    python -m benchmarks.prior.published check benchmarks/prior/published.csv
    python -m benchmarks.prior.published fit benchmarks/prior/published.csv

`check` leaves one study out at a time and prints how well models with more and more terms predict
its gains, beside the grand mean alone. A term that helps by two standard errors goes in as it is.
Terms of place, which few studies varied, go in as if they were zero with a probability of one half.
What does not help stays out, or has a mean of zero and its spread as deviation.
`fit` writes the figures that the package ships, nas/belief/published.json.

Needs no more than the table: a row for each comparison of a network with blocks and the same
network without; which rows are read is in rows.py.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.prior.hierarchy import REFERENCE_ERROR, Fitted, Model, fit
from benchmarks.prior.rows import Comparison, left_out, read_comparisons
from nas.base.errors import NasError
from nas.base.files import write_whole

__all__ = ["SHIPPED", "Score", "figures", "main", "scores"]

PACKAGED = Path(__file__).parents[2] / "nas" / "belief" / "published.json"

SHIPPED = Model(
    ("uniform", "proposers", "late", "after_projection"),
    ("study", "context", "kind, new to each study"),
    share="saturating",
    by_error=True,
)
"""The terms that `check` supports, or cannot decide about."""

_NORMAL_90 = 1.645
_UNTESTED = 1.0
"""Deviation of a term that one study alone speaks of, points."""


# Leaving one study out.


@dataclass(frozen=True, slots=True)
class Score:
    """How well one study's gains were predicted by the others.

    density: mean log density of a row.
    joint: log density of all rows together.
    covered: share of rows inside their 90 % interval.
    """

    study: str
    rows: int
    density: float
    joint: float
    covered: float


def scores(model: Model, rows: Sequence[Comparison]) -> list[Score]:
    """Predict each study by all others, spreads fitted anew."""
    whole = fit(model, rows)
    found = []
    for study in dict.fromkeys(row.study for row in rows):
        held = [row for row in rows if row.study == study]
        rest = fit(model, [row for row in rows if row.study != study], whole.x)
        found.append(_score(rest, study, held))
    return found


def _score(fitted: Fitted, study: str, rows: Sequence[Comparison]) -> Score:
    mean, covariance = fitted.predict(rows)
    misses = np.array([row.gain for row in rows]) - mean
    deviation = np.sqrt(np.diag(covariance))
    factor = np.linalg.cholesky(covariance)
    whitened = np.linalg.solve(factor, misses)
    constant = np.log(2 * np.pi) / 2
    return Score(
        study=study,
        rows=len(rows),
        density=float(np.mean(-((misses / deviation) ** 2) / 2 - np.log(deviation) - constant)),
        joint=float(
            -(whitened @ whitened) / 2 - np.log(np.diag(factor)).sum() - constant * len(rows)
        ),
        covered=float(np.mean(np.abs(misses) <= _NORMAL_90 * deviation)),
    )


def _ladder() -> list[tuple[str, Model, int]]:
    """Return models by name, each with the number of the line that it is compared with."""
    spread = Model(spreads=("study", "context"))
    saturating = replace(spread, share="saturating")
    by_error = replace(saturating, by_error=True)
    proposers = replace(by_error, weights=("uniform", "proposers"))
    late = replace(proposers, weights=(*proposers.weights, "late"))
    projection = replace(late, weights=(*late.weights, "after_projection"))
    lines = [
        ("grand mean alone", Model(), 0),
        ("spread between studies, and networks in them", spread, 0),
        ("diminishing returns in the share of sites", saturating, 1),
        ("gains grow with the plain network's error", by_error, 2),
        ("proposers of a block discounted", proposers, 3),
        ("late places against early ones", late, 4),
        ("after the projection", projection, 5),
        ("spread between kinds: the prior that ships", SHIPPED, 6),
    ]
    return lines + [(f"  but {name}", model, 7) for name, model in _rivals()]


def _rivals() -> list[tuple[str, Model]]:
    """Return the prior that ships with one term changed or added."""
    shares: list[tuple[str, Model]] = [
        ("the share of sites ignored", replace(SHIPPED, share="ignored")),
        ("gains in proportion to the share", replace(SHIPPED, share="proportional")),
    ]
    named = replace(SHIPPED, spreads=("study", "context", "kind"))
    rivals = [*shares, ("kinds by their names", named)]
    for name in ("after_depthwise", "ratio", "ratio above 16", "mobile"):
        rivals.append((name, replace(SHIPPED, weights=(*SHIPPED.weights, name))))
    tasks = (*SHIPPED.weights, "detection", "segmentation")
    rivals.append(("detection and segmentation", replace(SHIPPED, weights=tasks)))
    slopes = (*SHIPPED.spreads, "late by study", "late by kind")
    rivals.append(("late places by study and kind", replace(SHIPPED, spreads=slopes)))
    return rivals


def _check(path: Path) -> None:
    rows = [row for row in read_comparisons(path) if not row.finetuned]
    studies = len({row.study for row in rows})
    print(f"{len(rows)} rows of {studies} studies; left out: {_reasons(left_out(path))}")
    print("log density of a left-out study's rows, mean over studies; higher is better\n")
    print(f"{'model':48s} {'density':>8s} {'gained (se)':>16s} {'together':>9s} {'in 90 %':>8s}")
    found: list[list[Score]] = []
    for name, model, against in _ladder():
        found.append(scores(model, rows))
        print(_line(name, found[-1], found[against]), flush=True)


def _reasons(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in counts.most_common())


def _line(name: str, found: Sequence[Score], against: Sequence[Score]) -> str:
    densities = np.array([score.density for score in found])
    gains = densities - np.array([score.density for score in against])
    error = gains.std() / np.sqrt(len(gains))
    covered = np.average([score.covered for score in found], weights=[item.rows for item in found])
    joint = sum(score.joint for score in found)
    gained = f"{gains.mean():+.3f} ({error:.3f})" if gains.any() else ""
    return f"{name:48s} {densities.mean():8.3f} {gained:>16s} {joint:9.1f} {covered:8.1%}"


# The figures that ship.


def figures(path: Path) -> dict[str, Any]:
    """Return the content of the packaged file, fitted to a table. Raises SpecError."""
    every = read_comparisons(path)
    rows = [row for row in every if not row.finetuned]
    shipped = fit(SHIPPED, rows)
    slopes = fit(
        replace(SHIPPED, spreads=(*SHIPPED.spreads, "late by study", "late by kind")), rows
    )
    named = fit(replace(SHIPPED, spreads=("study", "context", "kind")), rows)
    tuned = fit(replace(SHIPPED, weights=(*SHIPPED.weights, "finetune")), every)
    # One study cannot be tested on another: half of what it found, and wide.
    finetune = tuned.weight("finetune")[0] / 2, _UNTESTED
    exponents = shipped.exponents()
    kind = shipped.spread("kind, new to each study")

    slope = slopes.spread("late by study"), slopes.spread("late by kind")
    late, late_deviation = slopes.weight("late")

    def figure(
        pair: tuple[float, float],
        of: Callable[[Comparison], bool] = lambda row: True,
        *spreads: float,
    ) -> dict[str, Any]:
        speaking = [row for row in every if of(row)]
        studies = sorted({row.study for row in speaking})
        return {
            "mean": round(pair[0], 3),
            "deviation": round(float(np.hypot.reduce([pair[1], *spreads])), 3),
            "rows": len(speaking),
            "studies": len(studies),
            "sources": studies,
        }

    between = shipped.spread("study"), shipped.spread("context")
    return {
        "version": 1,
        "about": "Gain of attention blocks over the same plain network in accuracy points, from "
        "published comparisons: python -m benchmarks.prior.published fit. Deviations hold the "
        "spread between studies and networks, so they are those of a new setting.",
        "rows": len(rows),
        "studies": len({row.study for row in rows}),
        "reference_error": REFERENCE_ERROR,
        "uniform": figure(shipped.weight("uniform"), lambda row: not row.finetuned, *between),
        "late": figure(
            _doubted(late, float(np.hypot.reduce([late_deviation, *slope]))),
            lambda row: row.depth != 0.5,
        ),
        "after_projection": figure(
            _doubted(*shipped.weight("after_projection")),
            lambda row: row.position == "after_projection",
        ),
        "finetune": figure(finetune, lambda row: row.finetuned),
        "proposers": figure(shipped.weight("proposers"), lambda row: row.proposed),
        "kind": figure((0.0, kind), lambda row: not row.finetuned),
        "share_exponent": figure(exponents["share"], lambda row: row.share < 1),
        "error_exponent": figure(exponents["error"], lambda row: row.metric == "top1"),
        "kinds": {
            name: figure(named.member("kind", name), partial(_is_of, name))
            for name in sorted({row.kind for row in rows})
        },
    }


def _written(content: dict[str, Any]) -> str:
    """Write JSON with a line for each figure."""
    kinds = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in content["kinds"].items())
    lines = [f" {json.dumps(k)}: {json.dumps(v)}" for k, v in content.items() if k != "kinds"]
    return "{\n" + ",\n".join(lines) + f',\n "kinds": {{\n{kinds}\n }}\n}}\n'


def _doubted(mean: float, deviation: float) -> tuple[float, float]:
    """Return mean and deviation of a weight that is zero with a probability of one half.

    For terms that do not predict left-out studies better by two standard errors.
    """
    return mean / 2, float(np.sqrt(deviation**2 / 2 + mean**2 / 4))


def _is_of(kind: str, row: Comparison) -> bool:
    return row.kind == kind and not row.finetuned


def _fit(path: Path, out: Path) -> None:
    content = figures(path)
    with write_whole(out) as temporary:
        temporary.write_text(_written(content), encoding="utf-8")
    for name, value in content.items():
        if isinstance(value, dict) and "mean" in value:
            numbers = f"{value['mean']:+.2f} +- {value['deviation']:.2f}"
            print(f"{name:17s} {numbers}  {value['rows']} rows of {value['studies']} studies")
    print(f"{out} written: {content['rows']} rows of {content['studies']} studies")


def main() -> None:
    """Run `fit` or `check`; a broken table ends with one line and exit code 2."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("command", choices=["fit", "check"])
    parser.add_argument("table", type=Path, help="published.csv")
    parser.add_argument("--out", type=Path, default=PACKAGED, help="file that fit writes")
    given = parser.parse_args()
    try:
        if given.command == "fit":
            _fit(given.table, given.out)
        else:
            _check(given.table)
    except NasError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
