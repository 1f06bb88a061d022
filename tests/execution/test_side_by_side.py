from __future__ import annotations

import pytest

from nas.execution.side_by_side import Measured, SideBySide, choose_number

GIB = 2**30


class FakeGpu:
    """Trainings that wait for the processor until the GPU is full, and a memory that ends.

    alone: images a second of one training. full: of as many as there is room for. each: bytes.
    """

    def __init__(self, alone: float, full: float, each: int, memory: int | None) -> None:
        self.alone, self.full, self.each, self.memory = alone, full, each, memory
        self.tried: list[int] = []

    def __call__(self, number: int) -> Measured | None:
        self.tried.append(number)
        if self.memory is not None and number * self.each > self.memory:
            return None
        images = min(number * self.alone, self.full)
        return Measured(number, images, number * self.each, self.memory)


@pytest.mark.parametrize(
    "gpu, most, number, tried, why",
    [
        # Small networks: until the GPU is full.
        (FakeGpu(1000, 6500, GIB, 80 * GIB), 16, 8, [1, 2, 4, 8, 16], r"with 16 .* \+0%"),
        # Large ones fill it alone.
        (FakeGpu(1000, 1000, GIB, 80 * GIB), 16, 1, [1, 2], r"with 2 it would be \+0%"),
        # What twice as many would take is known before they are begun.
        (FakeGpu(1000, 9000, 2 * GIB, 10 * GIB), 16, 4, [1, 2, 4], "memory is too small for 8"),
        (FakeGpu(1000, 9000, 6 * GIB, 10 * GIB), 16, 1, [1], "memory is too small for 2"),
        # Where the device does not say what is free, one that fails tells it.
        (FakeGpu(1000, 9000, 1, None), 6, 4, [1, 2, 4], "cores are for 6"),
        (FakeGpu(1000, 9000, GIB, 80 * GIB), 1, 1, [1], "cores are for 1"),
        # Nothing is known where not even one goes: a search says then what is wrong with it.
        (FakeGpu(1000, 9000, 11 * GIB, 10 * GIB), 16, 1, [1], "it could not be measured"),
    ],
)
def test_trainings_at_a_time_are_as_many_as_a_gpu_takes_best(
    gpu: FakeGpu, most: int, number: int, tried: list[int], why: str
) -> None:
    chosen = choose_number(gpu, most)
    assert (chosen.number, gpu.tried) == (number, tried)
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(str(chosen))


def test_those_in_streams_are_said_to_be_and_compared_by_their_images() -> None:
    gpu = FakeGpu(1000, 6500, GIB, 80 * GIB)
    chosen = choose_number(gpu, 16, "streams")
    assert chosen.images == 6500 and chosen.placement == "streams"
    assert str(chosen).startswith("8 trainings at a time on each GPU in streams of one process: ")
    assert choose_number(lambda number: None, 16).images == 0


def test_one_that_fails_beside_others_leaves_half_as_many() -> None:
    def measure(number: int) -> Measured | None:
        return Measured(number, 100.0 * number, 0, None) if number < 4 else None

    chosen = choose_number(measure, 32)
    assert chosen.number == 2
    assert str(chosen) == (
        "2 trainings at a time on each GPU: 4 failed; images a second with 1: 100, 2: 200"
    )
    assert str(SideBySide(1, "it could not be measured", ())) == (
        "one training at a time on each GPU: it could not be measured"
    )
