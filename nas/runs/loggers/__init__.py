"""What happens in a run, told to the tools that people follow trainings with: `loggers:`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from nas.base.errors import SpecError
from nas.base.optional_package import install
from nas.execution.observer import Observer, ObserverPair, SilentObserver
from nas.runs.run import Run
from nas.spec.architecture import Architecture
from nas.spec.objective import objectives_named
from nas.spec.width import describe_reference
from nas.strategy.search import Search
from nas.study.record import COMPLETE, PAUSED, Record

__all__ = ["LOGGERS", "LoggingObserver", "Sink", "check_loggers", "with_loggers"]

LOGGERS = ("tensorboard", "mlflow", "wandb")
"""The modules of this package, and the libraries that they need: each `open`s a Sink."""

_FIGURES = ("loss", "accuracy", "latency_ms", "params", "macs", "seconds", "train_seconds")
_COUNTED = "trials"


class Sink(Protocol):
    """One tool. What it raises is said once, and then it is left alone: no search ends by it."""

    def figures(self, values: Mapping[str, float], trial: int) -> None:
        """Take figures of a trial; `a/b` is figure b of group a."""

    def text(self, name: str, text: str, trial: int) -> None:
        """Take a note on a trial."""

    def picture(self, path: Path) -> None:
        """Take a PNG."""

    def close(self, *, finished: bool) -> None:
        """Write what is left.

        finished: False when the search was stopped or has failed.
        """


def check_loggers(names: Sequence[str]) -> None:
    """Raise SpecError where a library is not installed."""
    for name in names:
        if find_spec(name) is None:
            raise SpecError(
                f"logger {name!r} is not installed: {install(name)}, or leave it out of loggers"
            )


@contextmanager
def with_loggers(run: Run, observer: Observer) -> Iterator[Observer]:
    """Yield an observer, and beside it the loggers of a run; closed however the search ends.

    Raises SpecError when a tool cannot be opened.
    """
    check_loggers(run.file.loggers)
    with ExitStack() as stack:
        for name in run.file.loggers:
            sink: Sink = import_module(f"nas.runs.loggers.{name}").open(run)
            logger = LoggingObserver(name, sink, run, observer)
            stack.push(logger.close)
            observer = ObserverPair(observer, logger)
        yield observer


class LoggingObserver(SilentObserver):
    """An observer that tells a sink what becomes of each trial, and the best so far.

    name: of the tool.
    run: whose first objective is the measure of the best.
    observer: hears when the tool has failed.
    """

    def __init__(self, name: str, sink: Sink, run: Run, observer: Observer) -> None:
        self._name = name
        self._sink: Sink | None = sink
        self._run = run
        self._observer = observer
        self._first = objectives_named(run.file.search.objectives)[0]
        self._best: float | None = None
        self._settled: set[int] = set()
        self._resumed = False

    def tick(self, search: Search) -> None:
        if self._resumed:
            return
        self._resumed = True  # a resumed run has a past
        for record in search.records:
            self._note(record)

    def finished(self, record: Record) -> None:
        self._note(record)
        group = f"rung{record.rung + 1}" if record.state == PAUSED else "trial"
        figures = {name: getattr(record, name) for name in _FIGURES}
        values = {
            f"{group}/{name}": float(figure)
            for name, figure in figures.items()
            if figure is not None
        }
        if self._best is not None:
            values[f"best/{self._first.name}"] = self._best
        values[f"{_COUNTED}/settled"] = float(len(self._settled))
        text = str(Architecture.from_json(record.architecture))
        if record.reference:
            text = f"{record.reference}, {describe_reference(record.reference)}: {text}"
        if record.failure:
            text = f"{record.state}, {record.failure}: {text}"
        self._tell(lambda sink: sink.figures(values, record.trial))
        self._tell(lambda sink: sink.text("network", text, record.trial))

    def close(self, kind: object, error: object, trace: object) -> None:
        """Send the last picture and close the sink: the search has ended, or has failed."""
        picture = self._run.path / "front.png"
        if picture.exists():
            self._tell(lambda sink: sink.picture(picture))
        self._tell(lambda sink: sink.close(finished=kind is None))

    def _note(self, record: Record) -> None:
        if record.finished is not None:
            self._settled.add(record.trial)
        value = getattr(record, self._first.name)
        if record.state != COMPLETE or value is None:
            return
        sign = self._first.sign
        if self._best is None or sign * value < sign * self._best:
            self._best = float(value)

    def _tell(self, what: Callable[[Sink], None]) -> None:
        if self._sink is None:
            return
        try:
            what(self._sink)
        except Exception as error:  # of a network, a server or a full disk: not the search's
            self._sink = None
            self._observer.stage(f"{self._name} has failed and is told no more: {error}")
