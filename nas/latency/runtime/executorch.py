"""ExecuTorch, PyTorch's runtime for phones and boards, with its XNNPACK delegate."""

# The package is optional, and has no types.
# mypy: disable-error-code="import-untyped, import-not-found"

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nas.base.errors import MeasurementError
from nas.latency.device import Device
from nas.latency.runtime.runtime import Runtime, Session, Shape

__all__ = ["EXECUTORCH"]

_pool: int | None = None
"""The number of threads of the pool that loaded graphs hold on to."""


def _write(network: nn.Module, shape: Shape, batch: int, precision: str) -> bytes:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    images = torch.zeros(batch, *shape)
    exported = torch.export.export(network, (images,))
    lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
    return bytes(lowered.to_executorch().buffer)


def _read(graph: bytes, device: Device) -> Session:
    from executorch.runtime import Runtime as Executor

    _fix_pool(device.threads)
    program = Executor.get().load_program(graph)
    method = program.load_method("forward")

    def infer(images: NDArray[np.float32]) -> NDArray[np.float32]:
        # It reads the graph in place: without this name it would be gone.
        assert graph
        scores: NDArray[np.float32] = method.execute([torch.from_numpy(images)])[0].numpy()
        return scores

    return infer


def _fix_pool(threads: int) -> None:
    """Give the process's one pool its size, while no graph has been loaded that uses it.

    Left alone it has a thread for each core, and a new pool would pull the old one away from
    under loaded graphs.
    """
    from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool

    global _pool
    if _pool is None:
        _unsafe_reset_threadpool(threads)
        _pool = threads
    if _pool != threads:
        raise MeasurementError(
            f"executorch runs with {_pool} threads in this process already; "
            f"measure with {threads} in another one"
        )


EXECUTORCH = Runtime(
    name="executorch",
    precisions=("fp32",),
    # A pool of one is the thread that calls.
    clock="thread",
    packages=("executorch",),
    install='pip install "attention-nas[executorch]"',
    write=_write,
    read=_read,
)
