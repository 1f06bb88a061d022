"""PyTorch itself: operator by operator on the CPU, and as a CUDA graph on a GPU.

Graphs are TorchScript without its optimiser, so that what runs is torch's own operators and no
file is unpickled into Python objects.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nas.base.freed_memory import keep_freed_memory
from nas.latency.device import Device
from nas.latency.runtime.runtime import Runtime, Session, Shape

__all__ = ["CUDA", "DTYPES", "TORCH"]

DTYPES = {"fp32": torch.float32, "fp16": torch.float16}
"""Precision of a GPU's runtime -> the type of its numbers."""


def _trace(network: nn.Module, images: torch.Tensor) -> bytes:
    buffer = io.BytesIO()
    traced = torch.jit.trace(network, images, check_trace=False)  # type: ignore[no-untyped-call]
    torch.jit.save(traced, buffer)
    return buffer.getvalue()


def _load(graph: bytes, where: str) -> Callable[[torch.Tensor], torch.Tensor]:
    # A latency must not depend on whether this process has trained before.
    keep_freed_memory()
    network = torch.jit.load(io.BytesIO(graph), map_location=where)  # type: ignore[no-untyped-call]

    def run(images: torch.Tensor) -> torch.Tensor:
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            scores: torch.Tensor = network(images)
            return scores

    return run


def _write(network: nn.Module, shape: Shape, batch: int, precision: str) -> bytes:
    # Images stay NCHW: channels last was measured, and no faster for a small batch on a CPU.
    return _trace(network, torch.zeros(batch, *shape))


def _read(graph: bytes, device: Device) -> Session:
    network = _load(graph, "cpu")

    def infer(images: NDArray[np.float32]) -> NDArray[np.float32]:
        before = torch.get_num_threads()
        torch.set_num_threads(device.threads)
        try:
            with torch.inference_mode():
                scores: NDArray[np.float32] = network(torch.from_numpy(images)).numpy()
                return scores
        finally:
            torch.set_num_threads(before)

    return infer


def _write_cuda(network: nn.Module, shape: Shape, batch: int, precision: str) -> bytes:
    # Traced on the GPU: a trace keeps the device of every tensor that a block makes.
    batched = (batch, *shape)
    dtype = DTYPES[precision]
    return _trace(network.to("cuda", dtype), torch.zeros(batched, device="cuda", dtype=dtype))


class _Replay:
    """A network captured as a CUDA graph, so that no launch waits for Python.

    device_ms: of the last call, between events around the network alone, without the copies.
    """

    def __init__(self, graph: bytes, device: Device) -> None:
        self._network = _load(graph, "cuda")
        self._dtype = DTYPES[device.precision]
        self._graph: torch.cuda.CUDAGraph | None = None
        self._before = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        self._after = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        self.device_ms = 0.0

    def _capture(self, images: torch.Tensor) -> torch.cuda.CUDAGraph:
        self._images = images.clone()
        graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        # Convolutions would take TF32 by themselves, which is not fp32.
        with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(3):
                    self._network(self._images)
            torch.cuda.current_stream().wait_stream(stream)
            with torch.cuda.graph(graph):
                self._scores = self._network(self._images)
        return graph

    @torch.inference_mode()
    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run one inference; a batch of another shape is captured anew."""
        arrived = torch.from_numpy(images).to("cuda", self._dtype)
        if self._graph is None or self._images.shape != arrived.shape:
            self._graph = self._capture(arrived)
        self._images.copy_(arrived)
        self._before.record()
        self._graph.replay()
        self._after.record()
        self._after.synchronize()
        self.device_ms = self._before.elapsed_time(self._after)
        scores: NDArray[np.float32] = self._scores.float().cpu().numpy()
        return scores


TORCH = Runtime(
    name="torch",
    precisions=("fp32",),
    # An OpenMP team of one is the thread that calls.
    clock="thread",
    packages=("torch",),
    install="pip install attention-nas",
    write=_write,
    read=_read,
)

CUDA = Runtime(
    name="cuda",
    precisions=("fp32", "fp16"),
    clock="device",
    packages=("torch",),
    install="pip install attention-nas",
    write=_write_cuda,
    read=_Replay,
)
