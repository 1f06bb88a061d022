"""An exchange in a folder on a file system that driver and workers share.

    terms.json                          what a worker must fulfil
    waiting/TICKET.json                 a job
    taken/TICKET~WORKER.json            the same, with a worker
    outcomes/TICKET~WORKER.json         written before ...
    done/TICKET~WORKER.json             ... the job moves here, which makes it count
    workers/WORKER.json                 heartbeats

Every step is one rename, of which of two processes one alone succeeds; NFS promises the same.
(Its client may send a rename twice when an answer is lost, and report the second's failure: so
after a failure the new name is looked for.) What NFS caches of folders makes news late, never
wrong: a lease should be longer than its `acdirmax`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nas.base.errors import StorageError, disk_is_full
from nas.base.files import write_whole
from nas.execution.exchange import DONE, TAKEN, WAITING, OpenTicket, Presence, Ticket, WorkerTerms
from nas.study.record import Job, Outcome

__all__ = ["FolderExchange"]

_WITH = "~"  # between ticket and worker in a file's name


class FolderExchange:
    """An exchange of files.

    path: a folder of the run's own.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._folders = {name: path / name for name in (WAITING, TAKEN, DONE)}
        self._outcomes, self._workers = path / "outcomes", path / "workers"

    # The driver's.

    def publish(self, terms: WorkerTerms) -> None:
        with _disk(self.path):
            for folder in (*self._folders.values(), self._outcomes, self._workers):
                folder.mkdir(parents=True, exist_ok=True)
        _write(self.path / "terms.json", terms.to_dict())

    def open_tickets(self) -> list[OpenTicket]:
        tickets = []
        for name, state in self.states().items():
            file = self._find(name)
            with contextlib.suppress(FileNotFoundError, StorageError):
                if file is not None:
                    tickets.append(OpenTicket(Ticket(name, _job(file)), state))
        return tickets

    def offer(self, job: Job) -> str:
        # Sorted by name, the oldest trial comes first.
        ticket = f"{job.trial:08d}-{job.rung}-{uuid.uuid4().hex[:8]}"
        _write(self._folders[WAITING] / f"{ticket}.json", job.to_dict())
        return ticket

    def states(self) -> dict[str, str]:
        states: dict[str, str] = {}
        # In the order in which a ticket moves, or one could slip by unseen.
        for state, folder in self._folders.items():
            states |= dict.fromkeys(map(_ticket, _names(folder)), state)
        return dict(sorted(states.items()))

    def outcome(self, ticket: str) -> Outcome | None:
        file = self._find(ticket, DONE)
        if file is None:
            return None
        try:
            return Outcome.from_dict(_read(self._outcomes / file.name))
        except (FileNotFoundError, StorageError, KeyError, TypeError, AssertionError):
            return None

    def withdraw(self, ticket: str) -> bool:
        # Waiting once more: a worker may hand it back between the looks into the two folders.
        while (file := self._find(ticket, WAITING, TAKEN, WAITING)) is not None:
            with _disk(file), contextlib.suppress(FileNotFoundError):
                file.unlink()
        return self._find(ticket, DONE) is None

    def settle(self, ticket: str) -> None:
        file = self._find(ticket, DONE)
        if file is not None:
            # The job last: an outcome without its job is nothing.
            with _disk(file):
                (self._outcomes / file.name).unlink(missing_ok=True)
                file.unlink(missing_ok=True)

    def workers(self) -> list[Presence]:
        presences = []
        for name in _names(self._workers):
            with contextlib.suppress(FileNotFoundError, StorageError, TypeError):
                presences.append(Presence(**_read(self._workers / name)))
        return presences

    def forget(self, worker: str) -> None:
        with _disk(self._workers):
            (self._workers / f"{worker}.json").unlink(missing_ok=True)

    # A worker's.

    def terms(self) -> WorkerTerms | None:
        try:
            return WorkerTerms.from_dict(_read(self.path / "terms.json"))
        except FileNotFoundError:
            return None

    def show(self, presence: Presence) -> None:
        _write(self._workers / f"{presence.worker}.json", asdict(presence))

    def take(self, worker: str) -> Ticket | None:
        for name in sorted(_names(self._folders[WAITING])):
            ticket = _ticket(name)
            mine = self._folders[TAKEN] / f"{ticket}{_WITH}{worker}.json"
            if _move(self._folders[WAITING] / name, mine):
                with contextlib.suppress(FileNotFoundError):  # withdrawn at once
                    return Ticket(ticket, _job(mine))
        return None

    def holds(self, ticket: str, worker: str) -> bool:
        with _disk(self.path):
            return (self._folders[TAKEN] / f"{ticket}{_WITH}{worker}.json").exists()

    def hand_back(self, ticket: str, worker: str) -> None:
        mine = self._folders[TAKEN] / f"{ticket}{_WITH}{worker}.json"
        _move(mine, self._folders[WAITING] / f"{ticket}.json")

    def deliver(self, ticket: str, worker: str, outcome: Outcome) -> bool:
        name = f"{ticket}{_WITH}{worker}.json"
        _write(self._outcomes / name, outcome.to_dict())
        if _move(self._folders[TAKEN] / name, self._folders[DONE] / name):
            return True
        with _disk(self._outcomes):
            (self._outcomes / name).unlink(missing_ok=True)
        return False

    def _find(self, ticket: str, *states: str) -> Path | None:
        for state in states or self._folders:
            for name in _names(self._folders[state]):
                if _ticket(name) == ticket:
                    return self._folders[state] / name
        return None


def _ticket(name: str) -> str:
    return re.split(f"{_WITH}|\\.json$", name)[0]


def _names(folder: Path) -> list[str]:
    """Return the files of a folder; those being written begin with a dot."""
    with _disk(folder):
        try:
            return [file.name for file in folder.iterdir() if not file.name.startswith(".")]
        except FileNotFoundError:  # nothing is published yet
            return []


def _move(source: Path, target: Path) -> bool:
    """Rename a file. Returns False when another process has taken it."""
    with _disk(source):
        try:
            source.rename(target)
        except FileNotFoundError:
            return target.exists()
        return True


def _job(file: Path) -> Job:
    try:
        return Job.from_dict(_read(file))
    except TypeError:
        raise StorageError(f"{file} is no job of this version") from None


def _write(file: Path, value: object) -> None:
    with write_whole(file) as temporary:
        temporary.write_text(json.dumps(value))


def _read(file: Path) -> dict[str, Any]:
    """Read a JSON object. Raises FileNotFoundError, and StorageError when it is torn."""
    try:
        content = json.loads(file.read_text())
    except ValueError:
        raise StorageError(f"{file} is torn") from None
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno == errno.ESTALE:  # NFS: replaced while it was opened
            raise FileNotFoundError(file) from None
        raise StorageError(f"{file} cannot be read ({error.strerror})") from None
    if not isinstance(content, dict):
        raise StorageError(f"{file} is torn")
    return content


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        what = "no space left; free some" if disk_is_full(error) else error.strerror or error
        raise StorageError(f"{path}: {what}") from None
