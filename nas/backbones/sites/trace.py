"""A trace of one image through a network: which modules are called, and who reads what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from nas.backbones.sites.operations import Operation, Recorder, tensors_in
from nas.base.size import Resolution, Size

__all__ = ["WITHOUT_VALUES", "Call", "Trace", "first_weight", "holds", "is_convolution"]

WITHOUT_VALUES = (
    "sites are found without values, so that forward may not ask for any (item(), numpy(), an `if` "
    "on a tensor)"
)
"""The reason to give where torch refuses an operation on its meta device."""


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One call of a module; its tensors are compared by identity.

    read: the first of the tensors that it reads.
    reads: how many these are.
    number: its place in the order of completion, in the whole network.
    """

    path: str
    module: nn.Module
    read: Tensor
    gave: Tensor
    reads: int
    number: int

    def acts_on(self, tensor: Tensor) -> bool:
        """Say whether the call reads a tensor and does something with it."""
        return self.read is tensor and self.gave is not tensor

    @property
    def keeps_shape(self) -> bool:
        """True where the call gives a feature map of the shape that it reads."""
        return self.read.shape == self.gave.shape and self.read.ndim == 4


@dataclass(frozen=True, slots=True)
class Trace:
    """The calls of modules from tensor to tensor, in order of completion.

    readers: id of a tensor -> how many operations read it, those in place left out.
    changes: (id of a tensor, number of calls completed before) of what was changed in place.
    operations: by the id of what they gave, in order.
    plain: paths of the convolutions that compute with weights of their own as they are stored.
    """

    calls: list[Call]
    readers: Counter[int]
    changes: list[tuple[int, int]]
    operations: dict[int, Operation]
    plain: frozenset[str]

    @classmethod
    def of(cls, network: nn.Module, resolution: Resolution) -> Trace:
        """Trace on torch's meta device: shapes and identities, no arithmetic, no memory."""
        calls: list[Call] = []
        running: list[str] = []

        def entering(path: str) -> Callable[..., None]:
            return lambda _module, _inputs: running.append(path)

        def noting(path: str) -> Callable[..., None]:
            def note(module: nn.Module, args: Any, kwargs: Any, output: object) -> None:
                running.pop()
                read = list(tensors_in((args, kwargs)))
                if read and isinstance(output, Tensor):
                    calls.append(Call(path, module, read[0], output, len(read), len(calls)))

            return note

        kind = first_weight(network).dtype
        plain = _plain_convolutions(network)  # moving to another device unties what is shared
        # Tensors of inference mode, in which a network may be built, do not count their changes.
        with torch.inference_mode(False), torch.no_grad():
            network = network.to("meta").eval()
            for path, module in network.named_modules():
                module.register_forward_pre_hook(entering(path))
                module.register_forward_hook(noting(path), with_kwargs=True)
            with Recorder(calls, running) as seen:
                network(torch.zeros(1, *Size.of(resolution).shape, device="meta", dtype=kind))
        return cls(calls, seen.readers, seen.changes, seen.operations, plain)

    def within(self, path: str) -> Trace:
        """Return the calls of a module and inside it."""
        return self.where(lambda call: holds(path, call.path))

    def where(self, keeps: Callable[[Call], bool]) -> Trace:
        """Return some of the calls; who reads what stays as it is in the whole network."""
        return replace(self, calls=[call for call in self.calls if keeps(call)])

    def before_again(self, path: str) -> Trace:
        """Return the calls up to the first end of a module, of one that is called several times."""
        first = next((call.number for call in self.calls if call.path == path), None)
        return self.where(lambda call: first is None or call.number <= first)

    def without_shortcuts(self) -> Trace:
        """Leave out shortcuts with weights.

        Of several branches that read a module's input and nothing else, they have fewer
        convolutions.
        """
        shortcuts = [path for own in self.calls for path in self._shortcuts(own)]
        return self.where(lambda call: not any(holds(path, call.path) for path in shortcuts))

    def _shortcuts(self, own: Call) -> list[str]:
        inside = [call for call in self.within(own.path).calls if call is not own]
        reading = [call for call in inside if call.acts_on(own.read) and call.reads == 1]
        branches = [
            call
            for call in reading
            if not any(other is not call and holds(other.path, call.path) for other in reading)
        ]
        if len(branches) < 2:
            return []
        depths = {branch.path: _depth(branch, inside) for branch in branches}
        return [path for path, depth in depths.items() if 0 < depth < max(depths.values())]

    def weighted(self, path: str) -> int:
        """Count the layers with weights that a module calls."""
        layers = [call.module for call in self.within(path).calls]
        return sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in layers)

    def only_reader(self, tensor: Tensor) -> Call | None:
        """Return the convolution that alone reads a tensor; None when there is none."""
        if self.readers[id(tensor)] != 1:
            return None
        return next(
            (call for call in self.calls if call.read is tensor and is_convolution(call.module)),
            None,
        )

    def is_alone(self, call: Call) -> bool:
        """Say whether nothing but what is in a call reads what it reads; in place, all reads it."""
        return call.gave is call.read or not any(
            any(read is call.read for read in operation.read)
            and not holds(call.path, operation.path)
            for operation in self.operations.values()
        )

    def sums(self) -> list[Operation]:
        """Return the sums of feature maps of one shape, in order."""
        return [operation for operation in self.operations.values() if operation.added]

    def is_made_of(self, tensor: Tensor, origin: Tensor) -> bool:
        """Say whether a map is another one, or that one behind norms, activations and gates."""
        return any(one is origin for one in self.lineage(tensor))

    def lineage(self, tensor: Tensor) -> Iterator[Tensor]:
        """Yield a map, and those of which norms, activations and gates made it."""
        waiting, seen = [tensor], set[int]()
        while waiting:
            current = waiting.pop()
            yield current
            if id(current) in self.operations and id(current) not in seen:
                seen.add(id(current))
                waiting += self.operations[id(current)].origins

    def depths(self, start: Tensor | None = None) -> dict[int, int]:
        """Count the convolutions on the longest way from a tensor, by the id of what they reach.

        start: None: from all that no operation gave, as images.
        """
        reached = {} if start is None else {id(start): 0}
        for made, operation in self.operations.items():
            ways = [reached[id(read)] for read in operation.read if id(read) in reached]
            if start is None:
                ways.append(0)
            if ways:
                reached.setdefault(made, max(ways) + operation.convolves)
        return reached

    def times(self, path: str) -> int:
        """Count how often a module is called."""
        return sum(call.path == path for call in self.calls)

    def takes_factor(self, reader: Call) -> bool:
        """Say whether a constant factor on all that a convolution reads may go into its weights.

        That is where nothing but this one call reads them.
        """
        return reader.path in self.plain and self.readers[id(reader.module.weight)] == 1

    def is_changed(self, call: Call, reader: Call) -> bool:
        """Say whether what a call gave is changed in place before a later call has read it."""
        return any(
            tensor == id(call.gave) and call.number < completed <= reader.number
            for tensor, completed in self.changes
        )


def first_weight(network: nn.Module) -> Tensor:
    """Return a weight whose device and type images need; an empty tensor where there is none."""
    weights = (each for each in network.parameters() if each.is_floating_point())
    return next(weights, torch.empty(0))


def holds(outer: str, inner: str) -> bool:
    """Say whether the module at one path is, or holds, that at another."""
    return not outer or f"{inner}.".startswith(f"{outer}.")


def _plain_convolutions(network: nn.Module) -> frozenset[str]:
    """Return the paths of the convolutions that compute with weights of their own as stored.

    Not so are subclasses, which may standardise them; parametrisations, and the older norms that
    write the weights before each call; and weights that are stored for another layer as well.
    """
    owners = Counter(
        tensor.untyped_storage()._cdata
        for module in network.modules()
        for tensor in (*module._parameters.values(), *module._buffers.values())
        if tensor is not None
    )
    return frozenset(
        path
        for path, module in network.named_modules()
        if type(module) is nn.Conv2d
        and not (module._forward_pre_hooks or module._forward_hooks or "forward" in vars(module))
        and isinstance(weight := module._parameters.get("weight"), Tensor)
        and owners[weight.untyped_storage()._cdata] == 1
    )


def _depth(branch: Call, inside: list[Call]) -> int:
    """Count convolutions from a call on, as far as modules read what modules gave."""
    reached = [branch]
    for call in inside:
        if any(call.acts_on(before.gave) for before in reached):
            reached.append(call)
    outermost = [
        call
        for call in reached
        if not any(other is not call and holds(other.path, call.path) for other in reached)
    ]
    return sum(is_convolution(layer) for call in outermost for layer in call.module.modules())


def is_convolution(module: nn.Module) -> bool:
    """Say whether a module is a 2-D convolution."""
    return isinstance(module, nn.Conv2d)
