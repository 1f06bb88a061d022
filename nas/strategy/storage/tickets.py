"""The tickets of jobs in a database: a study of Optuna's beside the search.

So they work with every storage that Optuna can open, a gRPC proxy among them.

A ticket is a trial: WAITING, RUNNING while a worker has it, COMPLETE with its outcome, FAIL when
withdrawn. Optuna's storages let one process alone take a waiting trial, and change no finished
one. Notes are attributes of the study.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.strategy.storage.database import Connection
from nas.strategy.storage.lease import find_housekeeping

__all__ = ["StoredTicket", "TicketState", "Tickets"]

TicketState = Literal["waiting", "taken", "done", "withdrawn"]

_JOB, _OUTCOME = "job", "outcome"
_STATES: dict[TrialState, TicketState] = {
    TrialState.WAITING: "waiting",
    TrialState.RUNNING: "taken",
    TrialState.COMPLETE: "done",
    TrialState.FAIL: "withdrawn",
}
_TRIAL_STATES = {state: of_trial for of_trial, state in _STATES.items()}


@dataclass(frozen=True, slots=True)
class StoredTicket:
    """A job for a worker, as the storage holds it.

    id: number of the trial that it is.
    job: plain values.
    outcome: JSON text, once it is done; None before, or where it cannot be read.
    """

    id: int
    state: TicketState
    job: Mapping[str, Any]
    outcome: str | None


class Tickets:
    """The tickets of one search.

    study: name of the search that the jobs are of.
    All methods raise StorageError when the storage fails.
    """

    def __init__(self, connection: Connection, study: str) -> None:
        self._do = connection.do
        self._storage = connection.storage
        study_id = find_housekeeping(connection, study, "jobs")
        assert study_id is not None
        self._study = study_id

    def all(self, *states: TicketState) -> list[StoredTicket]:
        """Return tickets, the oldest first.

        states: those that are wanted; none: all.
        """
        wanted = tuple(_TRIAL_STATES[state] for state in states) or None

        def read() -> list[FrozenTrial]:
            return self._storage.get_all_trials(self._study, deepcopy=False, states=wanted)

        return sorted(map(_stored, self._do(read)), key=lambda ticket: ticket.id)

    def get(self, ticket: int) -> StoredTicket:
        """Return one ticket as it is now."""
        return _stored(self._do(lambda: self._storage.get_trial(ticket)))

    def add(self, job: Mapping[str, Any]) -> int:
        """Make a ticket that waits, and return its id.

        Where the answer of the storage is lost the job may stand there twice; the other ticket is
        then nobody's.
        """
        template = create_trial(state=TrialState.WAITING, user_attrs={_JOB: json.dumps(job)})
        return self._do(lambda: self._storage.create_new_trial(self._study, template))

    def take(self, ticket: int) -> bool:
        """Take a waiting ticket, and say whether this process alone got it.

        Where the answer is lost nobody knows who has it: it is left to its lease.
        """

        def take() -> bool:
            return self._storage.set_trial_state_values(ticket, TrialState.RUNNING)

        try:
            return self._do(take, lambda: False)
        except UpdateFinishedTrialError:
            return False

    def change(self, ticket: int, state: TicketState) -> bool:
        """Change a ticket's state, and return whether it was neither done nor withdrawn."""
        to = _TRIAL_STATES[state]
        try:
            return self._do(lambda: self._storage.set_trial_state_values(ticket, to))
        except UpdateFinishedTrialError:
            return False

    def finish(self, ticket: int, outcome: Mapping[str, Any]) -> bool:
        """Keep a ticket's outcome, and return False where it was withdrawn before.

        outcome: plain values.
        """
        text = json.dumps(outcome)

        def write() -> bool:
            self._storage.set_trial_user_attr(ticket, _OUTCOME, text)
            return self._storage.set_trial_state_values(ticket, TrialState.COMPLETE, [0.0])

        try:
            return self._do(write)
        except UpdateFinishedTrialError:
            # By the driver; or by ourselves, when the answer was lost.
            return self.get(ticket).state == "done"

    def notes(self) -> dict[str, Any]:
        """Return what was written beside the tickets, by name."""
        attributes = self._do(lambda: self._storage.get_study_user_attrs(self._study))
        return {name: json.loads(text) for name, text in attributes.items()}

    def note(self, name: str, value: object) -> None:
        """Write beside the tickets, over what had the name.

        value: plain values.
        """
        text = json.dumps(value)
        self._do(lambda: self._storage.set_study_user_attr(self._study, name, text))


def _stored(trial: FrozenTrial) -> StoredTicket:
    job = json.loads(trial.user_attrs[_JOB])
    return StoredTicket(trial._trial_id, _STATES[trial.state], job, trial.user_attrs.get(_OUTCOME))
