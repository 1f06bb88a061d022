"""Equal operators in the place of those that XNNPACK leaves outside its delegate.

Means and maxima over one side of a map become pools, splits become slices, a mean over channels
becomes a convolution with equal weights, and expands in front of arithmetic go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, fx, nn

from nas.latency.runtime.litert import without_expands

__all__ = ["rewrite_for_xnnpack"]

_aten = torch.ops.aten
_SPLITS = {_aten.split_with_sizes.default, _aten.split.Tensor, _aten.chunk.default}


def rewrite_for_xnnpack(network: nn.Module, images: Tensor) -> nn.Module:
    """Return an equal module that XNNPACK takes more of, in evaluation mode.

    network: stays as it is.
    images: of the only shape that the module reads.
    """
    module = without_expands(network, images)
    assert isinstance(module, fx.GraphModule)
    for node in list(module.graph.nodes):
        if node.target is _aten.mean.dim:
            _rewrite_mean(module, node)
        elif node.target is _aten.amax.default:
            _rewrite_reduction(module, node, _aten.max_pool2d.default)
        elif node.target in _SPLITS:
            _rewrite_split(module, node)
    module.graph.eliminate_dead_code()
    module.recompile()
    return module


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(int(side) for side in node.meta["val"].shape)


def _reduction(node: fx.Node) -> tuple[fx.Node, tuple[int, ...], bool]:
    """Return what is reduced, over which of its axes, and whether they stay as axes of 1."""
    source = node.args[0]
    assert isinstance(source, fx.Node)
    axes = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", [])
    keep = node.args[2] if len(node.args) > 2 else node.kwargs.get("keepdim", False)
    listed = axes if isinstance(axes, Sequence) else [axes]
    rank = len(_shape(source))
    return source, tuple(sorted(int(axis) % rank for axis in listed)), bool(keep)  # type: ignore[arg-type]


def _rewrite_mean(module: fx.GraphModule, node: fx.Node) -> None:
    source, axes, keep = _reduction(node)
    if len(_shape(source)) == 4 and axes == (1,):
        channels = _shape(source)[1]
        weight = f"_mean_of_{channels}"
        if not hasattr(module, weight):
            module.register_buffer(weight, torch.full((1, channels, 1, 1), 1 / channels))
        with module.graph.inserting_before(node):
            mean = module.graph.call_function(
                _aten.conv2d.default, (source, module.graph.get_attr(weight))
            )
            _replace(module, node, mean, keep)
    elif not (axes == (2, 3) and keep):
        _rewrite_reduction(module, node, _aten.avg_pool2d.default)


def _rewrite_reduction(module: fx.GraphModule, node: fx.Node, pool: Callable[..., Tensor]) -> None:
    """Put a pool over the whole of one side of a map, or of both, in its place."""
    source, axes, keep = _reduction(node)
    shape = _shape(source)
    if len(shape) != 4 or not axes or not set(axes) <= {2, 3}:
        return
    kernel = [shape[axis] if axis in axes else 1 for axis in (2, 3)]
    with module.graph.inserting_before(node):
        pooled = module.graph.call_function(pool, (source, kernel, kernel))
        _replace(module, node, pooled, keep)


def _replace(module: fx.GraphModule, node: fx.Node, by: fx.Node, keep: bool) -> None:
    if not keep:
        by = module.graph.call_function(_aten.view.default, (by, list(_shape(node))))
    by.meta = dict(node.meta)
    node.replace_all_uses_with(by)
    module.graph.erase_node(node)


def _rewrite_split(module: fx.GraphModule, node: fx.Node) -> None:
    source, axis = node.args[0], node.args[2] if len(node.args) > 2 else node.kwargs.get("dim", 0)
    sizes = [int(part.shape[axis]) for part in node.meta["val"]]
    for user in list(node.users):
        number = int(user.args[1])  # type: ignore[arg-type]
        start = sum(sizes[:number])
        with module.graph.inserting_before(user):
            part = module.graph.call_function(
                _aten.slice.Tensor, (source, axis, start, start + sizes[number])
            )
        part.meta = dict(user.meta)
        user.replace_all_uses_with(part)
        module.graph.erase_node(user)
