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
from nas.base.size import Size
from nas.base.user_code import is_function
from nas.runs.run import Run, RunState, open_run
from nas.runs.run_file import RunFile
from nas.spec.precision import FP32
from nas.study.front.caveats import caveat_lines
from nas.study.front.front import Front
from nas.study.front.indicators import hypervolume

__all__ = ["FrontComparison", "alike", "compare", "compare_fronts", "front_of_runs"]

_COVERAGE = 0.95
_DRAWS = 2000


@dataclass(frozen=True, slots=True)
class FrontComparison:
    """The lead of one front over another.

    first, second: hypervolumes below one reference.
    low, high: the 95 % interval of their difference that the noise of seeds, validation images
        and latencies makes; NaN where the noise is not known.
    probability: that the first is ahead.
    reference: the corner that volumes are measured from, by objective.
    caveats: what is to be said of where latencies and multiply-adds come from.
    """

    first: float
    second: float
    low: float
    high: float
    probability: float
    reference: dict[str, float]
    caveats: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """The comparison in a sentence."""
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
    """Return the front of a run, or one front over several whose points say their run.

    paths: run folders; one that is named twice counts once.
    by: names of objectives; None: those of the first run.
    device: a profile that latencies are predicted from; None: as they were measured.
    mixed: even though their losses or latencies are of different things.
    Raises SpecError for runs of different data, proxies or devices otherwise.
    """
    states = _read_runs(paths)
    if len(states) == 1:
        return states[0].front(by, device=device)
    if not mixed:
        _refuse_unlike(states, projected=device is not None)
    by = list(by) if by else _objectives(states[0].run)
    return Front.joined({str(state.run.path): state.front(by, device=device) for state in states})


def _objectives(run: Run) -> list[str]:
    """Return the names of a run's objectives as its task has them."""
    return [run.file.figure.column(name) for name in run.file.search.objectives]


def compare(
    first: str | Path,
    second: str | Path,
    by: Sequence[str] | None = None,
    *,
    device: str | Path | None = None,
    mixed: bool = False,
) -> FrontComparison:
    """Compare the hypervolumes of two runs below one reference.

    The reference is the worst of both fronts and their hand-placed networks. The other arguments
    are those of `front_of_runs`.
    Raises SpecError as `front_of_runs` does, and for empty fronts.
    """
    states = _read_runs([first, second])
    if len(states) < 2:
        raise SpecError(f"{first} is given twice; name two runs")
    if not mixed:
        _refuse_unlike(states, projected=device is not None)
    by = list(by) if by else _objectives(states[0].run)
    fronts = [state.front(by, device=device) for state in states]
    for state, front in zip(states, fronts, strict=True):
        if not front.members:
            raise SpecError(f"{state.run.path} has no front yet: no trial of it is complete")
    return compare_fronts(*fronts)


def compare_fronts(first: Front, second: Front) -> FrontComparison:
    """Compare the hypervolumes of two fronts by the same objectives."""
    joined = Front.joined({"first": first, "second": second})
    reference = joined.hypervolume().reference
    signs = np.array([objective.sign for objective in first.objectives])
    bound = signs * np.array(list(reference.values()))
    volumes = [front.hypervolume(**reference).value for front in (first, second)]
    drawn = [_drawn_volumes(front, bound, seed) for seed, front in enumerate((first, second))]
    low = high = probability = math.nan
    if drawn[0] is not None and drawn[1] is not None:
        difference = drawn[0] - drawn[1]
        tail = (1 - _COVERAGE) / 2
        low, high = np.quantile(difference, [tail, 1 - tail]).tolist()
        probability = float((difference > 0).mean())
    return FrontComparison(
        volumes[0], volumes[1], low, high, probability, reference, caveat_lines(joined)
    )


def _drawn_volumes(
    front: Front, bound: NDArray[np.float64], seed: int
) -> NDArray[np.float64] | None:
    """Draw (draws,) hypervolumes that a front may be worth; its members stay the chosen ones.

    Returns None where the noise is not known.
    """
    drawn = front.draw_costs(front.member_rows, count=_DRAWS, seed=seed)
    if drawn is None:
        return None
    return np.array([hypervolume(costs, bound) for costs in drawn])


def _read_runs(paths: Sequence[str | Path]) -> list[RunState]:
    distinct = {Path(path).resolve(): Path(path) for path in paths}
    return [open_run(path).read() for path in distinct.values()]


def _refuse_unlike(states: Sequence[RunState], *, projected: bool) -> None:
    first = _conditions(states[0], projected)
    for state in states[1:]:
        for name, condition in _conditions(state, projected).items():
            (one, value), (other, other_value) = first[name], condition
            if value == other_value:
                continue
            differing = f"{one}; {other}"
            if one == other:  # only what tells the images by their content differs
                differing = f"both {one}, and their files are not the same"
            raise SpecError(
                f"{states[0].run.path} and {state.run.path} differ in their {name} "
                f"({differing}): figures of different things; --mixed (mixed=True) puts them "
                "together anyway"
            )


def alike(one: RunState, other: RunState) -> bool:
    """Return whether figures of two runs are of the same things: images, proxy and device.

    Raises StorageError where one does not say what its images were.
    """
    first, second = (_conditions(state, projected=False) for state in (one, other))
    return all(value == second[name][1] for name, (_, value) in first.items())


def _conditions(state: RunState, projected: bool) -> dict[str, tuple[str, str]]:
    """Return what must be the same for figures to be comparable: in words, and as it is told."""
    data, run = state.data(), state.run
    proxy = run.file.proxy
    trained = f"{proxy.kind}, {proxy.budgets[-1]:g} {proxy.unit}, batches of {proxy.batch_size}"
    trained += "" if proxy.computed_in == FP32 else f", in {proxy.computed_in}"
    images = f"{_source(run.file)}, {_validation(run.file)}, {data.get('key', '?')}"
    conditions = {"data": (_images(run), images), "proxy": (trained, trained)}
    device = _device(run)
    return conditions if projected else conditions | {"device": (device, device)}


def _images(run: Run) -> str:
    """Say which images a run is of, and all that it does to them."""
    file = run.file
    # A space of several sizes is trained at one that the runner names.
    size = Size.of(file.proxy.resolution or run.space.resolutions[0])
    parts = [f"{_source(file)} at {size}", _validation(file)]
    if file.resize is not None:
        parts.append(f"resize {file.resize}")
    if file.classes:
        parts.append(f"merged to {', '.join(file.classes)}")
    if file.normalisation is not None:
        numbers = (*file.normalisation.mean, *file.normalisation.std)
        parts.append(f"normalised by {', '.join(f'{number:g}' for number in numbers)}")
    return ", ".join(parts)


def _source(file: RunFile) -> str:
    """Name the data; where the key tells files by content, they may lie anywhere."""
    named = file.data_name == file.data or is_function(file.data)
    by_content = file.image_rules > 1 and not named
    return file.data.partition(":")[0] if by_content else file.data


def _validation(file: RunFile) -> str:
    if isinstance(file.validation, str):
        return "validated on a folder of its own"
    return f"{file.validation:.0%} for validation, cut with seed {file.search.seed}"


def _device(run: Run) -> str:
    try:
        about = json.loads((run.path / "device.json").read_text())
        return f"{about['device']} on {about['processor']}"
    except (OSError, ValueError, KeyError, TypeError):
        return run.file.device
