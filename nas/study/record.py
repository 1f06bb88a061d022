"""What was measured of one architecture, once: the row that everything else is made from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

__all__ = [
    "COMPLETE",
    "FAILED",
    "PAUSED",
    "PRUNED",
    "RUNNING",
    "Evaluation",
    "Job",
    "Latency",
    "Outcome",
    "Record",
]

COMPLETE, PRUNED, FAILED, RUNNING = "COMPLETE", "PRUNED", "FAILED", "RUNNING"
PAUSED = "PAUSED"
"""Has come to a rung below the top, and waits whether it goes on."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one evaluation found.

    loss: mean cross-entropy on the validation images. accuracy: share of them, 0 to 1.
    loss_sem: standard error, over validation images, of the paired loss difference from
    the plain backbone; None when there is nothing to pair with.
    latency_ms: one batch-1 inference; latency_spread: relative half-range of its two halves;
    latency_wall_ms: the same by the clock on the wall, None when predicted.
    seconds: all of the evaluation; train_seconds: its training alone.
    within_limits: False for a reference that exceeds a limit of the space when measured.
    trained: False when there was nothing to train, so that another seed changes nothing.
    rungs: what it was on the way, below the top: JSON, a list of [budget, loss, accuracy, seconds
    of training so far]; None with one budget alone.
    parts: pieces that batches were computed in, 2 where memory ran out.
    latency_predicted: latency_ms comes from a device profile, and latency_spread is the relative
    half-width of its 90 % interval.
    """

    loss: float
    accuracy: float
    latency_ms: float
    latency_wall_ms: float | None
    latency_spread: float
    params: int
    macs: int
    images: int
    seconds: float
    train_seconds: float
    loss_sem: float | None = None
    within_limits: bool = True
    trained: bool = True
    latency_predicted: bool = False
    rungs: str | None = None
    parts: int = 1


@dataclass(frozen=True, slots=True)
class Latency:
    """The latency of one inference, measured or predicted.

    latency_ms: by the clock that was asked for.
    wall_ms: by the clock on the wall; None when predicted.
    spread: relative half-difference of the two halves of a measurement, or the relative
        half-width of a prediction's 90 % interval.
    """

    latency_ms: float
    wall_ms: float | None
    spread: float


@dataclass(frozen=True, slots=True)
class Job:
    """An order to evaluate one architecture with one seed.

    architecture: canonical JSON, so that a job crosses processes as plain data.
    reference: the name of a hand-placed network, else None.
    repeat: 0 for the first evaluation of an architecture, 1, 2, ... for further seeds.
    eligible: the space holds it; a reference outside the space's limits is shown, but
    never on the front.
    attempt: how often this job has been given out before.
    rung: number of the budget to train up to, from the checkpoint of the one below where that
    is still there; -1 is the top, and an outcome below it is not the last.
    latency: as measured at a rung below; None: measure.
    """

    trial: int
    architecture: str
    digest: str
    seed: int
    reference: str | None = None
    repeat: int = 0
    eligible: bool = True
    attempt: int = 0
    rung: int = -1
    latency: Latency | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; a latency is [latency_ms, wall_ms, spread]."""
        latency = self.latency
        triple = None if latency is None else [latency.latency_ms, latency.wall_ms, latency.spread]
        return asdict(self) | {"latency": triple}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Job:
        """Read what `to_dict` wrote.

        Raises TypeError for the keys of another version.
        """
        triple = data.get("latency")
        return cls(**{**data, "latency": None if triple is None else Latency(*triple)})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a job: an evaluation, or a reason why there is none.

    lost: the worker died; the job may be given out again.
    infeasible: a limit of the space was exceeded, so nothing was trained.
    """

    evaluation: Evaluation | None = None
    failure: str | None = None
    infeasible: bool = False
    lost: bool = False

    def __post_init__(self) -> None:
        assert (self.evaluation is None) != (self.failure is None), "one of the two"

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Outcome:
        """Read what `asdict` made of an outcome."""
        evaluation = data["evaluation"]
        return cls(**data | {"evaluation": Evaluation(**evaluation) if evaluation else None})


@dataclass(frozen=True, slots=True)
class Record:
    """One trial of a study: its job, its state and its evaluation.

    The evaluation is of the top rung when COMPLETE; otherwise of the last rung that was reached,
    where one was: while PAUSED there, while RUNNING on to the next, and when PRUNED there for
    good. A PRUNED one with a `failure` exceeded a limit of the space instead, and has no values.
    final_latency_ms: of its network, measured with the rest of the front on a quiet machine.
    retrained: full trainings of its network: JSON, see `nas.study.full_training`.
    """

    trial: int
    state: str
    digest: str
    architecture: str
    reference: str | None = None
    repeat: int = 0
    eligible: bool = True
    trained: bool = True
    seed: int = 0
    loss: float | None = None
    accuracy: float | None = None
    loss_sem: float | None = None
    latency_ms: float | None = None
    latency_wall_ms: float | None = None
    latency_spread: float | None = None
    latency_predicted: bool = False
    params: int | None = None
    macs: int | None = None
    images: int | None = None
    seconds: float | None = None
    train_seconds: float | None = None
    rungs: str | None = None
    parts: int = 1
    final_latency_ms: float | None = None
    final_latency_spread: float | None = None
    retrained: str | None = None
    finished: str | None = None
    failure: str | None = None

    @classmethod
    def of(cls, job: Job, outcome: Outcome | None, finished: str | None = None) -> Record:
        """A job and what came of it (None: still running)."""
        if outcome is None:
            state = RUNNING
        elif outcome.evaluation is not None:
            state = COMPLETE if job.rung == -1 else PAUSED
        else:
            state = PRUNED if outcome.infeasible else FAILED
        measured = asdict(outcome.evaluation) if outcome and outcome.evaluation else {}
        within_limits = measured.pop("within_limits", True)
        return cls(
            trial=job.trial,
            state=state,
            digest=job.digest,
            architecture=job.architecture,
            reference=job.reference,
            repeat=job.repeat,
            eligible=job.eligible and within_limits,
            seed=job.seed,
            finished=finished,
            failure=outcome.failure if outcome else None,
            **measured,
        )

    @property
    def rung(self) -> int:
        """Number of the rung that its values are of; -1 without values."""
        return -1 if self.loss is None else len(json.loads(self.rungs or "[]"))

    @property
    def stopped_early(self) -> bool:
        """Whether it was stopped at a rung below the top, whose values it has."""
        return self.state == PRUNED and self.loss is not None

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return tuple(item.name for item in fields(cls))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
