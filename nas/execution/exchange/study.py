"""An exchange in a database, by tickets in a study beside the search."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Final

from nas.base.errors import StorageError
from nas.execution.exchange import DONE, TAKEN, WAITING, OpenTicket, Presence, Ticket, WorkerTerms
from nas.strategy.storage.database import Connection
from nas.strategy.storage.tickets import StoredTicket, Tickets
from nas.study.record import Job, Outcome

__all__ = ["StudyExchange"]

_TERMS, _WORKER = "terms", "worker "
_WITHDRAWN: Final = "withdrawn"


class StudyExchange:
    """An exchange in a database.

    study: name of the search that the jobs are of.
    """

    def __init__(self, connection: Connection, study: str) -> None:
        self.connection = connection
        self._tickets = Tickets(connection, study)
        self._unsettled: set[str] = set()

    # The driver's.

    def publish(self, terms: WorkerTerms) -> None:
        self._tickets.note(_TERMS, terms.to_dict())

    def open_tickets(self) -> list[OpenTicket]:
        stored = [item for item in self._tickets.all() if item.state != _WITHDRAWN]
        self._unsettled |= {str(item.id) for item in stored}
        return [OpenTicket(_ticket(item), item.state) for item in stored]

    def offer(self, job: Job) -> str:
        # Offered twice, when an answer is lost, the other one is nobody's: see `states`.
        ticket = str(self._tickets.add(job.to_dict()))
        self._unsettled.add(ticket)
        return ticket

    def states(self) -> dict[str, str]:
        states: dict[str, str] = {}
        for item in self._tickets.all(WAITING, TAKEN):
            ticket = str(item.id)
            if ticket in self._unsettled:
                states[ticket] = item.state
            else:
                self.withdraw(ticket)
        for ticket in self._unsettled - set(states):
            state = self._tickets.get(int(ticket)).state
            if state != _WITHDRAWN:
                states[ticket] = state
        return states

    def outcome(self, ticket: str) -> Outcome | None:
        text = self._tickets.get(int(ticket)).outcome
        try:
            return Outcome.from_dict(json.loads(text or ""))
        except (KeyError, ValueError, TypeError, AssertionError):
            return None

    def withdraw(self, ticket: str) -> bool:
        self._unsettled.discard(ticket)
        if self._tickets.change(int(ticket), _WITHDRAWN):
            return True
        if self._tickets.get(int(ticket)).state == DONE:
            self._unsettled.add(ticket)
            return False
        return True

    def settle(self, ticket: str) -> None:
        # Nothing to remove: whoever asks again looks for jobs that still run in the search.
        self._unsettled.discard(ticket)

    def workers(self) -> list[Presence]:
        notes = self._tickets.notes()
        presences = [value for name, value in notes.items() if name.startswith(_WORKER)]
        return [Presence(**value) for value in presences if value]

    def forget(self, worker: str) -> None:
        self._tickets.note(_WORKER + worker, None)

    # A worker's.

    def terms(self) -> WorkerTerms | None:
        published = self._tickets.notes().get(_TERMS)
        return WorkerTerms.from_dict(published) if published is not None else None

    def show(self, presence: Presence) -> None:
        self._tickets.note(_WORKER + presence.worker, asdict(presence))

    def take(self, worker: str) -> Ticket | None:
        for item in self._tickets.all(WAITING):
            if self._tickets.take(item.id):
                return _ticket(item)
        return None

    def holds(self, ticket: str, worker: str) -> bool:
        return self._tickets.get(int(ticket)).state == TAKEN

    def hand_back(self, ticket: str, worker: str) -> None:
        self._tickets.change(int(ticket), WAITING)

    def deliver(self, ticket: str, worker: str, outcome: Outcome) -> bool:
        return self._tickets.finish(int(ticket), outcome.to_dict())


def _ticket(stored: StoredTicket) -> Ticket:
    try:
        return Ticket(str(stored.id), Job.from_dict(stored.job))
    except TypeError:
        raise StorageError("a job is of another version of this program") from None
