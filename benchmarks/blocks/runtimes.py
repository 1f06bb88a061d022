"""Which runtime runs which block, and how closely it agrees with torch.

    python -m benchmarks.blocks.runtimes [WAY ...]

A way is a runtime, as in `onnxruntime-int8` one with a precision, or a file of torch, `pt2` or
`torchscript`. For each block a small network around it: a convolution, the block on a map of 32
channels and 16 x 16, another convolution, a classifier; batch norm as if trained. Prints the
largest difference of any score from torch's, as a share of the largest score, for a batch of 2,
and below the table the reason where there is none. The last line is the share of the process's CPU
time that the calling thread saw. Runtimes that are not installed are left out.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nas.base.errors import MeasurementError, NasError
from nas.base.size import Size
from nas.blocks import BLOCKS, make_block
from nas.export.target.torch_files import to_pt2, to_torchscript
from nas.export.verify import load_pt2, load_torchscript
from nas.latency.runtime import RUNTIMES, Session, device_named, to_onnx
from nas.latency.runtime.runtime import first_line

CHANNELS, SIDE, BATCH = 32, 16, 2
PLAIN = "(none)"
SHAPE = (3, 4 * SIDE, 4 * SIDE)
_FILES = {"pt2": (to_pt2, load_pt2), "torchscript": (to_torchscript, load_torchscript)}
WAYS = (*RUNTIMES, *_FILES)


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


def fingerprint(way: str) -> str:
    """Return the versions of what runs. Raises MeasurementError where it is not installed."""
    if way in _FILES:
        return f"torch {torch.__version__}"
    return RUNTIMES[device_named(way).runtime].fingerprint()


def opened(way: str, original: nn.Module) -> Session:
    """Write a network, and open what was written. Raises NasError."""
    if way in _FILES:
        write, load = _FILES[way]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "network")
            path.write_bytes(write(original, Size.of(SHAPE[1])))
            return load(path)
    device = device_named(f"{way}-batch{BATCH}")
    runtime = RUNTIMES[device.runtime]
    graph = runtime.convert(original, SHAPE, device.batch, device.precision)
    return runtime.load(graph, device)


def graph_around(block: str) -> bytes:
    """Write the network around a block in ONNX, for one image."""
    return to_onnx(network(block), SHAPE, dynamic_batch=False)


def tried(way: str, block: str) -> Found:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # in a process of its own: converters warn of what they do
    original = network(block)
    images = np.random.default_rng(0).standard_normal((BATCH, *SHAPE), np.float32)
    with torch.no_grad():
        wanted = original(torch.from_numpy(images)).numpy()
    try:
        session = opened(way, original)
    except NasError as error:
        return Found(failure=str(error))
    try:
        scores = session(images)
    except Exception as error:  # each runtime has errors of its own
        return Found(failure=f"stops: {first_line(error)}")
    share = seen(session, images) if block == PLAIN else 0.0
    return Found(float(np.abs(scores - wanted).max() / np.abs(wanted).max()), share)


class InOwnProcess:
    """A process that blocks are tried in, and another one after a crash."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, self._context)

    def tried(self, way: str, block: str) -> Found:
        try:
            return self._pool.submit(tried, way, block).result()
        except BrokenProcessPool:
            self._pool = ProcessPoolExecutor(1, self._context)
            return Found(failure="crashes the process")

    def close(self) -> None:
        self._pool.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("ways", nargs="*", default=list(WAYS))
    table: dict[str, list[Found]] = {}
    own = InOwnProcess()
    for way in parser.parse_args().ways:
        try:
            print(f"{way}: {fingerprint(way)}", flush=True)
        except MeasurementError as error:
            print(f"left out: {error}")
            continue
        table[way] = [own.tried(way, block) for block in (PLAIN, *BLOCKS)]
    own.close()
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
