"""The end of a search: full trainings of what its belief would show, and of their rivals.

They are judged on the validation images and fed back into the belief, which decides what to train
next; so a network that full training does not bear out gives way to another, which may be one that
nobody had thought of: where another network looks best now, the search goes on for a few more. The
test images are
opened once, when all is over, for the networks that are shown.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import SpecError
from nas.execution.observer import Observer, SilentObserver
from nas.runs.drive import write_results
from nas.runs.images import decode_images
from nas.runs.lock import run_lock
from nas.runs.retrain.budget import Allowance
from nas.runs.retrain.further_networks import search_further
from nas.runs.retrain.plan import (
    RetrainPlan,
    brings_test,
    plan_retraining,
    threads_of_each,
    worker_count,
)
from nas.runs.retrain.pool import ProgressReport
from nas.runs.retrain.retrain import retrain
from nas.runs.retrain.width_rivals import WidthRivals
from nas.runs.run import RETRAINED_FOLDER, Run, RunState
from nas.spec.architecture import PLAIN
from nas.spec.width import is_widened
from nas.strategy.storage.store import Store
from nas.study.evidence import Budgets
from nas.study.front.width_rival import PER_RIVAL, find_rival, find_winners
from nas.study.full_training import FullTraining, select_main_recipe
from nas.study.network_belief import NetworkBelief
from nas.training.full import FullTrainingJob, test_trained

__all__ = ["Contender", "choose_next", "end_in_full_trainings"]

_ROUNDS = 3  # that full trainings are spent in, at least
_WORTH_SEARCHING = 4
"""Full trainings that must be left: of fewer, a network that is found now would get none."""
_WORLDS = 2000


@dataclass(frozen=True, slots=True)
class Contender:
    """A network that full trainings may be spent on.

    trial: number of its first trial.
    seeds: full trainings it has had.
    plain: whether it is the plain network, which every gain is against.
    reference: whether it was placed by hand.
    rival: trial of the plain network widened to its latency; None where there is none.
    """

    trial: int
    seeds: int
    plain: bool
    reference: bool
    rival: int | None = None


def choose_next(
    contenders: Sequence[Contender], draws: NDArray[np.float64], count: int
) -> list[tuple[int, int]]:
    """Return the next full trainings as (trial, seeds that it then has).

    First the plain network, then whatever is most often among the two best in what may be true,
    for what it has been trained already: winner and rival, wherever they are hardest to tell
    apart (top-two sampling: Russo, Operations Research 68, 2020). The plain network keeps the
    square root of all of them, since its noise is in every gain. The plain network widened to the
    latency of a network gets half of what that one has had. One in three goes to networks that
    were placed by hand, while none of them has had one.

    draws: (w, n) gains of the contenders by full training in w possible worlds.
    count: of trainings.
    """
    seeds = [contender.seeds for contender in contenders]
    order = np.argsort(-draws, axis=1)[:, :2]
    often = np.bincount(order.ravel(), minlength=len(contenders)) / len(draws)
    expected = draws.mean(axis=0)
    chosen: list[tuple[int, int]] = []
    for number in range(count):
        total = sum(seeds) + 1
        plain = [row for row, item in enumerate(contenders) if item.plain]
        placed = [row for row, item in enumerate(contenders) if item.reference and not item.plain]
        due = _due_rivals(contenders, seeds)
        if plain and seeds[plain[0]] < math.isqrt(total):
            row = plain[0]
        elif due:
            row = max(due, key=lambda item: due[item])
        elif placed and number % 3 == 2 and not any(seeds[item] for item in placed):
            row = max(placed, key=lambda item: expected[item])
        else:
            rows = range(len(contenders))
            row = max(rows, key=lambda item: (often[item] / (seeds[item] + 1), expected[item]))
        seeds[row] += 1
        chosen.append((contenders[row].trial, seeds[row]))
    return chosen


def _due_rivals(contenders: Sequence[Contender], seeds: Sequence[int]) -> dict[int, int]:
    """Return the rivals that have had less than half of a network's full trainings: row -> its."""
    rows = {item.trial: row for row, item in enumerate(contenders)}
    due: dict[int, int] = {}
    for row, item in enumerate(contenders):
        rival = rows.get(-1 if item.rival is None else item.rival)
        if rival is not None and 2 * seeds[rival] < seeds[row]:
            due[rival] = max(seeds[row], due.get(rival, 0))
    return due


def end_in_full_trainings(run: Run, observer: Observer | None = None) -> None:
    """Spend the full trainings that a run's plan keeps; those that it has had count.

    Raises SpecError, StorageError as `retrain` does. KeyboardInterrupt passes through after
    checkpoints are kept: `nas resume` goes on.
    """
    wanted = run.file.search.full_trainings
    if not wanted:
        return
    observer = observer or SilentObserver()
    watcher = _Stages(observer)
    rivals = WidthRivals(run, observer)
    allowance = Allowance(run)
    while (left := allowance.left()) > 0:
        side_by_side = worker_count(run.file.retrain, left, alone=run.in_process)
        count = max(math.ceil(left / _ROUNDS), side_by_side)
        affordable = left / _ROUNDS
        chosen = _choose(run, count, affordable)
        with allowance.beside():
            entered = rivals.enter(
                [trial for trial, _ in chosen],
                most=max(1, wanted // PER_RIVAL),
                affordable=affordable,
            )
        if entered:
            chosen = _choose(run, count, affordable)
        if not chosen:
            observer.stage("no network is left to train fully")
            break
        before, best = len(_counted(run)), _best(run)
        planned = _plan(run, chosen)
        observer.stage(f"training fully: {len(planned.jobs)} of the {left} that are left")
        retrain(planned, watcher)
        if len(_counted(run)) == before:
            observer.stage("full trainings fail; nas status says why")
            break
        if allowance.left() >= _WORTH_SEARCHING and _best(run) != best:
            with allowance.beside():
                search_further(run, observer)
    _test_shown(run, observer)


def _counted(run: Run) -> list[FullTraining]:
    return select_main_recipe(run.retrained())


def _choose(run: Run, count: int, affordable: float) -> list[tuple[int, int]]:
    """Return what is to be trained next, of the networks that would be shown and their rivals.

    affordable: how many times as long as the plain network's a rival's training may take.
    """
    state = run.read()
    belief = _belief(state)
    if belief is None:
        return []
    times = _times_plain(state)
    points = [
        point
        for point in state.front(once=True).points
        if belief.knows(point.architecture)
        and not (
            is_widened(point.reference) and times.get(point.architecture.digest, 1.0) > affordable
        )
    ]
    if not points:
        return []
    seeds = Counter(training.digest for training in select_main_recipe(state.retrained()))
    rivals = {
        winner.trial: rival.trial
        for winner in find_winners(points, points)
        for rival in [find_rival(winner, points)]
        if rival is not None
    }
    contenders = [
        Contender(
            point.trial,
            seeds[point.architecture.digest],
            # By its name: other backbones have plain networks, too, and this one wider ones.
            point.is_plain,
            point.reference is not None and not is_widened(point.reference),
            rivals.get(point.trial),
        )
        for point in points
    ]
    draws = belief.draws([point.architecture for point in points], _WORLDS)
    return choose_next(contenders, draws, count)


def _times_plain(state: RunState) -> dict[str, float]:
    """Return digest -> how many times as long as the plain network's its short trainings took."""
    trials = state.trials
    seconds, digests = trials["train_seconds"], trials["digest"]
    known = np.isfinite(seconds) & (seconds > 0)
    plain = seconds[known & (trials["reference"] == PLAIN)]
    if not len(plain):
        return {}
    usual = float(np.median(plain))
    return {
        str(digest): float(np.median(seconds[known & (digests == digest)])) / usual
        for digest in set(digests[known].tolist())
    }


def _best(run: Run) -> int | None:
    """Return the trial of the network that is expected to gain most by full training.

    Of networks of the space: that a wider one does better is no reason to search on.
    """
    state = run.read()
    belief = _belief(state)
    if belief is None:
        return None
    points = [
        point
        for point in state.front(once=True).points
        if belief.knows(point.architecture) and not is_widened(point.reference)
    ]
    if not points:
        return None
    gain = belief.gain([point.architecture for point in points])
    return points[int(gain.mean.argmax())].trial


def _belief(state: RunState) -> NetworkBelief | None:
    images = state.train_images
    if images is None:
        raise SpecError(f"{state.run.path} does not say how many images it was trained on")
    return NetworkBelief.of(state.trials, Budgets.of(state.run.file, images))


def _plan(run: Run, chosen: Sequence[tuple[int, int]]) -> RetrainPlan:
    """Return one plan that gives each network the seeds that were chosen, without tests.

    The longest trainings come first: no worker waits for one that another began last.
    """
    most: dict[int, int] = {}
    for trial, seeds in chosen:
        most[trial] = max(seeds, most.get(trial, 0))
    section = run.file.retrain
    plans = [
        plan_retraining(run, [trial], section=section.model_copy(update={"seeds": seeds}))
        for trial, seeds in most.items()
    ]
    times = _times_plain(run.read())
    jobs = sorted(
        (job for plan in plans for job in plan.jobs),
        key=lambda job: -times.get(job.about.digest, 1.0),
    )
    workers = worker_count(section, max(1, len(jobs)), alone=run.in_process)
    threads = threads_of_each(section, workers, section.processes)
    return replace(
        plans[0],
        jobs=tuple(
            replace(job, test=False, about=replace(job.about, threads=threads)) for job in jobs
        ),
        workers=workers,
    )


def _test_shown(run: Run, observer: Observer) -> None:
    """Open the test images once, for the fully trained networks that are shown."""
    state = run.read()
    shown = {point.architecture.digest: point for point in state.front().points}
    waiting = [
        training
        for training in _counted(run)
        if training.digest in shown and training.test_loss is None and training.weights
    ]
    if not waiting:
        return
    if not brings_test(run.file):
        return
    networks = len({training.digest for training in waiting})
    observer.stage(f"opening the test images, once, for the {networks} networks that are shown")
    images = {
        training.digest: decode_images(run.space, run.file, training.resolution)
        for training in waiting
    }
    with run_lock(run.path):
        store = Store(run.study, writable=True)
        for training in waiting:
            store.note_full_training(
                test_trained(
                    run.path / RETRAINED_FOLDER,
                    shown[training.digest].architecture,
                    training,
                    run.file.data,
                    images[training.digest],
                    run.file.reading,
                    run.read().task,
                )
            )
    write_results(run)


class _Stages:
    """A watcher of full trainings that tells an observer of a search what counts."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def stage(self, text: str) -> None:
        self._observer.stage(text)

    def step(self, done: int, total: int) -> None:
        """Hear how far the decoding is, which is soon over."""

    def began(self, job: FullTrainingJob) -> None:
        """Hear that a training has begun; its end is worth a line."""

    def progressed(self, job: FullTrainingJob, report: ProgressReport) -> None:
        """Hear how far a training is; once a second is too often for a log."""

    def ended(self, job: FullTrainingJob, result: FullTraining) -> None:
        name = f"trial {result.trial}, seed {result.seed}"
        if result.failure is not None:
            self._observer.stage(f"full training of {name} failed: {result.failure}")
        elif result.accuracy is not None:
            self._observer.stage(
                f"full training of {name}: loss {result.loss:.4f}, {result.accuracy:.1%}"
            )

    def lost(self, job: FullTrainingJob, reason: str) -> None:
        self._observer.stage(f"full training of trial {job.about.trial} goes on: {reason}")
