"""The forecast of a search: its trainings, time and disk, and what it can tell."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import torch

from nas.data import Dataset, open_data
from nas.models.build import build
from nas.models.cost import Cost, cost
from nas.runs.check import NewRun
from nas.runs.images import decode_images
from nas.runs.prepare import worker_count
from nas.runs.retrain.budget import estimate_seconds, trainings_at_once
from nas.runs.run import Run
from nas.runs.run_file import RunFile
from nas.spec.architecture import PLAIN, Architecture
from nas.spec.proxy import PROBE_STEPS
from nas.spec.task import Figure, Task
from nas.strategy.confirmation import most_confirmed
from nas.training.device import best_device, times_as_fast
from nas.training.proxies import PROXIES
from nas.training.proxies.setting import Setting
from nas.training.recipe import steps_in
from nas.training.step_time import images_to_time, seconds_of_step

__all__ = ["Forecast", "forecast", "images_for"]

_UNLIKE = 0.14
"""The share of images of which one of two networks is right and the other wrong: of the seven full
trainings of results/mobilenetv2-cifar/cifar10-scratch, which are right for three quarters, .131 to
.148. Of short trainings, which are less often right, more."""
_WIDTH = 1.645  # of 90 %
_JUDGED = 1 / 3  # of the time that an image takes in training it takes to be judged
_COUNTED = 8  # hand-placed networks, at most, of which the largest is timed
_BYTES = 4  # of a weight
_WITH_OPTIMISER = 3  # times its weights a training takes that is gone on with


@dataclass(frozen=True, slots=True)
class Forecast:
    """The work of a search on this machine, and what its images allow it to tell.

    placed: names of the networks that are placed by hand.
    searched: networks that the sampler proposes; with a time limit, at most.
    repeats: further trainings with other seeds, at least and at most.
    workers: trainings side by side, on this machine.
    elsewhere: whether others may train, so that time here is that of one machine.
    steps: of one training; None where none is trained, or for seconds.
    batch_size, images, validated: images of a step, for training, and to judge by.
    seconds: of the search, at least and at most; None where no step could be timed.
    time_limit: seconds after which the search ends; None: without one.
    in_time: networks that a time limit leaves room for, at least and at most; None: for all.
    full_trainings: at the search's end.
    full_seconds: what they take together, if all were of the smallest or the largest network; None
        where none could be timed.
    disk, free: bytes of the run at most, and those that there are.
    resolved: the smallest difference in the task's figure, as a share, that so many images show
        with 90 %; None where that figure is no share of images.
    measured: whether a calibration has told how long trainings must be.
    figure: that networks are judged by.
    """

    placed: tuple[str, ...]
    searched: int
    repeats: tuple[int, int]
    workers: int
    elsewhere: bool
    steps: int | None
    batch_size: int
    images: int
    validated: int
    seconds: tuple[float, float] | None
    time_limit: float | None
    in_time: tuple[int, int] | None
    full_trainings: int
    full_seconds: tuple[float, float] | None
    disk: int
    free: int
    resolved: float | None
    measured: bool
    figure: Figure

    @property
    def networks(self) -> int:
        """All networks, as progress and status count them."""
        return len(self.placed) + self.searched

    @property
    def trainings(self) -> tuple[int, int]:
        """All short trainings, at least and at most."""
        return self.networks + self.repeats[0], self.networks + self.repeats[1]

    @property
    def is_short(self) -> bool:
        """True where trainings are shorter than any that ordered networks better than chance.

        Of thirty networks on CIFAR-10, those of 94 steps told less than nothing, and those of 281
        something (docs/how-a-candidate-is-judged.md).
        """
        return self.steps is not None and self.steps < PROBE_STEPS and not self.measured


def images_for(difference: float) -> int:
    """Return how many validation images show a difference of a share, such as .01, with 90 %."""
    return math.ceil(_UNLIKE * (_WIDTH / difference) ** 2)


def forecast(new: NewRun, file: RunFile, out: Path) -> Forecast:
    """Return what a new run will do; some steps of its smallest and largest networks are timed.

    file: what run.yaml will say, where a budget is shared already.
    out: the run folder, which need not be there.
    """
    data = open_data(decode_images(new.space, file))
    task = file.task_on(len(data.classes))
    placed, plan = new.candidates.references(), file.search
    counted = _counted(placed, task)
    plain, largest = placed[PLAIN], max(counted, key=lambda item: counted[item].macs)
    searched = max(0, min(plan.trials, new.candidates.count()) - len(placed))
    each = _seconds_of_each(file, data, task, (plain, largest))
    repeats = _repeats(file, len(placed), searched)
    shared = PROXIES[file.proxy.kind].shared
    weights = counted[largest].params * _BYTES
    work = _Work(file, len(placed), searched, repeats, worker_count(file), each)
    within = work.within_time()
    return Forecast(
        placed=tuple(placed),
        searched=searched,
        repeats=within.repeats,
        workers=work.workers,
        elsewhere=file.executor != "local",
        steps=None if shared else _steps(file, len(data.train)),
        batch_size=min(file.proxy.batch_size, len(data.train)),
        images=min(len(data.train), file.proxy.subset or len(data.train)),
        validated=_validated(data, task),
        seconds=work.seconds(),
        time_limit=plan.time_limit,
        in_time=work.in_time(),
        full_trainings=plan.full_trainings or 0,
        full_seconds=_full_seconds(Run(out, new.space, file), (plain, largest), task),
        disk=_disk(within, weights, weights - counted[plain].params * _BYTES),
        free=_free(out),
        resolved=_resolved(data, task),
        measured=new.curves is not None or new.begun is not None,
        figure=file.figure,
    )


def _counted(placed: Mapping[str, Architecture], task: Task) -> dict[Architecture, Cost]:
    """Count some of the networks, spread evenly, the plain one first."""
    networks = list(placed.values())
    every = math.ceil(len(networks) / _COUNTED)
    return {network: cost(network, task=task) for network in networks[::every]}


def _repeats(file: RunFile, placed: int, searched: int) -> tuple[int, int]:
    """Return how many further seeds are trained, at least and at most."""
    each, confirmed = file.proxy.seeds, max(file.proxy.seeds, file.search.confirm_seeds)
    least = placed * (confirmed - 1) + searched * (each - 1)
    front = min(searched, most_confirmed(placed + searched))
    return least, least + front * (confirmed - each)


def _steps(file: RunFile, images: int) -> int | None:
    """Return the steps of a training up to the top rung; None where it is given seconds."""
    if file.proxy.unit == "seconds":
        return None
    return max(1, round(file.proxy.steps(file.proxy.budgets[-1], images)))


# Time.


@dataclass(frozen=True, slots=True)
class _Work:
    """The trainings of a search, and what one takes.

    each: seconds of a plain and of a large network, up to the top rung and judged; and before
        the search, of all workers together. None: not known.
    """

    file: RunFile
    placed: int
    searched: int
    repeats: tuple[int, int]
    workers: int
    each: tuple[_Seconds, _Seconds] | None

    def seconds(self) -> tuple[float, float] | None:
        """Return how long the search takes, at least and at most."""
        if self.each is None:
            return None
        trained = self.placed + self.searched * _share_trained(self.file)
        least, most = (
            one.before + (trained + repeats) * one.each / times_as_fast(self.workers)
            for one, repeats in zip(self.each, self.repeats, strict=True)
        )
        return least, max(least, most)

    def in_time(self) -> tuple[int, int] | None:
        """Return how many networks there is time for; None: for all, or nobody knows."""
        limit, known = self.file.search.time_limit, self.seconds()
        if limit is None or known is None or known[1] <= limit or self.each is None:
            return None
        room = []
        for one in self.each:
            # The front is not known yet, so that its further seeds are left out.
            time = max(0.0, limit - one.before) * times_as_fast(self.workers)
            time /= max(one.each, 1e-9)
            trained = max(0.0, time - self.repeats[0] - self.placed)
            room.append(self.placed + round(trained / _share_trained(self.file)))
        least, most = sorted(min(number, self.placed + self.searched) for number in room)
        return least, most

    def within_time(self) -> _Work:
        """Return what there is time for at most; all of it where time is no limit."""
        most = self.in_time()
        if most is None:
            return self
        searched = max(0, most[1] - self.placed)
        repeats = _repeats(self.file, self.placed, searched)
        return replace(self, searched=searched, repeats=repeats)


@dataclass(frozen=True, slots=True)
class _Seconds:
    """The time of one training with its judgement, and of what comes before all of them."""

    each: float
    before: float


def _share_trained(file: RunFile) -> float:
    """Return how much of a whole training a searched network has, where rungs stop some early."""
    budgets, reduction = file.proxy.budgets, file.search.reduction
    if reduction is None or PROXIES[file.proxy.kind].shared:
        return 1.0
    parts = [high - low for low, high in pairwise([0.0, *budgets])]
    return math.fsum(part / reduction**rung for rung, part in enumerate(parts)) / budgets[-1]


def _seconds_of_each(
    file: RunFile, data: Dataset, task: Task, networks: tuple[Architecture, Architecture]
) -> tuple[_Seconds, _Seconds] | None:
    """Time steps of two networks; None where they cannot be trained, which the search will say."""
    try:
        first, second = (_seconds_of(file, data, task, network) for network in networks)
    except Exception:  # whatever somebody's own network raises, its trainings will say
        return None
    return first, second


def _seconds_of(file: RunFile, data: Dataset, task: Task, network: Architecture) -> _Seconds:
    proxy, images = file.proxy, len(data.train)
    batch = min(proxy.batch_size, images)
    few = min(images_to_time(proxy.batch_size, data.size), images)
    kind = PROXIES[proxy.kind]
    # What is inherited from a supernet is trained in it, one path a step.
    timed = proxy.kind if not kind.shared else "probe" if kind.frozen else "finetune"
    update: dict[str, object] = {
        "kind": timed,
        "rungs": [1e6],
        "unit": "steps",
        "schedule": "whole",
    }
    update |= {"warm_up": None, "cooldown": None, "batch_size": few}
    plain = network.plain
    weights = {plain.digest: build(plain, task=task).state_dict()} if kind.warm else {}
    setting = Setting(data, task, proxy.model_copy(update=update), best_device(), weights)
    step = seconds_of_step(PROXIES[timed].begin(network, setting, 0), threads=proxy.threads)
    step *= batch / few
    judged = _JUDGED * len(data.validation) * step / batch
    steps = _steps(file, images)
    training = proxy.budgets[-1] if steps is None else steps * step
    before = 0.0
    if kind.warm and (proxy.backbone.file is None or proxy.backbone.epochs):
        before += steps_in(proxy.backbone.epochs, images, proxy.batch_size) * step
    if kind.shared:
        before, training = before + training, 0.0
    return _Seconds(training + judged, before)


def _full_seconds(
    run: Run, networks: tuple[Architecture, Architecture], task: Task
) -> tuple[float, float] | None:
    """Return what the full trainings at the end take, if all are of the one network or the other.

    None where one cannot be timed.
    """
    number = run.file.search.full_trainings
    if not number:
        return 0.0, 0.0
    try:
        each = [estimate_seconds(run, network, task) for network in networks]
    except Exception:  # as above
        return None
    rounds = math.ceil(number / trainings_at_once(run, number))
    return min(each) * rounds, max(each) * rounds


# Disk, and what can be told.


def _disk(work: _Work, weights: int, blocks: int) -> int:
    """Return the bytes of trained weights. weights, blocks: of the largest network, and of what
    stands in its plain one.
    """
    kind, trainings = PROXIES[work.file.proxy.kind], work.placed + work.searched + work.repeats[1]
    each = blocks if kind.frozen else weights
    waiting = work.searched if len(work.file.proxy.budgets) > 1 else 0
    under_way = (waiting + work.workers) * _WITH_OPTIMISER * each
    full = (work.file.search.full_trainings or 0) * weights
    return trainings * each + under_way + full + (weights if kind.warm else 0)


def _free(out: Path) -> int:
    folder = out.resolve()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _validated(data: Dataset, task: Task) -> int:
    """Return how many validation images a figure counts: of retrieval, those that are queries."""
    held = data.validation
    if task.name == "retrieval" and held.annotations is not None:
        return int(torch.count_nonzero(held.annotations[:, 1]))
    return len(held)


def _resolved(data: Dataset, task: Task) -> float | None:
    """Return the difference that is shown; mIoU and AP are no means over images."""
    if task.name not in {"classification", "retrieval"}:
        return None
    return _WIDTH * math.sqrt(_UNLIKE / max(1, _validated(data, task)))
