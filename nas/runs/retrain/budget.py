"""How a search's budget is shared: time to search, and full trainings that fit into the rest."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import median

from nas.base.errors import SpecError
from nas.data import open_data
from nas.runs.images import decode_images
from nas.runs.retrain.plan import seconds_of_training, threads_of_each, worker_count
from nas.runs.run import RETRAINED_FOLDER, Run
from nas.spec.architecture import PLAIN, Architecture
from nas.spec.task import Task
from nas.study.full_training import FullTraining, select_main_recipe
from nas.training.full import FullTrainingJob

__all__ = ["Allowance", "Share", "estimate_seconds", "share_budget", "trainings_at_once"]

_LEAST = 3  # full trainings: of the plain network, and of two to compare
_SEED_SPREAD = 0.4
"""Points of accuracy that full trainings of one network differ by, a standard deviation: .3 to .5
on CIFAR-10 with small networks."""
_SHOWN = 4  # networks that the last trainings are spent on, about
_WIDTH = 1.645
_MANY = 1000  # trainings: as many go side by side as there is room for


@dataclass(frozen=True, slots=True)
class Share:
    """What a budget comes to.

    search: seconds to search.
    full_trainings: that fit into what is kept for them.
    each: seconds of one, of the plain network.
    resolved: points of accuracy that two networks must differ by to be told apart with 90 %, by
        so many full trainings, about.
    """

    search: float
    full_trainings: int
    each: float
    resolved: float


def share_budget(run: Run, plain: Architecture, task: Task) -> Share:
    """Share the budget of a run, by what a full training of the plain network takes here.

    run: its folder need not be there yet.
    task: what its networks are for.
    Raises SpecError where not even three of them fit.
    """
    plan = run.file.search
    assert plan.budget is not None
    each = estimate_seconds(run, plain, task)
    workers = trainings_at_once(run, _MANY)
    kept = plan.full_share * plan.budget
    number = plan.full_trainings or math.floor(kept * workers / each)
    if number < _LEAST or number * each / workers > plan.budget:
        needed = max(_LEAST, plan.full_trainings or _LEAST) * each / workers
        epochs = run.file.retrain.epochs
        raise SpecError(
            f"budget {_duration(plan.budget)}: a full training takes about {_duration(each)} "
            f"here, {workers} side by side, and {_LEAST} at least are needed; allowed: "
            f"{_duration(needed / plan.full_share)} or more, or fewer epochs than "
            f"{epochs or run.file.retrain.resolved(1).epochs:g} (--set retrain.epochs=...)"
        )
    seeds = max(1.0, number / _SHOWN)
    return Share(
        search=plan.budget - number * each / workers,
        full_trainings=number,
        each=each,
        resolved=_WIDTH * _SEED_SPREAD * math.sqrt(2 / seeds),
    )


def trainings_at_once(run: Run, trainings: int) -> int:
    """Return how many of so many full trainings of a run go side by side on this machine."""
    return worker_count(run.file.retrain, trainings, alone=run.in_process)


class Allowance:
    """The full trainings that a run may still have, those of before this was made counted.

    Where a number of them was asked for, each is one. A budget is time: there they are as many as
    the plain network's would be, so that a slower network takes more of them, and so does what
    else is done meanwhile.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._before = {training.name for training in select_main_recipe(run.retrained())}
        self._seconds_beside = 0.0

    def left(self) -> int:
        """Return how many are left."""
        plan = self._run.file.search
        trainings = select_main_recipe(self._run.retrained())
        left = (plan.full_trainings or 0) - len(self._before)
        new = [training for training in trainings if training.name not in self._before]
        # Between processes only trainings are kept, so that those of before are counted.
        each = _typical_seconds(trainings)
        if plan.budget is None or not each:
            return left - len(new)
        workers = trainings_at_once(self._run, _MANY)
        seconds = sum(training.seconds for training in new) + workers * self._seconds_beside
        return round(left - seconds / each)

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Count what is done within to a budget, as far as it takes time from full trainings."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._seconds_beside += time.monotonic() - began


def _typical_seconds(trainings: Sequence[FullTraining]) -> float:
    """Return seconds of a training of the plain network; 0 where there is none."""
    plain = [training.seconds for training in trainings if training.reference == PLAIN]
    return median(plain) if plain else 0.0


def estimate_seconds(run: Run, network: Architecture, task: Task) -> float:
    """Return about what one full training of a network takes here, in seconds.

    Processes that share it take equal parts of its time.
    run, task: see `share_budget`.
    """
    section = run.file.retrain
    resolution = section.resolution or network.resolution
    data = decode_images(run.space, run.file, resolution)
    recipe = section.resolved(len(open_data(data).train), precision=run.file.proxy.computed_in)
    about = FullTraining(
        trial=0,
        digest=network.digest,
        reference=None,
        seed=0,
        key="",
        recipe=asdict(recipe),
        description="",
        resolution=resolution,
        threads=threads_of_each(section, trainings_at_once(run, _MANY), section.processes),
    )
    job = FullTrainingJob(
        about=about,
        architecture=network.to_json(),
        source=run.file.data,
        data=data.resolve(),
        folder=(run.path / RETRAINED_FOLDER).resolve(),
        run_seed=0,
        task=task,
        test=False,
    )
    return seconds_of_training(job) / section.processes


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{math.ceil(seconds)} s"
    return f"{math.ceil(seconds / 60)} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
