"""One candidate from architecture to evaluation: cost, latency, training, validation."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, overload

import torch
from torch import nn

from nas.base.errors import StorageError, reason_of
from nas.base.machine import cache_root
from nas.base.object_store import fetch, location
from nas.data import open_data
from nas.execution.device_share import DeviceShare
from nas.latency.runtime import device_named
from nas.latency.source import LatencyOf, latency_measurer, latency_predictor
from nas.models.build import build
from nas.models.cost import Cost, cost
from nas.spec.architecture import Architecture
from nas.spec.runner import Proxy
from nas.spec.space import Constraints
from nas.spec.task import Task
from nas.study.full_training import condense_marks
from nas.study.marks import figure_gap
from nas.study.record import Evaluation, Job, Latency, Outcome, RungResult
from nas.training.candidate_checkpoint import (
    Rungs,
    load_training,
    restore,
    save_trained,
    save_training,
)
from nas.training.checkpoint import (
    checkpoint_path,
    drop_training,
    load_weights,
    training_path,
    weights_exist,
)
from nas.training.climb import climb
from nas.training.device import best_device, forget_memory, out_of_memory
from nas.training.launch import check_launch
from nas.training.loop import Training, evaluate
from nas.training.placement import placed
from nas.training.precision import check_precision
from nas.training.proxies import PROXIES
from nas.training.proxies.setting import Setting
from nas.training.supernet.folder import SupernetFolder
from nas.training.supernet.supernet import Supernet
from nas.training.tasks import Score
from nas.training.turns import Turns

__all__ = ["Evaluator", "EvaluatorSpec", "setting_of"]

_SMALLER = "fewer workers or a smaller proxy.batch_size would help"


@dataclass(frozen=True, slots=True)
class EvaluatorSpec:
    """All that a worker needs to evaluate candidates; plain values, so that it travels.

    data: folder of the decoded images.
    checkpoints: folder of the weights.
    proxy: how candidates are trained and judged.
    constraints: limits that a candidate must keep.
    plains: canonical JSON of the plain networks whose trained weights are there.
    anchor: canonical JSON of the network that latencies are taken beside.
    anchor_ms: its latency, milliseconds.
    task: what networks are for.
    device: name of what is measured on.
    profile: a file that predicts latencies instead; None: they are measured.
    supernets: folder of the supernets that candidates inherit from; None: they do not.

    Data, checkpoints, profile and supernets may be in object storage (see `fetch`).
    """

    data: Path
    checkpoints: Path
    proxy: Proxy
    constraints: Constraints
    plains: tuple[str, ...]
    anchor: str
    anchor_ms: float
    task: Task
    device: str = "onnxruntime"
    profile: Path | None = None
    supernets: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "data": str(self.data),
            "checkpoints": str(self.checkpoints),
            "proxy": self.proxy.model_dump(),
            "constraints": self.constraints.model_dump(),
            "plains": list(self.plains),
            "anchor": self.anchor,
            "anchor_ms": self.anchor_ms,
            "task": asdict(self.task),
            "device": self.device,
            "profile": str(self.profile) if self.profile else None,
            "supernets": str(self.supernets) if self.supernets else None,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> EvaluatorSpec:
        """Read what `to_dict` wrote."""
        return cls(
            data=location(data["data"]),
            checkpoints=location(data["checkpoints"]),
            proxy=Proxy.model_validate(data["proxy"]),
            constraints=Constraints.model_validate(data["constraints"]),
            plains=tuple(data["plains"]),
            anchor=data["anchor"],
            anchor_ms=data["anchor_ms"],
            task=Task(**data["task"]),
            device=data["device"],
            profile=location(data["profile"]) if data["profile"] else None,
            supernets=location(data["supernets"]) if data["supernets"] else None,
        )

    def fetch(self) -> EvaluatorSpec:
        """Return a spec whose read-only parts are on this machine, fetched once from elsewhere.

        Raises StorageError.
        """
        cache = cache_root()
        of_run = cache / "runs" / self.checkpoints.name
        return replace(
            self,
            data=fetch(self.data, cache / "data"),
            profile=fetch(self.profile, of_run) if self.profile else None,
            supernets=fetch(self.supernets, of_run) if self.supernets else None,
        )


def setting_of(spec: EvaluatorSpec) -> Setting:
    """Return what candidates are trained in, on the device of this process.

    spec: fetched (see `EvaluatorSpec.fetch`).
    Raises SpecError where the device has not the precision of the search.
    """
    # One thread per trial and many trials side by side is the fastest use of a CPU.
    torch.set_num_threads(spec.proxy.threads)
    device = best_device()
    check_precision(spec.proxy.computed_in, device)
    check_launch(spec.proxy.launch, device)
    data = open_data(spec.data)
    if spec.proxy.subset is not None:
        data = data.subset(spec.proxy.subset, seed=0)
    plains = [Architecture.from_json(text) for text in spec.plains]
    return Setting(
        data=placed(data, device),
        task=spec.task,
        proxy=spec.proxy,
        device=device,
        weights={
            plain.digest: load_weights(checkpoint_path(spec.checkpoints, plain.digest))
            for plain in plains
        },
        supernets=_supernets(spec.supernets, plains) if spec.supernets else {},
    )


class Evaluator:
    """The evaluator of jobs, one after another; made once in each worker.

    worker: its number among those of this machine; each measures on a core of its own.
    """

    def __init__(self, spec: EvaluatorSpec, *, worker: int = 0) -> None:
        self.spec = spec.fetch()
        self.setting = setting_of(self.spec)
        self.latency_of = self._latencies(worker)
        self._plain_scores: dict[int | None, Score] = {}
        self._share = DeviceShare.of(self.setting.device)
        self._turn: AbstractContextManager[None] = nullcontext()

    def in_turns(self, turns: Turns) -> Evaluator:
        """Return another, for another thread, which trains a step in turn with those of others.

        What this one has read they share. Waiting for the device takes no turn.
        """
        other = copy.copy(self)
        other._turn = turns
        other.setting = replace(self.setting, after_step=turns.pass_on)
        return other

    def evaluate(self, job: Job) -> Outcome:
        """Evaluate one job; whatever its candidate provokes, the outcome says what went wrong.

        Raises StorageError when weights cannot be read or written, which no candidate mends.
        """
        share = self._share
        if share is None:
            return self._outcome(job)
        # Beside others memory may run out by their doing: batches in halves, which are not quite
        # the same to a batch norm, and failures are only for what does not fit alone.
        self.setting = replace(self.setting, halves=False)
        with share.beside_others():
            outcome = self._outcome(job, or_alone=True)
        if outcome is not None:
            return outcome
        self.setting = replace(self.setting, halves=True)
        forget_memory(self.setting.device)
        with share.alone():
            return self._outcome(job)

    @overload
    def _outcome(self, job: Job) -> Outcome: ...

    @overload
    def _outcome(self, job: Job, *, or_alone: bool) -> Outcome | None: ...

    def _outcome(self, job: Job, *, or_alone: bool = False) -> Outcome | None:
        """Return what came of a job; None: its memory ran out, and it may be tried alone."""
        started = time.perf_counter()
        architecture = Architecture.from_json(job.architecture)
        try:
            with self._turn:
                return self._evaluate(job, architecture, started)
        except StorageError:
            raise
        except Exception as error:  # whatever a block raises costs its own trial alone
            if or_alone and out_of_memory(error):
                return None
            return Outcome(failure=reason_of(error, _SMALLER))

    def _evaluate(self, job: Job, architecture: Architecture, started: float) -> Outcome:
        counted = cost(architecture, task=self.setting.task)
        # What goes on from a rung below keeps its latency, and its place among others.
        latency = job.latency or self.latency_of(architecture, job.seed)
        exceeded = self._exceeded(counted, latency)
        if exceeded and job.reference is None and job.repeat == 0:
            return Outcome(failure=exceeded, infeasible=True)

        kind = self.spec.proxy.kind
        training, reached, score = self._climb(architecture, job)
        *below, top = [RungResult.of(row) for row in reached]
        loss_sem, accuracy_sem = self._paired_errors(architecture, job.seed, score)
        if len(reached) == len(self.spec.proxy.budgets):
            path = checkpoint_path(self.spec.checkpoints, architecture.digest, job.seed)
            save_trained(path, training.network, architecture, kind)
        return Outcome(
            Evaluation(
                loss=score.loss,
                accuracy=score.accuracy,
                loss_sem=loss_sem,
                accuracy_sem=accuracy_sem,
                latency_ms=latency.latency_ms,
                latency_wall_ms=latency.wall_ms,
                latency_spread=latency.spread,
                latency_predicted=self.spec.profile is not None,
                params=counted.params,
                macs=counted.macs,
                uncounted=counted.unsupported,
                images=len(self.setting.data.validation),
                seconds=time.perf_counter() - started,
                train_seconds=top.seconds,
                within_limits=exceeded is None or job.reference is None,
                trained=not PROXIES[kind].shared
                and (bool(architecture.blocks) or not PROXIES[kind].frozen),
                rungs=tuple(below),
                parts=training.parts,
                images_seen=top.images_seen,
                epoch_losses=top.epoch_losses,
                suppression_ms=score.suppression_ms,
            )
        )

    def _climb(self, architecture: Architecture, job: Job) -> tuple[Training, Rungs, Score]:
        """Train from rung to rung up to the job's, and judge at each.

        What goes on from a rung is kept until the top.
        Returns the training, what it was at all rungs up to the job's, and its score there.
        """
        proxy, setting = self.spec.proxy, self.setting
        path = training_path(self.spec.checkpoints, architecture.digest, job.seed)
        rungs = range(len(proxy.budgets))
        goal = rungs[job.rung]

        def begin() -> Training:
            return PROXIES[proxy.kind].begin(architecture, setting, job.seed)

        training = begin()
        reached = load_training(path, training)
        if len(reached) > goal + 1:  # left by a job whose outcome was lost
            training, reached = begin(), []
        seconds = reached[-1][3] if reached else 0.0
        branches = proxy.schedule == "trunk"
        if len(reached) > goal:
            if branches:  # what was kept is the trunk that this rung's branch left
                climb(training, setting, goal)
            score = self._judge_training(training)
        for rung in rungs[len(reached) : goal + 1]:
            started = time.perf_counter()
            going_on = climb(training, setting, rung)
            seconds += time.perf_counter() - started
            score = self._judge_training(training)
            figures = proxy.budgets[rung], score.loss, score.accuracy, seconds
            reached.append((*figures, training.images_seen, *_rounded(training.epoch_losses)))
            if rung != rungs[-1]:
                save_training(path, training.network, going_on, architecture, proxy.kind, reached)
            if branches and rung != goal:
                training.load(going_on)
        if goal == rungs[-1]:
            drop_training(path)
        return training, reached, score

    def _judge_training(self, training: Training) -> Score:
        """Judge a network where it stands. Raises TrainingError when its training has diverged."""
        score = self._judge(training.network)
        training.check(score)
        return score

    def _judge(self, network: nn.Module) -> Score:
        setting = self.setting
        return evaluate(
            network,
            setting.data,
            setting.task,
            device=setting.device,
            precision=setting.proxy.computed_in,
        )

    def _latencies(self, worker: int) -> LatencyOf:
        spec = self.spec
        if spec.profile:
            return latency_predictor(spec.profile)
        return latency_measurer(
            Architecture.from_json(spec.anchor),
            spec.anchor_ms,
            self.setting.task,
            device_named(spec.device),
            worker=worker,
        )

    def _exceeded(self, counted: Cost, latency: Latency) -> str | None:
        measured = {
            "params": counted.params,
            "macs": counted.macs,
            "latency_ms": latency.latency_ms,
        }
        for name, limit in self.spec.constraints.model_dump(exclude_none=True).items():
            if measured[name] > limit:
                return f"{name} {measured[name]:.4g} is over the space's limit of {limit:.4g}"
        return None

    def _paired_errors(
        self, architecture: Architecture, seed: int, score: Score
    ) -> tuple[float | None, float | None]:
        """Return the standard errors, over images, of differences from the plain network.

        Of loss and of accuracy; all savings are counted from that network. None where it has no
        weights: from scratch, those of the seeds that it was trained with so far.
        """
        plain = self._score_of_plain(architecture, seed)
        if plain is None:
            return None, None
        difference = plain.losses - score.losses
        task = self.setting.task.name
        ones, others = (condense_marks(task, judged.marks) for judged in (score, plain))
        gap = figure_gap(task, [ones], [others])
        return float(difference.std() / len(difference) ** 0.5), gap.error

    def _score_of_plain(self, architecture: Architecture, seed: int) -> Score | None:
        """Return the score of the plain network that a candidate is held against.

        Given weights: as it was before any further training; else trained with the same seed, and
        None where it was not, or where the candidate is that very training.
        """
        anchor = Architecture.from_json(self.spec.anchor)
        given = anchor.digest in self.setting.weights
        key = None if given else seed
        if key in self._plain_scores:
            return self._plain_scores[key]
        if given:
            network = self._given_plain(anchor)
        else:
            folder = self.spec.checkpoints
            trained = weights_exist(checkpoint_path(folder, anchor.digest, seed))
            if architecture == anchor or not trained:
                return None
            network = restore(folder, anchor, self.spec.proxy, seed, self.setting.task)
        self._plain_scores[key] = self._judge(network)
        return self._plain_scores[key]

    def _given_plain(self, anchor: Architecture) -> nn.Module:
        kind = PROXIES[self.spec.proxy.kind]
        if kind.shared:
            return kind.begin(anchor, self.setting, 0).network
        weights = self.setting.weights[anchor.digest]
        return build(anchor, task=self.setting.task, weights=weights)


def _rounded(losses: Sequence[float]) -> list[float]:
    """Return losses to six digits: a study keeps those of every epoch of every network."""
    return [float(f"{loss:.6g}") for loss in losses]


def _supernets(path: Path, plains: Sequence[Architecture]) -> dict[str, Supernet]:
    folder = SupernetFolder.open(path)
    return {plain.digest: folder.supernet(plain) for plain in plains}
