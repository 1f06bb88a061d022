"""The lease by which a study in a database has one driver; it ends with its heartbeats.

Every driver that comes writes itself down; the one that came first and still lives is the driver.
Whether one lives is seen by its count of heartbeats, watched by the watcher's own clock: no two
machines' clocks are ever compared, and setting one changes nothing.
"""

from __future__ import annotations

import contextlib
import threading
import time
from types import TracebackType
from typing import Any, Self

from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.base.clock import utc_now
from nas.base.errors import NasError, SpecError, StorageError
from nas.base.process import boot_seconds, describe_process, has_ended, this_process
from nas.strategy.storage.database import Connection

__all__ = ["Lease", "driver_of", "find_housekeeping"]

_BEATS = 6  # in the time after which a silent driver counts as dead
_LAST_PATIENCE = 5.0  # seconds
_PROCESS, _BEAT = "process", "beat"


def find_housekeeping(
    connection: Connection, study: str, part: str, *, make: bool = True
) -> int | None:
    """Return the id of the study beside a search that holds a part of its book-keeping.

    part: `drivers` or `jobs`.
    make: whether to begin one where there is none; else the answer is None.
    """
    name, storage = f"{study}/{part}", connection.storage

    def find() -> int | None:
        try:
            return storage.get_study_id_from_name(name)
        except KeyError:
            return None

    def find_or_make() -> int | None:
        study_id = find()
        if study_id is not None:
            return study_id
        try:
            return storage.create_new_study([StudyDirection.MINIMIZE], name)
        except DuplicatedStudyError:  # another was faster
            return find()

    return connection.do(find_or_make if make else find)


class Lease:
    """The right to drive a study.

    It is taken on entering and given back on leaving; a thread of its own keeps it meanwhile.

    study: name of the search.
    seconds: of silence after which another may take over.
    Entering raises SpecError, naming the driver, when there is one.
    """

    def __init__(self, connection: Connection, study: str, *, seconds: float) -> None:
        self.seconds = seconds
        self._connection = connection
        self._storage = connection.storage
        study_id = find_housekeeping(connection, study, "drivers")
        assert study_id is not None
        self._study = study_id
        self._name = str(connection.address.of(study))
        self._ended = threading.Event()
        self._writing = threading.Lock()
        self._beats = 0
        self._lost = False
        self._confirmed = boot_seconds()
        self._mine = -1
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> Self:
        template = create_trial(
            state=TrialState.RUNNING,
            value=None,
            user_attrs={_PROCESS: this_process(), _BEAT: _beat(0)},
        )
        self._mine = self._connection.do(
            lambda: self._storage.create_new_trial(self._study, template)
        )
        # Its heart beats while it waits, or one that came still later would take it for dead.
        self._thread.start()
        try:
            for other in self._before_me():
                if self._lives(other):
                    raise SpecError(
                        f"{self._name} is being worked on by "
                        f"{describe_process(other.user_attrs[_PROCESS])}; wait for it or stop it"
                    )
                self._finish(other._trial_id)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join(timeout=self.seconds)
        if not self._lost:
            # Whoever ends is not kept waiting for a storage that is away. The connection so far
            # stays referred to: when it goes, it closes the storage that both share.
            patient = self._connection
            self._connection = Connection(
                patient.address, self._storage, min(self.seconds, _LAST_PATIENCE)
            )
            with contextlib.suppress(NasError):  # away: the lease ends by itself
                self._finish(self._mine)
            del patient

    def check(self) -> None:
        """Make sure, before a write, that the lease is still held.

        It costs nothing while heartbeats are recent. A process that slept through its lease, and
        wakes here, asks before it writes.
        Raises StorageError when another driver has taken over.
        """
        if boot_seconds() - self._confirmed > self.seconds / 2:
            self._beat()
        if self._lost:
            raise StorageError(
                f"{self._name}: another driver has taken over, as this one was silent for more "
                f"than {self.seconds:.0f} s; nothing is lost"
            )

    def _keep(self) -> None:
        while not self._ended.wait(self.seconds / _BEATS) and not self._lost:
            try:
                self._beat()
            except NasError:
                continue  # the next write says so

    def _beat(self) -> None:
        with self._writing:
            self._beats += 1
            sent = boot_seconds()
            try:
                self._connection.do(
                    lambda: self._storage.set_trial_user_attr(self._mine, _BEAT, _beat(self._beats))
                )
            except UpdateFinishedTrialError:
                self._lost = True
            self._confirmed = sent

    def _before_me(self) -> list[FrozenTrial]:
        running = _running(self._connection, self._study)
        return [trial for trial in running if trial._trial_id < self._mine]

    def _lives(self, other: FrozenTrial) -> bool:
        """Watch another driver's heartbeats for as long as a lease lasts."""
        if has_ended(other.user_attrs[_PROCESS]):
            return False
        began = boot_seconds()
        while boot_seconds() - began < self.seconds:
            time.sleep(min(1.0, self.seconds / _BEATS / 4))
            now = self._connection.do(lambda: self._storage.get_trial(other._trial_id))
            if now.state.is_finished():
                return False
            if now.user_attrs[_BEAT] != other.user_attrs[_BEAT]:
                return True
        return False

    def _finish(self, trial_id: int) -> None:
        try:
            self._connection.do(
                lambda: self._storage.set_trial_state_values(trial_id, TrialState.FAIL)
            )
        except UpdateFinishedTrialError:
            return  # it did so itself


def _beat(count: int) -> dict[str, Any]:
    """Return a heartbeat; `heard` is for people, and nothing is reckoned from it."""
    return {"count": count, "heard": utc_now()}


def driver_of(connection: Connection, study: str) -> dict[str, Any] | None:
    """Return the process that holds a study's lease, as far as anybody has noticed.

    Its own machine knows at once that it was killed. Elsewhere it stands until another driver
    takes over, and `heard` says when it was last heard of, by its own clock.
    Returns None when nobody holds the lease.
    """
    study_id = find_housekeeping(connection, study, "drivers", make=False)
    running = _running(connection, study_id) if study_id is not None else []
    processes = [
        trial.user_attrs[_PROCESS] | {"heard": trial.user_attrs[_BEAT]["heard"]}
        for trial in running
    ]
    return next((process for process in processes if not has_ended(process)), None)


def _running(connection: Connection, study: int) -> list[FrozenTrial]:
    def read() -> list[FrozenTrial]:
        states = (TrialState.RUNNING,)
        return connection.storage.get_all_trials(study, deepcopy=False, states=states)

    return sorted(connection.do(read), key=lambda trial: trial._trial_id)
