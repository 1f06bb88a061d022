"""A run at one moment: everything that a report is made from, read once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nas.base.errors import StorageError
from nas.runs.run import Run
from nas.runs.stored_trials import journal_stamp
from nas.strategy.samplers.pareto import PROMISE
from nas.strategy.storage.store import Store
from nas.study.budget_curves import CurvesFound
from nas.study.calibration import Calibration
from nas.study.front.front import Front
from nas.study.prospect import PROSPECT, Prospect
from nas.study.trials import Trials

if TYPE_CHECKING:
    from nas.report.pictures import Predictions

__all__ = ["Promise", "Snapshot", "read_stamp", "read_state"]


@dataclass(frozen=True, slots=True)
class Promise:
    """The sampler's expectation of a network when it proposed it.

    gain: hypervolume that the network adds, on the scales of the sampler's model.
    luck: hypervolume that training a member of the front once more would seem to add, by noise
        alone.
    """

    trial: int
    gain: float
    luck: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at one moment.

    stamp: name of that moment's state of its files.
    state: `running`, `finished` or `stopped`.
    prospects: what was believed to be gained, and left to gain, when a trial was proposed; by it.
    environment: empty where it was not recorded.
    predictions: of the winners on some validation images; None where these are not to be shown.
    """

    run: Run
    stamp: str
    state: str
    trials: Trials
    promises: tuple[Promise, ...]
    prospects: tuple[tuple[int, Prospect], ...]
    front: Front
    environment: dict[str, Any]
    calibration: Calibration | None
    curves: CurvesFound | None
    predictions: Predictions | None = None

    @classmethod
    def of(cls, run: Run) -> Snapshot:
        """Read a run, finished or still going.

        Raises StorageError, SpecError.
        """
        before = read_stamp(run)
        stored = Store(run.study, writable=False).trials()
        read = run.read(Trials.of([trial.record for trial in stored]))
        return cls(
            run=run,
            stamp=before,
            state=read_state(run),
            trials=read.trials,
            promises=tuple(
                Promise(trial.record.trial, *trial.marks[PROMISE])
                for trial in stored
                if PROMISE in trial.marks
            ),
            prospects=tuple(
                (trial.record.trial, Prospect.of(trial.marks[PROSPECT]))
                for trial in stored
                if PROSPECT in trial.marks
            ),
            front=read.front(),
            environment=read.environment or {},
            calibration=read.calibration,
            curves=run.curves(),
        )


def read_stamp(run: Run) -> str:
    """Return the name of the state of a run's files, which only ever grow.

    Raises StorageError.
    """
    events = run.path / "events.log"
    # Of a study in a database the driver's log alone tells here.
    journal = journal_stamp(run.path) if run.file.address is None else ""
    return f"{journal}.{events.stat().st_size if events.exists() else 0}"


def read_state(run: Run) -> str:
    """Return `running`, `finished` or `stopped`."""
    if run.is_finished():
        return "finished"
    try:
        return "running" if run.is_running() else "stopped"
    except StorageError:  # a folder that cannot be written has no driver
        return "stopped"
