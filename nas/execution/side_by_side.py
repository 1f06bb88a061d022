"""The number of trainings at a time that uses a GPU best, measured where it is needed.

Small networks on small images leave a GPU idle: it waits for the processor, which one process keeps
from starting the next kernel. Processes beside each other fill it, until they take from each other;
and so do trainings in turn in one, where a step is launched at once (CUDA graphs).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nas.spec.side_by_side import Placed

__all__ = ["Measured", "SideBySide", "choose_number"]

_WORTH_IT = 1.1
"""The least speed of twice as many trainings, as a share, that is worth their memory."""
_OF_FREE = 0.9
"""The share of a device's memory that trainings may fill: its allocator leaves gaps."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The throughput and the memory of so many trainings at a time.

    images: a second, of all of them together.
    taken: bytes of the device's memory, by all of them.
    free: of it, bytes, before there were any; None where the device does not say.
    """

    number: int
    images: float
    taken: int
    free: int | None


@dataclass(frozen=True, slots=True)
class SideBySide:
    """The number of trainings at a time, and why it is not twice as large.

    measured: all that was tried, in order.
    placement: where they were.
    """

    number: int
    why: str
    measured: tuple[Measured, ...]
    placement: Placed = "processes"

    @property
    def images(self) -> float:
        """The images a second of all of them together; 0 where nothing could be measured."""
        return next((one.images for one in self.measured if one.number == self.number), 0.0)

    def __str__(self) -> str:
        rates = ", ".join(f"{one.number}: {one.images:,.0f}" for one in self.measured)
        several = f"{self.number} trainings" if self.number > 1 else "one training"
        beside = f"; images a second with {rates}" if rates else ""
        where = " in streams of one process" if self.placement == "streams" else ""
        return f"{several} at a time on each GPU{where}: {self.why}{beside}"


def choose_number(
    measure: Callable[[int], Measured | None], most: int, placement: Placed = "processes"
) -> SideBySide:
    """Choose how many trainings go at a time: twice as many, as long as that is worth it.

    measure: what so many come to; None: memory ran out, or one of them failed.
    most: for any other reason, such as the cores; at least one.
    placement: where they are.
    With none measured at all, it is one.
    """
    measured: tuple[Measured, ...] = ()
    number = 1

    def chosen(number: int, why: str) -> SideBySide:
        return SideBySide(number, why, measured, placement)

    while True:
        throughput = measure(number)
        if throughput is None:
            why = f"{number} failed" if measured else "it could not be measured"
            return chosen(max(1, number // 2), why)
        measured += (throughput,)
        if len(measured) > 1 and throughput.images < _WORTH_IT * measured[-2].images:
            faster = throughput.images / measured[-2].images - 1
            return chosen(number // 2, f"with {number} it would be {faster:+.0%}")
        if 2 * number > most:
            return chosen(number, f"cores are for {most}")
        if throughput.free is not None and 2 * throughput.taken > _OF_FREE * throughput.free:
            return chosen(number, f"memory is too small for {2 * number}")
        number *= 2
