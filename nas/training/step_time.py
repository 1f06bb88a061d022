"""The time of a training on this machine, told from a few of its steps."""

from __future__ import annotations

import time

import torch

from nas.base.size import Size
from nas.training.device import best_device
from nas.training.loop import Training

__all__ = ["images_to_time", "seconds_of_step"]

_PIXELS = 64 * 64 * 64
"""Pixels of a timed batch, at most: whole batches of small images, a few images of large ones."""
_LEAST = 4


def images_to_time(batch_size: int, size: Size) -> int:
    """Return how many images of a batch to time by; time is about in proportion to them."""
    return min(batch_size, max(_LEAST, _PIXELS // size.pixels))


def seconds_of_step(training: Training, *, threads: int, steps: int = 2) -> float:
    """Time some steps of a training, after one that is not timed; it has gone on by so many.

    On a CPU with one thread it is that thread's own time, as on a machine where nothing else runs.
    training: of a recipe in steps.
    threads: of torch, while this goes on.
    Raises TrainingError when the loss is not finite.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        training.run(training.spent + 1)
        _wait()
        alone = threads == 1 and best_device().type == "cpu"
        clock = time.thread_time if alone else time.perf_counter
        started = clock()
        training.run(training.spent + steps)
        _wait()
        return (clock() - started) / steps
    finally:
        torch.set_num_threads(before)


def _wait() -> None:
    """Wait for a GPU, which is given work and does it later."""
    kind = best_device().type
    if kind != "cpu":
        getattr(torch, kind).synchronize()
