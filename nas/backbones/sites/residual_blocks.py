"""Residual blocks without depthwise convolutions, and convolutions in a row without shortcuts.

Found by what is added to what, not by names: the blocks of a ResNet, of Darknet and its CSP stages,
of RepVGG. Depthwise ones are found by their convolutions (see walk.py).
"""

from __future__ import annotations

import math
from collections import defaultdict

from torch import Tensor, nn

from nas.backbones.sites.operations import Operation
from nas.backbones.sites.trace import Call, Trace, holds, is_convolution

__all__ = [
    "adds",
    "full_convolutions",
    "is_spatial",
    "last_convolution",
    "residual_blocks",
    "side_by_side",
]


def residual_blocks(trace: Trace, others: list[str]) -> list[str]:
    """Return the paths of the blocks that end in a sum with a shortcut, in call order.

    They hold a convolution. That is the module whose forward adds the two; and the branch alone,
    where a module adds several shortcuts (`x = x + block(x)`) or goes on behind them.

    others: paths of blocks that were found otherwise; what holds one or is in one is left out.
    """
    convolutions = [call.path for call in trace.calls if is_convolution(call.module)]
    sums = trace.sums()
    hosts: dict[str, None] = {}
    for total in sums:
        ending = _ending_in(total, trace)
        alone = sum(other.path == total.path for other in sums) == 1
        for host in (None if ending and alone else _branch_of(total, trace), ending):
            if not host or any(holds(host, other) or holds(other, host) for other in others):
                continue
            if any(holds(host, path) for path in convolutions):
                hosts.setdefault(host)
    return list(hosts)


def _ending_in(total: Operation, trace: Trace) -> str | None:
    """Return the module whose forward adds and then gives the sum, with a norm or activation."""
    own = next((call for call in trace.calls if call.path == total.path), None)
    return total.path if own and trace.is_made_of(own.gave, total.gave) else None


def _branch_of(total: Operation, trace: Trace) -> str | None:
    """Return the outermost module that gave one part of a sum and read the other."""
    within = [call for call in trace.calls if call.path != total.path]
    for part in total.added:
        shortcuts = [other for other in total.added if other is not part]
        branches = [
            call.path
            for call in within
            if call.gave is part
            and holds(total.path, call.path)
            and any(trace.is_made_of(call.read, other) for other in shortcuts)
        ]
        if branches:
            return min(branches, key=len)
    return None


def last_convolution(own: Call, trace: Trace) -> Call | None:
    """Return the convolution that ends the deepest branch of the sum that a block ends in.

    None where no branch is the deepest: RepVGG adds convolutions that stand side by side.
    """
    depths = trace.depths(own.read)
    branches = _branches(own.gave, own.path, trace)
    branches.sort(key=lambda branch: depths.get(id(branch), 0), reverse=True)
    if len({depths.get(id(branch), 0) for branch in branches[:2]}) < len(branches[:2]):
        return None
    return next(
        (
            call
            for call in reversed(trace.calls)
            if is_convolution(call.module) and trace.is_made_of(branches[0], call.gave)
        ),
        None,
    )


def side_by_side(trace: Trace) -> dict[str, str]:
    """Return the path of each convolution that is added to others beside it -> what adds them all.

    As in MobileOne and RepVGG, whose branches become one convolution when they are shipped. What
    adds them is the module that ends in the sum; empty where more is done there.
    """
    convolutions = {id(call.gave): call for call in trace.calls if is_convolution(call.module)}
    depths = trace.depths()
    found: dict[str, str] = {}
    for total in trace.sums():
        by_depth: defaultdict[int, list[str]] = defaultdict(list)
        for part in _branches(total.gave, total.path, trace):
            first = next((id(one) for one in trace.lineage(part) if id(one) in convolutions), None)
            if first is not None:
                by_depth[depths[first]].append(convolutions[first].path)
        for paths in by_depth.values():
            if len(paths) > 1:
                found |= dict.fromkeys(paths, _ending_in(total, trace) or "")
    return found


def adds(own: Call, trace: Trace) -> bool:
    """Say whether a module's own forward ends in a sum, with norm, activation or attention."""
    return len(_branches(own.gave, own.path, trace)) > 1


def _branches(total: Tensor, path: str, trace: Trace) -> list[Tensor]:
    """Return what a module adds up in its own forward; what it gives alone where it adds none."""
    for operation in trace.sums():
        if operation.path == path and trace.is_made_of(total, operation.gave):
            return [part for each in operation.added for part in _branches(each, path, trace)]
    return [total]


def full_convolutions(network: nn.Module, trace: Trace, hosts: list[str]) -> list[tuple[str, Call]]:
    """Return the spatial convolutions in no host, each with the module that holds it alone.

    That is the convolution with its norm and activation, as people wrap them; or itself. Patches
    that are cut and projected (as large as their stride, a transformer's) do not count.
    """
    convolutions = []
    for call in trace.calls:
        layer = call.module
        if not is_spatial(layer) or layer.stride == layer.kernel_size:
            continue
        if any(holds(host, call.path) for host in hosts):
            continue
        path, weights = call.path, trace.weighted(call.path)
        while "." in path:
            parent = path.rpartition(".")[0]
            if _is_list(network.get_submodule(parent)) or trace.weighted(parent) != weights:
                break
            path = parent
        convolutions.append((path, call))
    return convolutions


def _is_list(module: nn.Module) -> bool:
    return isinstance(module, nn.ModuleList | nn.ModuleDict)


def is_spatial(module: nn.Module) -> bool:
    """Say whether a module is a convolution over more than one position."""
    return isinstance(module, nn.Conv2d) and math.prod(module.kernel_size) > 1
