"""Executors: they carry out the jobs of a search, and decide nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

from nas.execution.observer import Observer
from nas.study.record import Job, Outcome

if TYPE_CHECKING:  # a worker that evaluates has no use for Optuna
    from nas.strategy.search import Search

__all__ = ["Executor", "LatencyMachine", "lost_with_worker", "on_this_machine"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


def lost_with_worker(job: Job, reason: str) -> Outcome:
    """Return the outcome of a job whose worker died with it.

    The search decides whether it is given out again.
    reason: how the worker died.
    """
    times = {0: "once", 1: "twice"}.get(job.attempt, f"{job.attempt + 1} times")
    return Outcome(failure=f"its worker died {times} ({reason})", lost=True)


class Executor(Protocol):
    """Whoever asks a search for jobs, carries them out, and tells what came of them."""

    def run(self, search: Search, observer: Observer) -> None:
        """Carry out jobs until `search.finished`.

        Raises NasError when no job can be carried out. KeyboardInterrupt passes through after the
        workers are stopped.
        """


class LatencyMachine(Protocol):
    """The machine that latencies are of: it calls a function there, and returns its value."""

    def __call__(
        self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T: ...


def on_this_machine(function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call a function here: the latency machine that is this one."""
    return function(*args, **kwargs)
