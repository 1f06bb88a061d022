"""A GPU that is none, and a TensorRT that is ONNX Runtime: what calls them can be tried on a CPU.

Both have what their documentation names and no more, so that a call of anything else fails.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from enum import Enum, auto
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import onnx
import onnxruntime
import torch
from torch.overrides import TorchFunctionMode

__all__ = ["BUILT", "pretended_gpu", "tensorrt"]

BUILT = b"engine of this GPU:"
"""The first bytes of an engine that was built here; of others nothing can be loaded."""


class _OnCpu(TorchFunctionMode):
    """Makes tensors on the CPU where CUDA is asked for."""

    def __torch_function__(
        self, call: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        given = dict(kwargs or {})
        if str(given.get("device", "")).startswith("cuda"):
            given["device"] = "cpu"
        return call(*args, **given)


class _Event:
    def __init__(self, *, enable_timing: bool) -> None:
        assert enable_timing

    def record(self) -> None: ...

    def synchronize(self) -> None: ...

    def elapsed_time(self, other: _Event) -> float:
        return 0.25


@contextmanager
def pretended_gpu() -> Iterator[None]:
    """Let torch see a GPU whose events are 0.25 ms apart, and whose memory is the machine's."""
    pretended = {
        "is_available": lambda: True,
        "get_device_name": lambda *_: "Pretended GPU",
        "Event": _Event,
        "Stream": lambda: SimpleNamespace(cuda_stream=1),
        "stream": lambda stream: nullcontext(),
    }
    with contextlib.ExitStack() as stack:
        for name, value in pretended.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, value))
        stack.enter_context(_OnCpu())
        yield


class _Mode(Enum):
    INPUT = auto()
    OUTPUT = auto()


class _Engine:
    def __init__(self, graph: bytes) -> None:
        self.session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        # Outputs first, which is an order, too.
        self.ends = [*self.session.get_outputs(), *self.session.get_inputs()]

    def get_tensor_name(self, index: int) -> str:
        return str(self.ends[index].name)

    def get_tensor_shape(self, name: str) -> list[int]:
        return list(next(end.shape for end in self.ends if end.name == name))

    def get_tensor_mode(self, name: str) -> _Mode:
        inputs = {end.name for end in self.session.get_inputs()}
        return _Mode.INPUT if name in inputs else _Mode.OUTPUT

    def create_execution_context(self) -> _Context:
        return _Context(self)


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self._engine = engine
        self._addresses: dict[str, int] = {}

    def set_tensor_address(self, name: str, address: int) -> None:
        self._addresses[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        (given,), (wanted,) = (
            self._engine.session.get_inputs(),
            self._engine.session.get_outputs(),
        )
        images = self._memory(given.name)
        self._memory(wanted.name)[:] = self._engine.session.run(None, {given.name: images})[0]
        return True

    def _memory(self, name: str) -> Any:
        shape = self._engine.get_tensor_shape(name)
        pointer = ctypes.cast(self._addresses[name], ctypes.POINTER(ctypes.c_float))
        return np.ctypeslib.as_array(pointer, shape=tuple(shape))


class _Builder:
    def __init__(self, logger: object) -> None: ...

    def create_network(self, flags: int) -> dict[str, bytes]:
        assert flags == 1 << int(_Creation.STRONGLY_TYPED)
        return {}

    def create_builder_config(self) -> Any:
        return SimpleNamespace(clear_flag=lambda flag: None)

    def build_serialized_network(self, network: dict[str, bytes], config: Any) -> bytes | None:
        return BUILT + network["graph"]


class _Parser:
    def __init__(self, network: dict[str, bytes], logger: object) -> None:
        self._network = network

    def parse(self, graph: bytes) -> bool:
        onnx.checker.check_model(onnx.load_from_string(graph))
        self._network["graph"] = graph
        return True


class _Creation:
    STRONGLY_TYPED = 1


class _Logger:
    ERROR = 1

    def __init__(self, level: int) -> None: ...


class _Runtime:
    def __init__(self, logger: object) -> None: ...

    def deserialize_cuda_engine(self, engine: bytes) -> _Engine | None:
        return _Engine(engine.removeprefix(BUILT)) if engine.startswith(BUILT) else None


tensorrt = SimpleNamespace(
    Builder=_Builder,
    BuilderFlag=SimpleNamespace(TF32=1),
    Logger=_Logger,
    NetworkDefinitionCreationFlag=_Creation,
    OnnxParser=_Parser,
    Runtime=_Runtime,
    TensorIOMode=_Mode,
)
"""What stands for the package where its name is imported."""
