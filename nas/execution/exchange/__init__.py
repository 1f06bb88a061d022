"""The place where a driver and workers meet: jobs one way, outcomes the other, all plain JSON.

A ticket is one giving-out of a job. It waits, is taken by one worker, and is done; or it is
withdrawn by the driver. Taking, delivering and withdrawing are atomic: a ticket is never taken
twice, and of an outcome and a withdrawal the first counts and the other is refused.
Workers show their lives by a count of heartbeats, which the driver watches by its own clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

from nas.base.errors import StorageError
from nas.study.record import Job, Outcome

__all__ = [
    "DONE",
    "TAKEN",
    "WAITING",
    "Exchange",
    "OpenTicket",
    "Presence",
    "Ticket",
    "WorkerTerms",
]

WAITING: Final = "waiting"
TAKEN: Final = "taken"
DONE: Final = "done"


@dataclass(frozen=True, slots=True)
class WorkerTerms:
    """The terms that a worker must know and fulfil to evaluate for a run.

    spec: of the evaluator, plain values (see `EvaluatorSpec.to_dict`); its paths are the driver's.
    versions: of packages that results depend on.
    data: key of the images.
    lease: seconds of silence after which a worker's job goes to another.
    processor, runtime: what latencies are measured with; None where they are predicted.
    closed: the search has come to its end.
    """

    spec: Mapping[str, Any]
    versions: Mapping[str, str | None]
    data: str
    lease: float
    processor: str | None = None
    runtime: str | None = None
    closed: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> WorkerTerms:
        """Read what `to_dict` wrote. Raises StorageError for what another version wrote."""
        try:
            return cls(**data)
        except TypeError as error:
            raise StorageError(
                f"the driver is of another version ({error}); install the same on both"
            ) from None


@dataclass(frozen=True, slots=True)
class Ticket:
    """One giving-out of a job.

    id: of this giving-out; it is part of file names.
    """

    id: str
    job: Job


@dataclass(frozen=True, slots=True)
class OpenTicket:
    """A ticket that an earlier driver gave out, as it is now."""

    ticket: Ticket
    state: str


@dataclass(frozen=True, slots=True)
class Presence:
    """A worker as it shows itself.

    worker: its name.
    process: where it runs; see `nas.base.process`.
    beat: a count that goes up while it lives.
    ticket, trial: what it works on; None: nothing.
    heard: the time by its own clock, for people.
    left: why it could not go on; None: it does.
    """

    worker: str
    process: Mapping[str, Any]
    beat: int
    ticket: str | None
    trial: int | None
    heard: str
    left: str | None = None


class Exchange(Protocol):
    """The place where a driver and its workers meet.

    All methods raise StorageError when the storage fails.
    """

    # The driver's.

    def publish(self, terms: WorkerTerms) -> None:
        """Say what workers must fulfil."""

    def open_tickets(self) -> list[OpenTicket]:
        """Return tickets that are open, or done and not known to be settled; the oldest first."""

    def offer(self, job: Job) -> str:
        """Give out a job. Returns the id of its ticket."""

    def states(self) -> dict[str, str]:
        """Return open tickets, and done ones not settled, with their states.

        One that is on its way may be missing.
        """

    def outcome(self, ticket: str) -> Outcome | None:
        """Return the outcome of a done ticket; None when it cannot be read."""

    def withdraw(self, ticket: str) -> bool:
        """Take a ticket back. Returns False when its outcome has been delivered."""

    def settle(self, ticket: str) -> None:
        """Drop a ticket whose outcome is in the study."""

    def workers(self) -> list[Presence]:
        """Return the workers as they last showed themselves."""

    def forget(self, worker: str) -> None:
        """Take a dead worker off the list; if it lives it comes back."""

    # A worker's.

    def terms(self) -> WorkerTerms | None:
        """Return what the driver has published; None: none has come yet."""

    def show(self, presence: Presence) -> None:
        """Let the driver see a worker."""

    def take(self, worker: str) -> Ticket | None:
        """Take the oldest ticket that waits; None: there is none."""

    def holds(self, ticket: str, worker: str) -> bool:
        """Return whether a ticket that the worker took is still its own."""

    def hand_back(self, ticket: str, worker: str) -> None:
        """Let another worker have a ticket."""

    def deliver(self, ticket: str, worker: str, outcome: Outcome) -> bool:
        """Deliver an outcome. Returns False when the ticket was withdrawn; it is then dropped."""
