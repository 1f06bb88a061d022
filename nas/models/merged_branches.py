"""Networks whose parallel branches are merged, as those of RepVGG, MobileOne and RepViT ship.

They are trained with several convolutions side by side, whose sum is one convolution once norms
have their statistics (arXiv:2101.03697). What a phone runs is that one, so it is what latencies,
costs and exported graphs are of.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from nas.backbones.own_module import copied
from nas.backbones.sites.operations import tensors_in
from nas.base.errors import SpecError
from nas.base.size import Size
from nas.models.build import placements_of
from nas.models.task_network import TaskNetwork, holder_of, path_of, plain_network_of
from nas.models.task_sites import all_task_sites
from nas.spec.architecture import Architecture
from nas.spec.task import Task

__all__ = ["with_merged_branches"]

_PROTOCOLS = ("fuse", "reparameterize", "switch_to_deploy")
"""The methods by which timm, and the authors of such networks, have a module merge its branches."""

_ROUNDING = 1e-3  # of the largest output; a wrong merge changes far more


def with_merged_branches(network: nn.Module, architecture: Architecture, task: Task) -> nn.Module:
    """Return a network with its branches merged, in evaluation mode; it is left as it is itself.

    Branches with a site between them stay, whether a block stands there or not: all networks of a
    backbone are merged alike.

    architecture, task: of the network.
    Returns the network itself where nothing can be merged, or where what comes of it computes
    something else.
    """
    if not any(hasattr(module, name) for module in network.modules() for name in _PROTOCOLS):
        return network
    # In doubles: networks without training can make any rounding a large difference.
    whole = copied(network).eval().double()
    merged = _merge(whole, architecture, task)
    if merged is None or not _agree(whole, merged, architecture.size):
        return network
    return merged.float()


def _merge(network: nn.Module, architecture: Architecture, task: Task) -> nn.Module | None:
    """Merge the plain network with the weights of a network, and put its blocks there.

    So no block is lost with the module that it was tied to: its path is the same.
    Returns None where no module merges.
    """
    plain = plain_network_of(architecture.plain, task).eval().double()
    sites = [site for site, _ in placements_of(architecture, task)]
    inserted = tuple(f"{path_of(network, site.slot)}." for site in sites)
    weights = {
        name: value for name, value in network.state_dict().items() if not name.startswith(inserted)
    }
    plain.load_state_dict(weights, strict=False)  # without those of blocks that give way
    if not _merge_within(plain, "", _kept(plain, architecture, task)):
        return None
    plain.double()  # some modules make the merged ones in floats
    for site in sites:
        site.slot.fill(holder_of(plain, site.slot), site.slot.block(holder_of(network, site.slot)))
    return plain


def _kept(plain: nn.Module, architecture: Architecture, task: Task) -> set[str]:
    """Return the paths of modules that blocks may be tied to, or that a head reads."""
    sites = [site for site, _ in placements_of(architecture, task)]
    try:
        sites += all_task_sites(architecture.plain, task)
    except SpecError:  # it has those alone that a pattern names
        pass
    kept = set()
    for slot in (site.slot for site in sites):
        before = path_of(plain, slot).removesuffix(slot.path)
        kept.add(f"{before}{slot.module}.{slot.keeper}".removesuffix("."))
    reads = plain.reads if isinstance(plain, TaskNetwork) else ()
    return kept | {f"backbone.{path}" for path in reads}


def _merge_within(parent: nn.Module, path: str, kept: Collection[str]) -> bool:
    """Merge the modules in another one, from the outermost on, in place.

    path: of the parent.
    kept: paths of modules that must still be there.
    Returns whether any was merged.
    """
    found = False
    for name, child in parent.named_children():
        own = f"{path}.{name}".removeprefix(".")
        within = [each.removeprefix(f"{own}.") for each in kept if each.startswith(f"{own}.")]
        merged = _merged(child)
        if merged is not None and all(_holds(merged, each) for each in within):
            parent.register_module(name, merged)
            child, found = merged, True
        found |= _merge_within(child, own, kept)
    return found


def _merged(module: nn.Module) -> nn.Module | None:
    """Return a merged copy of a module; None where it does not say how, or cannot."""
    method = next((name for name in _PROTOCOLS if hasattr(module, name)), None)
    if method is None:
        return None
    copy = copied(module)
    try:
        result = getattr(copy, method)()
    except Exception:  # it is code of the module's own
        return None
    return result if isinstance(result, nn.Module) else copy


def _holds(module: nn.Module, path: str) -> bool:
    try:
        module.get_submodule(path)
    except AttributeError:
        return False
    return True


def _agree(network: nn.Module, merged: nn.Module, size: Size) -> bool:
    """Say whether two networks in doubles give the same; not where one of them cannot run."""
    images = torch.randn(1, *size.shape, generator=torch.Generator().manual_seed(0)).double()
    try:
        with torch.inference_mode():
            given = [list(tensors_in(each(images))) for each in (network, merged)]
    except Exception:  # code of the networks' own, which may not compute in doubles
        return False
    pairs = zip(*given, strict=True)
    return all(_is_close(one, other) for one, other in pairs)


def _is_close(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    return bool(((one - other).abs() <= _ROUNDING * one.abs().amax()).all())
