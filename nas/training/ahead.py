"""The next batch, made while the GPU works at this one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

__all__ = ["MAKING", "Ahead"]

MAKING = threading.Lock()
"""Held while a batch is made beside a step, of any training of this process: CUDA captures nothing
while another thread allocates."""

Batch = tuple[Tensor, Tensor]


class Ahead:
    """A maker of batches that is always one step ahead, in a thread and a stream of its own.

    make: (step) -> its images and targets; nothing but the step may decide what they are, and it
        must leave torch's global random stream alone.
    device: that they are made for.
    """

    def __init__(self, make: Callable[[int], Batch], device: torch.device) -> None:
        self._make = make
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._coming: tuple[int, Future[Batch]] | None = None

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step, and begin with that of the next. Raises what `make` does."""
        if self._coming is None or self._coming[0] != step:  # the first, or that of a state
            self._coming = step, self._thread.submit(self._made, step)
        batch = self._coming[1].result()
        self._coming = step + 1, self._thread.submit(self._made, step + 1)
        return batch if self._stream is None else self._handed_over(batch)

    def _made(self, step: int) -> Batch:
        if self._stream is None:
            return self._make(step)
        with MAKING, torch.cuda.stream(self._stream):
            batch = self._make(step)
            # Waited for here, where a thread has nothing else to do.
            self._stream.synchronize()
            return batch

    def _handed_over(self, batch: Batch) -> Batch:
        """Tell the memory's owner that another stream reads it now."""
        current = torch.cuda.current_stream()
        for tensor in batch:
            tensor.record_stream(current)
        return batch
