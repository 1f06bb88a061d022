"""Several runs at once: one front over all, and which of two is ahead."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import SpecError
from nas.belief.posterior import draws
from nas.runs.run import Run, open_run
from nas.study.front.front import Front
from nas.study.front.indicators import hypervolume

__all__ = ["FrontComparison", "compare", "front_of_runs"]

_COVERAGE = 0.95
_DRAWS = 2000


@dataclass(frozen=True, slots=True)
class FrontComparison:
    """How much more the first front is worth than the second: hypervolumes below one reference,
    and the 95 % interval of their difference that the noise of seeds, validation images and
    latencies makes; NaN where the noise is not known. probability: that the first is ahead.
    """

    first: float
    second: float
    low: float
    high: float
    probability: float
    reference: dict[str, float]

    @property
    def verdict(self) -> str:
        if math.isnan(self.low):
            return "Too few networks were trained with several seeds to say whether it is noise."
        if self.low > 0 or self.high < 0:
            return f"The {'first' if self.low > 0 else 'second'} is ahead beyond the noise."
        return "The difference is inside the noise: neither is ahead as far as can be told."


def front_of_runs(
    paths: Sequence[str | Path],
    by: Sequence[str] | None = None,
    *,
    device: str | Path | None = None,
    mixed: bool = False,
) -> Front:
    """The front of a run, or one front over several whose points say their run.

    mixed: even though their losses or latencies are of different things. Raises SpecError
    for runs of different data, proxies or devices otherwise.
    """
    runs = _opened(paths)
    if len(runs) == 1:
        return runs[0].front(by, device=device)
    if not mixed:
        _refuse_unlike(runs, projected=device is not None)
    by = list(by) if by else runs[0].file.search.objectives
    return Front.joined({str(run.path): run.front(by, device=device) for run in runs})


def compare(
    first: str | Path,
    second: str | Path,
    by: Sequence[str] | None = None,
    *,
    device: str | Path | None = None,
    mixed: bool = False,
) -> FrontComparison:
    """Compare the hypervolumes of two runs below one reference: the worst of both fronts and
    their hand-placed networks. Raises SpecError as `front_of_runs` does, and for empty fronts.
    """
    runs = _opened([first, second])
    if len(runs) < 2:
        raise SpecError(f"{first} is given twice; name two runs")
    if not mixed:
        _refuse_unlike(runs, projected=device is not None)
    by = list(by) if by else runs[0].file.search.objectives
    fronts = [run.front(by, device=device) for run in runs]
    for run, front in zip(runs, fronts, strict=True):
        if not front.members:
            raise SpecError(f"{run.path} has no front yet: no trial of it is complete")
    return compare_fronts(*fronts)


def compare_fronts(first: Front, second: Front) -> FrontComparison:
    """Of two fronts by the same objectives."""
    joined = Front.joined({"first": first, "second": second})
    reference = joined.hypervolume().reference
    signs = np.array([item.sign for item in first.objectives])
    bound = signs * np.array(list(reference.values()))
    volumes = [front.hypervolume(**reference).value for front in (first, second)]
    drawn = [_drawn_volumes(front, bound, seed) for seed, front in enumerate((first, second))]
    low = high = probability = math.nan
    if drawn[0] is not None and drawn[1] is not None:
        difference = drawn[0] - drawn[1]
        tail = (1 - _COVERAGE) / 2
        low, high = np.quantile(difference, [tail, 1 - tail]).tolist()
        probability = float((difference > 0).mean())
    return FrontComparison(volumes[0], volumes[1], low, high, probability, reference)


def _drawn_volumes(
    front: Front, bound: NDArray[np.float64], seed: int
) -> NDArray[np.float64] | None:
    """(draws,) of what a front may be worth: its members stay the ones that were chosen."""
    columns = front.measured.columns
    rows = front.member_rows
    # The others tell what networks of such latencies are worth.
    context = np.flatnonzero(columns["eligible"] == 1)[:_DRAWS]
    every = np.concatenate([rows, np.setdiff1d(context, rows)])
    drawn = draws(
        {name: values[every] for name, values in columns.items()},
        front.objectives,
        front.noise_freedom,
        count=_DRAWS,
        seed=seed,
    )
    if drawn is None:
        return None
    return np.array([hypervolume(costs, bound) for costs in drawn[:, : len(rows)]])


def _opened(paths: Sequence[str | Path]) -> list[Run]:
    distinct = {Path(path).resolve(): Path(path) for path in paths}
    return [open_run(path) for path in distinct.values()]


def _refuse_unlike(runs: Sequence[Run], *, projected: bool) -> None:
    first = _about(runs[0], projected)
    for run in runs[1:]:
        for name, found in _about(run, projected).items():
            if found != first[name]:
                raise SpecError(
                    f"{runs[0].path} and {run.path} differ in their {name} ({first[name]}; {found})"
                    ": figures of different things; --mixed (mixed=True) puts them together anyway"
                )


def _about(run: Run, projected: bool) -> dict[str, str]:
    """What must be the same for figures to be comparable."""
    data, file = run.environment["data"], run.file
    proxy = file.proxy
    found = {
        "data": f"{file.data}, {file.validation:.0%} for validation, cut with seed "
        f"{file.search.seed} [{data['key'][:8]}]",
        "proxy": f"{proxy.kind}, {proxy.budgets[-1]:g} {proxy.unit}, batches of {proxy.batch_size}",
    }
    return found if projected else found | {"device": _device(run)}


def _device(run: Run) -> str:
    try:
        known = json.loads((run.path / "device.json").read_text())
        return f"{known['device']} on {known['processor']}"
    except (OSError, ValueError, KeyError, TypeError):
        return run.file.device
