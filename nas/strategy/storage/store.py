"""The study in its storage: an Optuna journal with one writer, or a database by its URL.

A trial costs three writes: one when it starts, with everything known of it, one with its
record, one with its state; and two for every rung on the way, when it gets there and when it
goes on. (Optuna's own `ask` costs one for every parameter.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from optuna.distributions import CategoricalDistribution
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.base.errors import SpecError, StorageError
from nas.spec.objective import Objective
from nas.spec.storage_url import StorageUrl
from nas.strategy.storage.database import Connection, connect
from nas.strategy.storage.journal import Journal, drop_torn_line
from nas.study.full_training import FullTraining
from nas.study.record import COMPLETE, FAILED, PAUSED, PRUNED, RUNNING, Job, Record

__all__ = ["Store", "StoredTrial", "studies_of"]

_STUDY = "search"
"""The name of the one study in a journal."""
_FINAL, _ABOUT, _OBJECTIVES, _RECORD = "final_latency", "about", "objectives", "record"
_TWIN = "twin"
"""The mark of a trial that was written twice, because the answer to the first was lost."""
_RETRAINED = "retrained:"
_STATES = {
    COMPLETE: TrialState.COMPLETE,
    PRUNED: TrialState.PRUNED,
    FAILED: TrialState.FAIL,
    RUNNING: TrialState.RUNNING,
    PAUSED: TrialState.RUNNING,  # has not come to its end
}
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class StoredTrial:
    """A trial as the study holds it.

    params: parameter -> label; empty for a network that the space cannot express.
    marks: what the sampler noted of it.
    unsettled: whether the process was killed between its last two writes, so that the record is
        there but the state says RUNNING.
    """

    record: Record
    params: Mapping[str, str]
    marks: Mapping[str, Any]
    unsettled: bool


class _Medium(Protocol):
    """A storage, and how to act on it: a journal, or a connection to a database."""

    @property
    def storage(self) -> BaseStorage: ...

    def do(
        self, action: Callable[[], _Result], again: Callable[[], _Result] | None = None
    ) -> _Result: ...


class Store:
    """One study, to read and to write.

    where: a journal, or the address of a database.
    writable: whether to mend what a killed process left, before anything is written.
    guard: called before every write; raises when this process may not write any more.
    connection: to the database, where one is open already.
    All methods raise StorageError when the storage fails; opening raises SpecError when it
    holds no such study.
    """

    def __init__(
        self,
        where: Path | StorageUrl,
        *,
        writable: bool,
        guard: Callable[[], None] = lambda: None,
        connection: Connection | None = None,
    ) -> None:
        self._medium: _Medium
        if isinstance(where, Path):
            if not where.exists():
                raise StorageError(f"no study at {where}")
            self._medium, self.name = Journal(where), _STUDY
            if writable:  # once it is read: a damaged file stays as it is
                drop_torn_line(where)
        else:
            if connection is None:
                where.check_there()
                connection = connect(where, make=False)
            self._medium, self.name = connection, where.study or _only_study(connection)
        self.where = where
        self.guard = guard
        self._ids: dict[int, int] = {}
        self._twins = 0
        self._storage = self._medium.storage
        try:
            self._study = self._do(lambda: self._storage.get_study_id_from_name(self.name))
        except StorageError:
            raise
        except KeyError:
            raise SpecError(
                f"{where} holds no such study; there are: {_listed(studies_of(self._medium))}"
            ) from None
        if writable:
            self._settle_twins()

    @classmethod
    def create(
        cls,
        where: Path | StorageUrl,
        objectives: tuple[Objective, ...],
        about: Mapping[str, Any] | None = None,
    ) -> Store:
        """Start an empty study: in a new file, or in a database under the address's own name.

        objectives: their order is that of the values of a trial.
        about: what somebody who finds the study is told of its run; plain values.
        """
        connection = None
        if isinstance(where, Path):
            assert not where.exists(), where
            medium: _Medium = Journal(where)
            name = _STUDY
        else:
            assert where.study, where
            medium = connection = connect(where)
            name = where.study
        storage = medium.storage
        directions = [
            StudyDirection.MINIMIZE if item.minimise else StudyDirection.MAXIMIZE
            for item in objectives
        ]
        medium.do(
            lambda: storage.create_new_study(directions, name),
            lambda: _create_or_find(storage, directions, name),
        )
        study = medium.do(lambda: storage.get_study_id_from_name(name))
        names = [item.name for item in objectives]
        medium.do(lambda: storage.set_study_user_attr(study, _OBJECTIVES, names))
        if about is not None:
            medium.do(lambda: storage.set_study_user_attr(study, _ABOUT, dict(about)))
        return cls(where, writable=True, connection=connection)

    @property
    def connection(self) -> Connection:
        """The connection to the database that the study is in; a journal has none."""
        assert isinstance(self._medium, Connection), self.where
        return self._medium

    def about(self) -> dict[str, Any]:
        """Return what `create` was given about the run."""
        attributes = self._do(lambda: self._storage.get_study_user_attrs(self._study))
        return dict(attributes.get(_ABOUT, {}))

    def objectives(self) -> list[str]:
        """Return the names of its objectives."""
        attributes = self._do(lambda: self._storage.get_study_user_attrs(self._study))
        return list(attributes.get(_OBJECTIVES, []))

    def delete(self) -> None:
        """Take the whole study out of its database."""
        self._do(lambda: self._storage.delete_study(self._study))

    def copy_from(self, other: Store) -> None:
        """Copy all trials of another study, in order, into this one, which is empty.

        Final latencies and full trainings come with them.
        """
        for trial in other.frozen():  # without what a database holds twice
            self._do(lambda trial=trial: self._storage.create_new_trial(self._study, trial))  # type: ignore[misc]
        attributes = other._do(lambda: other._storage.get_study_user_attrs(other._study))
        for name, value in attributes.items():
            if name == _FINAL or name.startswith(_RETRAINED):
                self._do(
                    lambda name=name, value=value: self._storage.set_study_user_attr(  # type: ignore[misc]
                        self._study, name, value
                    )
                )

    def start(
        self,
        job: Job,
        params: Mapping[str, str],
        distributions: Mapping[str, CategoricalDistribution],
        marks: Mapping[str, Any],
    ) -> None:
        """Write a trial whose job is given out.

        params: parameter -> label; empty for a network that the space cannot express.
        distributions: of the parameters.
        marks: what the sampler noted of the network.
        """
        template = create_trial(
            state=TrialState.RUNNING,
            params=dict(params),
            distributions=dict(distributions),
            user_attrs={_RECORD: Record.of(job, None).to_dict()},
            system_attrs=dict(marks),
        )
        self.guard()

        def create() -> int:
            return self._storage.create_new_trial(self._study, template_trial=template)

        def look_first() -> int:
            trials = self._trials_by_number()
            return trials[job.trial]._trial_id if job.trial in trials else create()

        self._ids[job.trial] = trial_id = self._do(create, look_first)
        number = self._do(lambda: self._storage.get_trial_number_from_id(trial_id))
        if number - job.trial != self._twins:
            assert isinstance(self.where, StorageUrl), (number, job.trial)
            self._twins = number - job.trial
            self._settle_twins()

    def note(self, record: Record) -> None:
        """Write what is known of a trial that goes on: PAUSED at a rung, or RUNNING again."""
        assert _STATES[record.state] == TrialState.RUNNING, record
        self.guard()
        self._do(lambda: self._write(record))

    def finish(self, record: Record, values: list[float] | None) -> None:
        """Write what came of a job, and end its trial.

        values: one per objective when COMPLETE, else None.
        """
        self.guard()
        state = _STATES[record.state]

        def write() -> None:
            self._write(record)
            self._storage.set_trial_state_values(self._trial_id(record), state, values)

        def look_first() -> None:
            if self._storage.get_trial(self._trial_id(record)).state != state:
                write()

        self._do(write, look_first)

    def _write(self, record: Record) -> None:
        trial_id = self._trial_id(record)
        self._storage.set_trial_user_attr(trial_id, _RECORD, record.to_dict())

    def _trial_id(self, record: Record) -> int:
        if record.trial not in self._ids:
            self._ids[record.trial] = self._storage.get_trial_id_from_study_id_trial_number(
                self._study, record.trial
            )
        return self._ids[record.trial]

    def note_final(self, latencies: Mapping[str, tuple[float, float]]) -> None:
        """Write final measurements, in place of earlier ones.

        latencies: digest -> (latency_ms, spread).
        """
        self.guard()
        values = {digest: list(pair) for digest, pair in latencies.items()}
        self._do(lambda: self._storage.set_study_user_attr(self._study, _FINAL, values))

    def note_full_training(self, training: FullTraining) -> None:
        """Note one full training. Replaces an earlier one of the same network, seed and recipe."""
        self.guard()
        name, values = _RETRAINED + training.name, training.to_dict()
        self._do(lambda: self._storage.set_study_user_attr(self._study, name, values))

    def trials(self) -> list[StoredTrial]:
        """Return everything that is in the study, by number."""
        trials = self._do(self._trials_by_number)
        attributes = self._do(lambda: self._storage.get_study_user_attrs(self._study))
        self._ids |= {number: trial._trial_id for number, trial in trials.items()}
        final, full_trainings = attributes.get(_FINAL, {}), _full_trainings(attributes)
        # Trials of somebody else's hold no records: the study is damaged.
        return self._do(
            lambda: [_stored(trials[number], final, full_trainings) for number in sorted(trials)]
        )

    def frozen(self) -> list[FrozenTrial]:
        """Return the trials as Optuna holds them, by number."""
        trials = self._do(self._trials_by_number)
        return [trials[number] for number in sorted(trials)]

    def records(self) -> list[Record]:
        """Return the records of all trials, by number."""
        return [stored.record for stored in self.trials()]

    def _trials_by_number(self) -> dict[int, FrozenTrial]:
        """Return trials by their records' numbers; of those written twice the first."""
        trials: dict[int, FrozenTrial] = {}
        for trial in self._storage.get_all_trials(self._study, deepcopy=False):
            if _TWIN not in trial.system_attrs:
                trials.setdefault(trial.user_attrs[_RECORD]["trial"], trial)
        return trials

    def _settle_twins(self) -> None:
        """Mark what a database holds twice; Optuna itself writes again when an answer is lost."""
        if not isinstance(self.where, StorageUrl):
            return
        first = self._do(self._trials_by_number)
        for trial in self._do(lambda: self._storage.get_all_trials(self._study, deepcopy=False)):
            number = trial.user_attrs[_RECORD]["trial"]
            self._ids[number] = first[number]._trial_id
            if trial._trial_id == first[number]._trial_id or trial.state.is_finished():
                continue
            self._do(lambda twin=trial._trial_id: self._drop(twin))  # type: ignore[misc]

    def _drop(self, trial_id: int) -> None:
        self._storage.set_trial_system_attr(trial_id, _TWIN, True)
        self._storage.set_trial_state_values(trial_id, TrialState.FAIL)

    def _do(
        self, action: Callable[[], _Result], again: Callable[[], _Result] | None = None
    ) -> _Result:
        try:
            return self._medium.do(action, again)
        except UpdateFinishedTrialError:
            raise StorageError(
                f"{self.where}: a trial has come to its end by another hand; stop all drivers of "
                "this run, then: nas resume RUN"
            ) from None


def studies_of(medium: _Medium) -> list[str]:
    """Return the names of the searches in a storage."""
    studies = medium.do(medium.storage.get_all_studies)
    return [study.study_name for study in studies if _OBJECTIVES in study.user_attrs]


def _only_study(connection: Connection) -> str:
    names = studies_of(connection)
    if len(names) != 1:
        raise SpecError(
            f"{connection.address} holds {len(names) or 'no'} searches"
            + (f": {_listed(names)}; say which, as in '#{names[-1]}' at the end" if names else "")
        )
    return names[0]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return (", ".join(names[-20:]) or "none") + more


def _create_or_find(storage: BaseStorage, directions: list[StudyDirection], name: str) -> int:
    try:
        return storage.create_new_study(directions, name)
    except DuplicatedStudyError:
        return storage.get_study_id_from_name(name)


def _full_trainings(attributes: Mapping[str, Any]) -> dict[str, tuple[FullTraining, ...]]:
    """Return the full trainings of a study by the digest of their network."""
    by_digest: dict[str, list[FullTraining]] = {}
    for name in sorted(attributes):
        if name.startswith(_RETRAINED):
            training = FullTraining.from_dict(attributes[name])
            by_digest.setdefault(training.digest, []).append(training)
    return {digest: tuple(trainings) for digest, trainings in by_digest.items()}


def _stored(
    trial: FrozenTrial,
    final: Mapping[str, list[float]],
    full_trainings: Mapping[str, tuple[FullTraining, ...]],
) -> StoredTrial:
    record = Record.from_dict(trial.user_attrs[_RECORD])
    if record.digest in final:
        latency_ms, spread = final[record.digest]
        record = replace(record, final_latency_ms=latency_ms, final_latency_spread=spread)
    if record.digest in full_trainings:
        record = replace(record, full_trainings=full_trainings[record.digest])
    unsettled = _STATES[record.state] != trial.state
    assert not unsettled or trial.state == TrialState.RUNNING, trial
    return StoredTrial(record, dict(trial.params), dict(trial.system_attrs), unsettled)
