"""Trainings of one process side by side: each in a thread and a stream of its own, a step in turn.

Python runs one thread at a time, so that threads at will would only mix their random streams. In
turns each training comes to what it comes to alone, bit for bit on a CPU, while a GPU works at the
steps of all of them; images lie on it once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from nas.execution.evaluator import Evaluator, EvaluatorSpec
from nas.study.record import Job, Outcome
from nas.training.device import own_stream
from nas.training.precision import backend_flags
from nas.training.turns import Turns

__all__ = ["evaluators"]


@contextmanager
def evaluators(
    spec: EvaluatorSpec, *, worker: int, trainings: int
) -> Iterator[list[Callable[[Job], Outcome]]]:
    """Yield what evaluates jobs: as many as `trainings`, each for a thread of its own.

    trainings: at a time; those of several take turns.
    Raises as `Evaluator` does.
    """
    first = Evaluator(spec, worker=worker)
    if trainings == 1:
        yield [first.evaluate]
        return
    device, turns = first.setting.device, Turns()
    # One for all: those that a training sets by itself it takes back at its end, from others, too.
    with backend_flags(spec.proxy.computed_in, device):
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # until images are there, for every stream
        yield [_in_own_stream(first.in_turns(turns), device) for _ in range(trainings)]


def _in_own_stream(evaluator: Evaluator, device: torch.device) -> Callable[[Job], Outcome]:
    stream = own_stream(device)

    def evaluate(job: Job) -> Outcome:
        with stream():
            return evaluator.evaluate(job)

    return evaluate
