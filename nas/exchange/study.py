"""An exchange in a database: a study of Optuna's beside the search, so that it works with every
storage that Optuna can open, a gRPC proxy among them.

A ticket is a trial: WAITING, RUNNING while a worker has it, COMPLETE with its outcome, FAIL when
withdrawn. Optuna's storages let one process alone take a waiting trial, and change no finished
one. Workers show themselves in attributes of the study.
"""

from __future__ import annotations

import json
from dataclasses import asdict

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.database import Connection
from nas.errors import StorageError
from nas.exchange import DONE, TAKEN, WAITING, Left, Presence, Terms, Ticket
from nas.lease import housekeeping
from nas.record import Job, Outcome

__all__ = ["StudyExchange"]

_JOB, _OUTCOME, _TERMS, _WORKER = "job", "outcome", "terms", "worker "
_STATES = {TrialState.WAITING: WAITING, TrialState.RUNNING: TAKEN, TrialState.COMPLETE: DONE}
_OPEN = (TrialState.WAITING, TrialState.RUNNING)


class StudyExchange:
    """study: name of the search that the jobs are of."""

    def __init__(self, connection: Connection, study: str) -> None:
        self.connection = connection
        self._do = connection.do
        self._storage = connection.storage
        found = housekeeping(connection, study, "jobs")
        assert found is not None
        self._study = found
        self._unsettled: set[str] = set()

    # The driver's.

    def publish(self, terms: Terms) -> None:
        self._note(_TERMS, terms.to_dict())

    def left(self) -> list[Left]:
        found = []
        for trial in self._trials():
            if trial.state in _STATES:
                ticket = Ticket(str(trial._trial_id), _job(trial))
                found.append(Left(ticket, _STATES[trial.state]))
                self._unsettled.add(ticket.id)
        return found

    def offer(self, job: Job) -> str:
        template = create_trial(state=TrialState.WAITING, user_attrs={_JOB: _packed(asdict(job))})
        # Offered twice, when an answer is lost, the other one is nobody's: see `states`.
        made = self._do(lambda: self._storage.create_new_trial(self._study, template))
        self._unsettled.add(str(made))
        return str(made)

    def states(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for trial in self._trials(_OPEN):
            ticket = str(trial._trial_id)
            if ticket in self._unsettled:
                found[ticket] = _STATES[trial.state]
            else:
                self.withdraw(ticket)
        for ticket in self._unsettled - set(found):
            state = self._trial(ticket).state
            if state in _STATES:
                found[ticket] = _STATES[state]
        return found

    def outcome(self, ticket: str) -> Outcome | None:
        try:
            return Outcome.from_dict(json.loads(self._trial(ticket).user_attrs[_OUTCOME]))
        except (KeyError, ValueError, TypeError, AssertionError):
            return None

    def withdraw(self, ticket: str) -> bool:
        self._unsettled.discard(ticket)
        if self._ended(ticket, TrialState.FAIL):
            return True
        if self._trial(ticket).state == TrialState.COMPLETE:
            self._unsettled.add(ticket)
            return False
        return True

    def settle(self, ticket: str) -> None:
        # Nothing to remove: whoever asks again looks for jobs that still run in the search.
        self._unsettled.discard(ticket)

    def workers(self) -> list[Presence]:
        attributes = self._do(lambda: self._storage.get_study_user_attrs(self._study))
        shown = [json.loads(text) for name, text in attributes.items() if name.startswith(_WORKER)]
        return [Presence(**item) for item in shown if item]

    def forget(self, worker: str) -> None:
        self._note(_WORKER + worker, None)

    # A worker's.

    def terms(self) -> Terms | None:
        attributes = self._do(lambda: self._storage.get_study_user_attrs(self._study))
        return Terms.from_dict(json.loads(attributes[_TERMS])) if _TERMS in attributes else None

    def show(self, presence: Presence) -> None:
        self._note(_WORKER + presence.worker, asdict(presence))

    def take(self, worker: str) -> Ticket | None:
        for trial in self._trials((TrialState.WAITING,)):
            if self._taken(trial._trial_id):
                return Ticket(str(trial._trial_id), _job(trial))
        return None

    def _taken(self, trial_id: int) -> bool:
        def take() -> bool:
            return self._storage.set_trial_state_values(trial_id, TrialState.RUNNING)

        # Where the answer is lost nobody knows who has it: it is left to its lease.
        try:
            return self._do(take, lambda: False)
        except UpdateFinishedTrialError:
            return False

    def holds(self, ticket: str, worker: str) -> bool:
        return self._trial(ticket).state == TrialState.RUNNING

    def hand_back(self, ticket: str, worker: str) -> None:
        self._ended(ticket, TrialState.WAITING)

    def deliver(self, ticket: str, worker: str, outcome: Outcome) -> bool:
        text = _packed(asdict(outcome))

        def write() -> bool:
            self._storage.set_trial_user_attr(int(ticket), _OUTCOME, text)
            return self._storage.set_trial_state_values(int(ticket), TrialState.COMPLETE, [0.0])

        try:
            return self._do(write)
        except UpdateFinishedTrialError:
            # By the driver; or by ourselves, when the answer was lost.
            return self._trial(ticket).state == TrialState.COMPLETE

    # Both.

    def _ended(self, ticket: str, state: TrialState) -> bool:
        try:
            return self._do(lambda: self._storage.set_trial_state_values(int(ticket), state))
        except UpdateFinishedTrialError:
            return False

    def _note(self, name: str, value: object) -> None:
        text = _packed(value)
        self._do(lambda: self._storage.set_study_user_attr(self._study, name, text))

    def _trial(self, ticket: str) -> FrozenTrial:
        return self._do(lambda: self._storage.get_trial(int(ticket)))

    def _trials(self, states: tuple[TrialState, ...] | None = None) -> list[FrozenTrial]:
        def read() -> list[FrozenTrial]:
            return self._storage.get_all_trials(self._study, deepcopy=False, states=states)

        return sorted(self._do(read), key=lambda trial: trial._trial_id)


def _packed(value: object) -> str:
    return json.dumps(value)


def _job(trial: FrozenTrial) -> Job:
    try:
        return Job(**json.loads(trial.user_attrs[_JOB]))
    except TypeError:
        raise StorageError("a job is of another version of this program") from None
