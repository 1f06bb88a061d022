"""The operations of a forward pass, inside modules and between them: what was made of what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["Operation", "Recorder", "tensors_in"]

_ADDING = ("add", "add_", "__add__", "__iadd__", "__radd__")
_MULTIPLYING = ("mul", "mul_", "__mul__", "__imul__", "__rmul__")


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One operation on tensors, which are compared by identity.

    path: the module in whose own forward it stands.
    """

    path: str
    name: str
    read: tuple[Tensor, ...]
    gave: Tensor

    @property
    def convolves(self) -> bool:
        """True for convolutions, transposed ones too."""
        return self.name.startswith("conv")

    @property
    def added(self) -> tuple[Tensor, ...]:
        """The feature maps of one shape that it adds; none where it does something else."""
        maps = self._maps
        return maps if self.name in _ADDING and len(maps) > 1 else ()

    @property
    def origins(self) -> tuple[Tensor, ...]:
        """The feature maps of that shape that a norm, activation or gate reads."""
        maps = self._maps
        alike = len(maps) == 1 or self.name in _MULTIPLYING
        return maps if alike and not self.convolves else ()

    @property
    def _maps(self) -> tuple[Tensor, ...]:
        if self.gave.ndim != 4:
            return ()
        return tuple(tensor for tensor in self.read if tensor.shape == self.gave.shape)


class Recorder(TorchFunctionMode):
    """A record of the operations while it is active; it keeps their tensors, so ids stay theirs.

    A sum in place (`x += shortcut`) gives a tensor of its own, as any other sum.

    operations: by the id of what they gave, in order.
    readers: id of a tensor -> how many operations read it, those in place left out.
    changes: (id of a tensor, number of calls completed before) of what was changed in place.
    """

    def __init__(self, calls: Sequence[object], running: Sequence[str]) -> None:
        """Begin with nothing.

        calls: the calls of modules that are complete; grows while this records.
        running: paths of the modules whose forward is on its way, the innermost last.
        """
        super().__init__()
        self.operations: dict[int, Operation] = {}
        self.readers: Counter[int] = Counter()
        self.changes: list[tuple[int, int]] = []
        self._calls = calls
        self._running = running
        self._kept: list[Tensor] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        arguments = list(tensors_in((args, kwargs or {})))
        versions = [argument._version for argument in arguments]
        result = func(*args, **(kwargs or {}))
        for argument, version in zip(arguments, versions, strict=True):
            if argument._version != version:
                self.changes.append((id(argument), len(self._calls)))
        if not isinstance(result, Tensor | tuple | list):
            return result  # a question such as x.shape
        if len(arguments) > 1 and isinstance(result, Tensor) and arguments[0] is result:
            result = result.view_as(result)
        for argument in arguments:
            if argument is not result:
                self.readers[id(argument)] += 1
                self._kept.append(argument)
        path = self._running[-1] if self._running else ""
        for tensor in tensors_in(result):
            if not any(tensor is argument for argument in arguments):
                self.operations[id(tensor)] = Operation(
                    path, func.__name__, tuple(arguments), tensor
                )
        return result


def tensors_in(values: object) -> Iterator[Tensor]:
    """Yield the tensors in nested tuples, lists and mappings."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, tuple | list | dict):
        for value in values.values() if isinstance(values, dict) else values:
            yield from tensors_in(value)
