"""What an independent worker does: take a job, evaluate it, deliver; until there are no more.

Knows nothing of torch: what evaluates comes as an argument.
"""

from __future__ import annotations

import re
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from nas.base.clock import utc_now
from nas.base.errors import NasError
from nas.base.process import this_process
from nas.execution.exchange import Exchange, Presence, Ticket
from nas.study.record import Job, Outcome

__all__ = ["WorkerProcess"]

_BEATS = 6  # in the time after which a silent worker counts as dead
_SHORTEST, _LONGEST = 0.05, 2.0
"""Seconds between two looks for a job."""


class _Stopped(BaseException):
    """Ends an evaluation from outside; no candidate's `except Exception` catches it."""


class WorkerProcess:
    """An independent worker. Run it in the main thread.

    exchange: where driver and workers meet.
    evaluate: what comes of a job; NasError means that this worker cannot go on.
    lease: seconds of silence after which its job goes to another.
    grace: seconds after SIGTERM in which a job may still end, before it is handed back.
    idle: seconds without a job after which it ends; None: never.
    say: hears what happens, a line each.
    """

    def __init__(
        self,
        exchange: Exchange,
        evaluate: Callable[[Job], Outcome],
        *,
        lease: float,
        grace: float = 10.0,
        idle: float | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.exchange = exchange
        self.evaluate = evaluate
        self.lease = lease
        self.grace = grace
        self.idle = idle
        self.say = say
        process = this_process()
        host = re.sub(r"[^A-Za-z0-9.]+", "-", str(process["host"]))
        self.name = f"{host}-{process['pid']}-{uuid.uuid4().hex[:4]}"
        self._process = process
        self._ticket: Ticket | None = None
        self._stopping = False
        self._evaluating = False
        self._withdrawn: str | None = None
        self._beat = 0
        self._showing = threading.Lock()
        self._ended = threading.Event()
        self._failure: NasError | None = None

    def run(self) -> str:
        """Work until there is nothing more to do.

        Returns why it ended: `finished`, `stopped` or `idle`.
        Raises NasError when it cannot go on; its job is then handed back.
        """
        with self._signals():
            heart = threading.Thread(target=self._keep_showing, daemon=True)
            self._show()
            heart.start()
            left: str | None = None
            try:
                return self._work()
            except NasError as error:
                left = str(error)
                raise
            finally:
                if self._ticket is not None:
                    self.exchange.hand_back(self._ticket.id, self.name)
                    self._ticket = None
                self._ended.set()
                heart.join()
                self._take_leave(left)

    def _take_leave(self, left: str | None) -> None:
        """Leave the list of workers.

        A fault stays on it until the driver has heard of it, which may have the same.
        left: why this worker cannot go on; None: it simply ends.
        """
        if left is None:
            self.exchange.forget(self.name)
            return
        with suppress(NasError):  # such as a full disk
            self._show(left)

    def _work(self) -> str:
        pause, last = _SHORTEST, time.monotonic()
        while not self._stopping:
            if self._failure is not None:
                raise self._failure
            self._ticket = self.exchange.take(self.name)
            if self._ticket is not None:
                self._carry_out(self._ticket)
                pause, last = _SHORTEST, time.monotonic()
                continue
            terms = self.exchange.terms()
            if terms is None or terms.closed:
                return "finished"
            if self.idle is not None and time.monotonic() - last > self.idle:
                return "idle"
            time.sleep(pause)
            pause = min(1.5 * pause, _LONGEST)
        return "stopped"

    def _carry_out(self, ticket: Ticket) -> None:
        self._show()
        if self._stopping:
            return
        self.say(f"trial {ticket.job.trial}")
        try:
            self._evaluating = True
            if self._stopping:  # asked to in between
                raise _Stopped
            outcome = self.evaluate(ticket.job)
            self._evaluating = False
        except _Stopped:
            self._evaluating = False
            if self._withdrawn == ticket.id:
                self._ticket = None
                self.say(f"trial {ticket.job.trial} was taken away: this worker was silent")
            return
        delivered = self.exchange.deliver(ticket.id, self.name, outcome)
        self._ticket = None
        note = outcome.failure or "done"
        if not delivered:
            note = "its outcome was refused: it had been given to another"
        self.say(f"trial {ticket.job.trial}: {note}")

    # Its heart.

    def _keep_showing(self) -> None:
        while not self._ended.wait(self.lease / _BEATS):
            try:
                self._show()
                ticket = self._ticket
                if ticket is not None and not self.exchange.holds(ticket.id, self.name):
                    if self._ticket is ticket and self._evaluating:
                        self._withdrawn = ticket.id
                        main = threading.main_thread().ident
                        assert main is not None
                        signal.pthread_kill(main, signal.SIGUSR1)
            except NasError as error:
                self._failure = error
                return

    def _show(self, left: str | None = None) -> None:
        with self._showing:
            self._beat += 1
            ticket = self._ticket
            self.exchange.show(
                Presence(
                    worker=self.name,
                    process=self._process,
                    beat=self._beat,
                    ticket=ticket.id if ticket else None,
                    trial=ticket.job.trial if ticket else None,
                    heard=utc_now(),
                    left=left,
                )
            )

    # What it is told.

    @contextmanager
    def _signals(self) -> Iterator[None]:
        handlers = {
            signal.SIGTERM: self._asked_to_stop,
            signal.SIGALRM: self._grace_is_over,
            signal.SIGUSR1: self._job_is_gone,
        }
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _asked_to_stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True
        if self._evaluating:
            signal.setitimer(signal.ITIMER_REAL, max(self.grace, 1e-3))

    def _grace_is_over(self, number: int, frame: FrameType | None) -> None:
        if self._evaluating:
            raise _Stopped

    def _job_is_gone(self, number: int, frame: FrameType | None) -> None:
        if self._evaluating and self._ticket and self._ticket.id == self._withdrawn:
            raise _Stopped
