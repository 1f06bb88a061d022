"""A network as somebody made it, made ready to be searched, or refused in one line.

Wrappers that hide its modules are taken off, so that weights and sites have the names that they
have in the network itself.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from nas.backbones.scores import take_named_scores
from nas.backbones.torchvision_detectors import adapted
from nas.base.errors import SpecError, first_line

__all__ = ["copied", "refuse_unwalkable", "taken_in", "unwrapped"]

# By the names of their classes: importing that of torch.compile takes two seconds.
_WRAPPERS = {
    "OptimizedModule": "_orig_mod",
    "DataParallel": "module",
    "DistributedDataParallel": "module",
}
"""Modules of torch that only run another one, and the name that they have it under."""


def taken_in(network: nn.Module, name: str) -> nn.Module:
    """Return a copy of a network in evaluation mode, which gives its scores as one tensor.

    What `torch.compile` and data parallelism put around it is gone. Of an output of several
    parts the scores are taken by their name (see `take_named_scores`).

    name: of the backbone, in errors.
    Raises SpecError where it cannot be trained, changed or saved as it is.
    """
    network = unwrapped(network)
    _refuse_unfit(network, name)
    try:
        # A function may give the same network whenever it is called, and blocks go into it.
        network = copied(network).eval()
    except Exception as error:  # whatever the user's own attributes provoke
        raise SpecError(
            f"backbone {name!r} cannot be copied ({first_line(error)}); return a plain "
            "torch.nn.Module, whose attributes copy.deepcopy can copy"
        ) from None
    _refuse_unsaved(network, name)
    for module in network.modules():
        module._compiled_call_impl = None  # of module.compile(), which would not see blocks
    adapted(network).register_forward_hook(take_named_scores)
    on = {tensor.device.type for tensor in (*network.parameters(), *network.buffers())}
    return network if on <= {"cpu", "meta"} else network.to("cpu")


def copied(network: nn.Module) -> nn.Module:
    """Return a deep copy, also where modules keep tensors that they computed with gradients.

    Weights that share memory do so in the copy.

    Those of `torch.nn.utils.weight_norm` do, and those that remember a map; `copy.deepcopy`
    refuses them. The copy gets their values.
    """
    computed = {
        id(tensor): tensor.detach().clone()
        for module in network.modules()
        for tensor in _tensors(vars(module))
        if not tensor.is_leaf
    }
    copied_network = copy.deepcopy(network, computed)
    _share_again(network, copied_network)
    return copied_network


def _share_again(network: nn.Module, copied_network: nn.Module) -> None:
    """Let weights of a copy share memory where those of the network do; a deep copy parts them."""
    sharing: dict[int, list[tuple[Tensor, Tensor]]] = {}
    for own, other in zip(network.parameters(), copied_network.parameters(), strict=True):
        if not is_lazy(own):
            sharing.setdefault(own.untyped_storage()._cdata, []).append((own, other))
    for pairs in sharing.values():
        if len(pairs) > 1:
            memory = pairs[0][0].untyped_storage().clone()  # type: ignore[no-untyped-call]
            for one, twin in pairs:
                place = one.storage_offset(), one.shape, one.stride()
                twin.data = torch.empty(0, dtype=one.dtype, device=one.device).set_(memory, *place)


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)


def unwrapped(network: nn.Module) -> nn.Module:
    """Take the wrappers off a network and its modules."""
    while (inner := _within(network)) is not None:
        network = inner
    for module in list(network.modules()):
        for child_name, child in list(module.named_children()):
            bare = child
            while (inner := _within(bare)) is not None:
                bare = inner
            if bare is not child:
                setattr(module, child_name, bare)
    return network


def _within(module: nn.Module) -> nn.Module | None:
    """Return the module that a wrapper runs; None where the module is no wrapper."""
    kind = type(module)
    if kind.__module__.startswith("torch.") and kind.__name__ in _WRAPPERS:
        inner: nn.Module = getattr(module, _WRAPPERS[kind.__name__])
        return inner
    return None


def refuse_unwalkable(network: nn.Module, name: str) -> None:
    """Raise SpecError for modules that take no block, and weights without a shape or values."""
    for path, module in network.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise SpecError(
                f"backbone {name!r}: {_called(path)} is a scripted or traced module of torch.jit, "
                "into which no block can be put; return it as it is before torch.jit.script or "
                "torch.jit.trace"
            )
    making_on_meta = torch.get_default_device().type == "meta"
    for path, tensor in (*network.named_parameters(), *network.named_buffers()):
        if is_lazy(tensor):
            raise SpecError(
                f"backbone {name!r}: {path} has no shape yet, as it is of a lazy module; send "
                "images through the network before it is returned: "
                "network(torch.zeros(2, 3, 224, 224))"
            )
        if tensor.is_meta and not making_on_meta:
            raise SpecError(
                f"backbone {name!r}: {path} is on the meta device, without values; make the "
                "network on the CPU"
            )


def _refuse_unfit(network: nn.Module, name: str) -> None:
    """Raise SpecError for modules and weights that cannot be searched with."""
    refuse_unwalkable(network, name)
    for path, weight in network.named_parameters():
        if weight.is_floating_point() and weight.dtype != torch.float32:
            kind = str(weight.dtype).removeprefix("torch.")
            raise SpecError(
                f"backbone {name!r}: {path} is {kind}; networks are trained in float32 here: "
                "return network.float()"
            )


def _refuse_unsaved(network: nn.Module, name: str) -> None:
    """Raise SpecError where the state of a network is more than tensors, which files hold."""
    for path, value in network.state_dict().items():
        if not isinstance(value, Tensor):
            raise SpecError(
                f"backbone {name!r}: its state_dict() holds a {type(value).__name__} as {path}; "
                "only tensors are saved: keep it in a buffer, or take it out of get_extra_state()"
            )


def _called(path: str) -> str:
    return f"its module {path!r}" if path else "it"
