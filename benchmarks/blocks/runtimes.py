"""Which runtime runs which block, and how closely it agrees with torch.

    python -m benchmarks.blocks.runtimes [DEVICE ...]

A device is a runtime, or as in `onnxruntime-int8` one with a precision. For each block a small
network around it: a convolution, the block on a map of 32 channels and 16 x 16, another
convolution, a classifier; batch norm as if trained. Prints the largest difference of any score
from torch's, as a share of the largest score, for a batch of 2, and below the table the reason
where there is none. The last line is the share of the process's CPU time that the calling
thread saw. Runtimes that are not installed are left out.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nas.base.errors import MeasurementError
from nas.blocks import BLOCKS, make_block
from nas.latency.device import Device
from nas.latency.runtime import RUNTIMES, Session, device_named
from nas.latency.runtime.runtime import first_line

CHANNELS, SIDE, BATCH = 32, 16, 2
PLAIN = "(none)"


def network(block: str) -> nn.Module:
    torch.manual_seed(0)
    inserted = (
        nn.Identity()
        if block == PLAIN
        else make_block(block, channels=CHANNELS, height=SIDE, width=SIDE)
    )
    layers = nn.Sequential(
        nn.Conv2d(3, CHANNELS, 3, stride=4, padding=1, bias=False),
        nn.BatchNorm2d(CHANNELS),
        nn.ReLU6(),
        inserted,
        nn.Conv2d(CHANNELS, CHANNELS, 1, bias=False),
        nn.BatchNorm2d(CHANNELS),
        nn.ReLU6(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(CHANNELS, 10),
    )
    with torch.no_grad():
        # Blocks that end in a zero would hide what they compute.
        for parameter in inserted.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for _ in range(10):
            layers.train()(torch.randn(16, 3, 4 * SIDE, 4 * SIDE))
    return layers.eval()


@dataclass(frozen=True)
class Found:
    """difference: relative; None with a failure. seen: share of the CPU time."""

    difference: float | None = None
    seen: float = 0.0
    failure: str = ""


def seen(session: Session, images: NDArray[np.float32]) -> float:
    for _ in range(10):
        session(images)
    thread, process = time.thread_time_ns(), time.process_time_ns()
    for _ in range(200):
        session(images)
    return (time.thread_time_ns() - thread) / (time.process_time_ns() - process)


def tried(device: Device, block: str) -> Found:
    torch.set_num_threads(1)
    original, runtime = network(block), RUNTIMES[device.runtime]
    shape = (BATCH, 3, 4 * SIDE, 4 * SIDE)
    images = np.random.default_rng(0).standard_normal(shape, np.float32)
    with torch.no_grad():
        wanted = original(torch.from_numpy(images)).numpy()
    try:
        graph = runtime.convert(original, shape[1:], device.batch, device.precision)
        session = runtime.load(graph, device)
    except MeasurementError as error:
        return Found(failure=str(error))
    try:
        scores = session(images)
    except Exception as error:  # each runtime has errors of its own
        return Found(failure=f"stops: {first_line(error)}")
    share = seen(session, images) if block == PLAIN else 0.0
    return Found(float(np.abs(scores - wanted).max() / np.abs(wanted).max()), share)


def all_blocks(device: Device) -> Iterator[Found]:
    """In a process of their own, and another one after a crash."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(1, context)
    for block in (PLAIN, *BLOCKS):
        try:
            yield pool.submit(tried, device, block).result()
        except BrokenProcessPool:
            yield Found(failure="crashes the process")
            pool = ProcessPoolExecutor(1, context)
    pool.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("devices", nargs="*", default=list(RUNTIMES))
    table: dict[str, list[Found]] = {}
    for name in parser.parse_args().devices:
        device = device_named(f"{name}-batch{BATCH}")
        try:
            print(f"{name}: {RUNTIMES[device.runtime].fingerprint()}", flush=True)
        except MeasurementError as error:
            print(f"left out: {error}")
            continue
        table[name] = list(all_blocks(device))
    print(f"\n{'block':<10}" + "".join(f"{name:>18}" for name in table))
    for number, block in enumerate((PLAIN, *BLOCKS)):
        cells = (found[number].difference for found in table.values())
        texts = ("-" if cell is None else f"{cell:.0e}" for cell in cells)
        print(f"{block:<10}" + "".join(f"{text:>18}" for text in texts))
    print(f"{'clock':<10}" + "".join(f"{found[0].seen:>18.1%}" for found in table.values()))
    print()
    for name, found in table.items():
        for block, one in zip((PLAIN, *BLOCKS), found, strict=True):
            if one.failure:
                print(f"{name}, {block}: {one.failure}")


if __name__ == "__main__":
    main()
