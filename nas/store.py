"""The study on disk: an Optuna journal with one writer.

A trial costs three writes: one when it starts, with everything known of it, one with its
record, one with its state; and two for every rung on the way, when it gets there and when it
goes on. (Optuna's own `ask` costs one for every parameter.)
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.errors import StorageError
from nas.objective import Objective
from nas.record import COMPLETE, FAILED, PAUSED, PRUNED, RUNNING, Job, Record

__all__ = ["Store", "Stored"]

_STUDY = "search"
_FINAL = "final_latency"
_STATES = {
    COMPLETE: TrialState.COMPLETE,
    PRUNED: TrialState.PRUNED,
    FAILED: TrialState.FAIL,
    RUNNING: TrialState.RUNNING,
    PAUSED: TrialState.RUNNING,  # has not come to its end
}


class _RunLock:
    """Does nothing: the run folder's own lock already lets in one writer, and dies with it,
    where Optuna's lock file outlives a killed process by half a minute.
    """

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Stored:
    """A trial as the study holds it. params: parameter -> label, empty for a network that the
    space cannot express. marks: what the sampler noted of it. unsettled: the process was
    killed between its last two writes, so the record is there but the state says RUNNING.
    """

    record: Record
    params: Mapping[str, str]
    marks: Mapping[str, Any]
    unsettled: bool


def _open(path: Path) -> JournalStorage:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    lock: Any = _RunLock()
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


class Store:
    """Reads and writes one study. Raises StorageError when the disk fails it."""

    def __init__(self, path: Path, *, writable: bool) -> None:
        self.path = path
        if not path.exists():
            raise StorageError(f"no study at {path}")
        if writable:
            _drop_torn_line(path)
        with _disk(path):
            self._storage = _open(path)
            self._study = self._storage.get_study_id_from_name(_STUDY)

    @classmethod
    def create(cls, path: Path, objectives: tuple[Objective, ...]) -> Store:
        """Start an empty study in a new file."""
        assert not path.exists(), path
        with _disk(path):
            storage = _open(path)
            storage.create_new_study(
                [
                    StudyDirection.MINIMIZE if item.minimise else StudyDirection.MAXIMIZE
                    for item in objectives
                ],
                _STUDY,
            )
            study = storage.get_study_id_from_name(_STUDY)
            names = [item.name for item in objectives]
            storage.set_study_user_attr(study, "objectives", names)
        return cls(path, writable=True)

    def start(
        self,
        job: Job,
        params: Mapping[str, str],
        distributions: Mapping[str, CategoricalDistribution],
        marks: Mapping[str, Any],
    ) -> None:
        """Note that a job is given out."""
        template = create_trial(
            state=TrialState.RUNNING,
            params=dict(params),
            distributions=dict(distributions),
            user_attrs={"record": Record.of(job, None).to_dict()},
            system_attrs=dict(marks),
        )
        with _disk(self.path):
            trial_id = self._storage.create_new_trial(self._study, template_trial=template)
            number = self._storage.get_trial_number_from_id(trial_id)
        assert number == job.trial, (number, job.trial)

    def note(self, record: Record) -> None:
        """Note what is known of a trial that goes on: it is PAUSED at a rung, or RUNNING again."""
        assert _STATES[record.state] == TrialState.RUNNING, record
        with _disk(self.path):
            trial_id = self._trial_id(record)
            self._storage.set_trial_user_attr(trial_id, "record", record.to_dict())

    def finish(self, record: Record, values: list[float] | None) -> None:
        """Note what came of a job. values: one per objective when COMPLETE."""
        with _disk(self.path):
            trial_id = self._trial_id(record)
            self._storage.set_trial_user_attr(trial_id, "record", record.to_dict())
            self._storage.set_trial_state_values(trial_id, _STATES[record.state], values)

    def _trial_id(self, record: Record) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study, record.trial)

    def note_final(self, latencies: Mapping[str, tuple[float, float]]) -> None:
        """Note final measurements: digest -> (latency_ms, spread). Replaces earlier ones."""
        with _disk(self.path):
            values = {digest: list(pair) for digest, pair in latencies.items()}
            self._storage.set_study_user_attr(self._study, _FINAL, values)

    def trials(self) -> list[Stored]:
        """Everything that is in the study, by number."""
        with _disk(self.path):
            trials = self._storage.get_all_trials(self._study, deepcopy=False)
            final = self._storage.get_study_user_attrs(self._study).get(_FINAL, {})
            return [_stored(trial, final) for trial in trials]

    def frozen(self) -> list[FrozenTrial]:
        """The trials as Optuna holds them, by number."""
        with _disk(self.path):
            return self._storage.get_all_trials(self._study, deepcopy=False)

    def records(self) -> list[Record]:
        return [stored.record for stored in self.trials()]


def _stored(trial: FrozenTrial, final: Mapping[str, list[float]]) -> Stored:
    fields = trial.user_attrs["record"]
    record = Record(**{name: fields[name] for name in Record.names() if name in fields})
    if record.digest in final:
        latency_ms, spread = final[record.digest]
        record = replace(record, final_latency_ms=latency_ms, final_latency_spread=spread)
    unsettled = _STATES[record.state] != trial.state
    assert not unsettled or trial.state == TrialState.RUNNING, trial
    return Stored(record, dict(trial.params), dict(trial.system_attrs), unsettled)


def _drop_torn_line(path: Path) -> None:
    """A process killed while it wrote leaves half a line; the next write would join it."""
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        tail = min(size, 1 << 20)
        file.seek(size - tail)
        end = file.read(tail).rfind(b"\n") + 1
        file.truncate(size - tail + end)


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageError(
                f"no space left for {path}; free some space, then: nas resume {path.parent}"
            ) from None
        raise StorageError(f"study {path}: {error.strerror or error}") from None
    except (ValueError, KeyError) as error:
        raise StorageError(f"study {path} is damaged: {error}") from None
