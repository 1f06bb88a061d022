"""Jobs in this process, one after another: for networks that no other process can make."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from nas.base.freed_memory import return_freed_memory
from nas.execution.evaluator import Evaluator, EvaluatorSpec
from nas.execution.observer import Observer
from nas.strategy.search import Search

__all__ = ["InProcessExecutor"]


class InProcessExecutor:
    """The executor that evaluates by itself.

    spec: what its evaluator is made from.
    """

    def __init__(self, spec: EvaluatorSpec) -> None:
        self.spec = spec

    def run(self, search: Search, observer: Observer) -> None:
        """Carry out jobs until `search.finished`.

        Raises StorageError when weights cannot be read or written.
        """
        with _threads(self.spec.proxy.threads):
            evaluate = Evaluator(self.spec, worker=0).evaluate
            while True:
                job = search.ask()
                if search.finished:
                    return
                assert job is not None, "a search that is not finished has something to do"
                observer.started(job)
                observer.tick(search)
                record = search.tell(job, evaluate(job))
                assert record is not None, "a finished job is not lost"
                observer.finished(record)


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Compute with so many threads, as a worker of its own would."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        return_freed_memory()
