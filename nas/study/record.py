"""The rows of a study: an order to evaluate a network, its outcome, and the record of both."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from nas.study.full_training import (
    FullTraining,
    full_trainings_to_json,
    read_full_trainings,
)

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
    "RungResult",
    "read_epoch_losses",
    "read_rungs",
    "rungs_to_json",
]

COMPLETE, PRUNED, FAILED, RUNNING = "COMPLETE", "PRUNED", "FAILED", "RUNNING"
PAUSED = "PAUSED"
"""The state of a network at a rung below the top, before it is decided whether it goes on."""


@dataclass(frozen=True, slots=True)
class RungResult:
    """A network's scores at one rung.

    budget: in the unit of the proxy.
    loss, accuracy: on the validation images, as in `Evaluation`.
    seconds: of training, from the start.
    images_seen, epoch_losses: of its training until there, as in `Evaluation`.
    """

    budget: float
    loss: float
    accuracy: float
    seconds: float
    images_seen: int | None = None
    epoch_losses: tuple[float, ...] = ()

    @classmethod
    def of(cls, row: Sequence[float]) -> RungResult:
        """Read the numbers of `row`, here or in an earlier version, which had the first four."""
        budget, loss, accuracy, seconds, *more = row
        images_seen = int(more[0]) if more else None
        return cls(budget, loss, accuracy, seconds, images_seen, tuple(more[1:]))

    @property
    def row(self) -> list[float]:
        """Its numbers in a line: those of epochs last, since each training has its own count."""
        known = [] if self.images_seen is None else [self.images_seen, *self.epoch_losses]
        return [self.budget, self.loss, self.accuracy, self.seconds, *known]


def rungs_to_json(rungs: Sequence[RungResult]) -> str | None:
    """Return the text that studies and messages hold: a list of lists, or None for no rung."""
    if not rungs:
        return None
    return json.dumps([rung.row for rung in rungs])


def read_rungs(text: str | None) -> tuple[RungResult, ...]:
    """Return the rungs of a text of `rungs_to_json`, from the lowest."""
    return tuple(RungResult.of(values) for values in json.loads(text or "[]"))


def read_epoch_losses(text: str | None) -> tuple[float, ...]:
    """Return the mean training losses of a text in a study; none where it holds none."""
    return tuple(json.loads(text or "[]"))


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The figures of one network that was trained once, up to one rung.

    loss: mean cross-entropy on the validation images.
    accuracy: share of the validation images, 0 to 1.
    loss_sem: standard error, over validation images, of the paired loss difference from the plain
        backbone; None when there is nothing to pair with.
    accuracy_sem: that of the accuracy difference; None likewise, or where an earlier version has
        not kept it.
    latency_ms: one batch-1 inference.
    latency_spread: relative half-range of its two halves; of a predicted latency, the relative
        half-width of its 90 % interval.
    latency_wall_ms: the same inference by the clock on the wall; None when predicted.
    latency_predicted: whether latency_ms comes from a device profile.
    images: number of validation images.
    seconds: of the whole evaluation.
    train_seconds: of its training alone.
    within_limits: False for a reference that exceeds a limit of the space when measured.
    trained: False when there was nothing to train, so that another seed changes nothing.
    rungs: scores at the rungs below this one, from the lowest.
    parts: pieces that batches were computed in, 2 where memory ran out.
    images_seen: training images that it had seen, one that came again counted again; None where
        an earlier version has not kept it.
    epoch_losses: mean training loss of each whole epoch, from the first.
    uncounted: operators of the network whose multiply-adds `macs` leaves out.
    suppression_ms: of a detector, what keeping boxes of an image takes beside the latency; None
        where that is the network's own, or an earlier version has not kept it.
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
    rungs: tuple[RungResult, ...] = ()
    parts: int = 1
    images_seen: int | None = None
    epoch_losses: tuple[float, ...] = ()
    uncounted: tuple[str, ...] = ()
    suppression_ms: float | None = None
    accuracy_sem: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        values |= {
            "rungs": rungs_to_json(self.rungs),
            "epoch_losses": list(self.epoch_losses),
            "uncounted": list(self.uncounted),
        }
        # Left out where they say nothing: messages are then as earlier versions read them.
        for name in ("images_seen", "suppression_ms", "accuracy_sem"):
            if values[name] is None:
                del values[name]
        for name in ("epoch_losses", "uncounted"):
            if not values[name]:
                del values[name]
        return values

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Evaluation:
        """Read what `to_dict` returned, here or in an earlier version."""
        read = {
            "rungs": read_rungs(data.get("rungs")),
            "epoch_losses": tuple(data.get("epoch_losses", ())),
            "uncounted": tuple(data.get("uncounted", ())),
        }
        return cls(**{**data, **read})


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
    """The end of a job: an evaluation, or a reason why there is none.

    lost: the worker died; the job may be given out again.
    infeasible: a limit of the space was exceeded, so nothing was trained.
    """

    evaluation: Evaluation | None = None
    failure: str | None = None
    infeasible: bool = False
    lost: bool = False

    def __post_init__(self) -> None:
        assert (self.evaluation is None) != (self.failure is None), "one of the two"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, as drivers and workers send them to each other."""
        return {
            "evaluation": self.evaluation.to_dict() if self.evaluation else None,
            "failure": self.failure,
            "infeasible": self.infeasible,
            "lost": self.lost,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Outcome:
        """Read what `to_dict` returned, here or in a worker of an earlier version."""
        evaluation = data["evaluation"]
        return cls(
            **{**data, "evaluation": Evaluation.from_dict(evaluation) if evaluation else None}
        )


@dataclass(frozen=True, slots=True)
class Record:
    """One trial of a study: its job, its state and its evaluation.

    The evaluation is of the top rung when COMPLETE; otherwise of the last rung that was reached,
    where one was: while PAUSED there, while RUNNING on to the next, and when PRUNED there for
    good. A PRUNED one with a `failure` exceeded a limit of the space instead, and has no values.

    final_latency_ms: latency of its network, measured with the rest of the front on a quiet
        machine.
    images_seen, epoch_losses: of its training, as in `Evaluation`.
    suppression_ms: of its boxes, likewise.
    uncounted: of its multiply-adds, likewise; as a column, names with spaces between.
    full_trainings: of its network, by recipe and seed; the column `retrained`.
    finished: when it ended, in ISO 8601.
    failure: the reason why there are no values, or None.
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
    rungs: tuple[RungResult, ...] = ()
    parts: int = 1
    images_seen: int | None = None
    epoch_losses: tuple[float, ...] = ()
    final_latency_ms: float | None = None
    final_latency_spread: float | None = None
    full_trainings: tuple[FullTraining, ...] = ()
    finished: str | None = None
    failure: str | None = None
    uncounted: tuple[str, ...] = ()
    suppression_ms: float | None = None
    accuracy_sem: float | None = None

    @classmethod
    def of(cls, job: Job, outcome: Outcome | None, finished: str | None = None) -> Record:
        """Return the record of a job.

        outcome: None while it is running.
        """
        if outcome is None:
            state = RUNNING
        elif outcome.evaluation is not None:
            state = COMPLETE if job.rung == -1 else PAUSED
        else:
            state = PRUNED if outcome.infeasible else FAILED
        evaluation = outcome.evaluation if outcome else None
        measured = (
            {item.name: getattr(evaluation, item.name) for item in fields(evaluation)}
            if evaluation
            else {}
        )
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
        """The number of the rung that its values are of; -1 without values."""
        return -1 if self.loss is None else len(self.rungs)

    @property
    def stopped_early(self) -> bool:
        """True where the trial was stopped at a rung below the top, whose values it has."""
        return self.state == PRUNED and self.loss is not None

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of its columns in a study."""
        return tuple(_COLUMN_NAMES.get(item.name, item.name) for item in fields(cls))

    @classmethod
    def column(cls, name: str, records: Sequence[Record]) -> list[Any]:
        """Return the values of one column; rungs, losses and full trainings are JSON there."""
        if name == "rungs":
            return [rungs_to_json(record.rungs) for record in records]
        if name == "epoch_losses":
            lists = [list(record.epoch_losses) for record in records]
            return [json.dumps(losses) if losses else None for losses in lists]
        if name == "uncounted":
            return [" ".join(record.uncounted) or None for record in records]
        if name == "retrained":
            return [full_trainings_to_json(record.full_trainings) for record in records]
        return [getattr(record, name) for record in records]

    def to_dict(self) -> dict[str, Any]:
        """Return its columns: plain values for JSON."""
        return {name: self.column(name, [self])[0] for name in self.names()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Record:
        """Read what `to_dict` returned; absent columns have their defaults, others are ignored."""
        values = {name: data[name] for name in cls.names() if name in data}
        values["rungs"] = read_rungs(values.get("rungs"))
        values["epoch_losses"] = read_epoch_losses(values.get("epoch_losses"))
        values["uncounted"] = tuple((values.get("uncounted") or "").split())
        values["full_trainings"] = read_full_trainings(values.pop("retrained", None))
        return cls(**values)


_COLUMN_NAMES = {"full_trainings": "retrained"}
"""Fields whose column has another name, which is a promise."""
