"""Parameters and multiply-adds of an architecture, counted by fvcore."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import nn

from nas.backbones import Site
from nas.blocks import block_named
from nas.models.build import build, placements_of
from nas.models.merged_branches import with_merged_branches
from nas.models.sharing import sharing_sites
from nas.spec.architecture import Architecture, check_architecture, parse_label
from nas.spec.task import Task

with warnings.catch_warnings():
    # fvcore scripts its losses when imported, which torch has deprecated.
    warnings.simplefilter("ignore", FutureWarning)
    from fvcore.nn import FlopCountAnalysis

__all__ = ["Cost", "block_parameters", "cost", "cost_by_parts", "cost_of_module"]

# One multiply-add is one multiplication with its addition, in convolutions, linear layers and
# matrix products alone: so the tables of arXiv:2103.02907 count (fvcore adds batch norm).
_NOTHING = (
    "abs adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool2d add add_ addcmul amax amin "
    "arange argmax avg_pool2d avg_pool3d batch_norm ceil celu channel_shuffle clamp clamp_ "
    "clamp_min cos cummax cumsum div dropout elu elu_ erf exp expand_as feature_dropout flip "
    "floor gelu glu grid_sampler group_norm hardsigmoid hardsigmoid_ hardswish hardswish_ "
    "hardtanh hardtanh_ im2col instance_norm layer_norm leaky_relu lift_fresh linalg_vector_norm "
    "linspace log log1p log_sigmoid logsumexp max max_pool2d maximum mean meshgrid minimum mish "
    "mul mul_ nan_to_num neg norm numpy_T pad pixel_shuffle pixel_unshuffle pow prelu rand real "
    "reciprocal relu relu6 relu_ rms_norm round rsqrt rsub selu sigmoid sigmoid_ sign silu silu_ "
    "sin softmax softplus sqrt square std std_mean sub sum tan tanh topk unflatten "
    "upsample_bicubic2d upsample_bilinear2d upsample_nearest2d var var_mean where"
).split()


def _nothing(_inputs: list[object], _outputs: list[object]) -> int:
    return 0


def _convolution_1d_or_2d(inputs: list[object], outputs: list[object]) -> int:
    """Count batch x out channels x out map x (in channels / groups) x kernel.

    Of a transposed one in and out change places: it multiplies each number that it reads.
    """
    # fvcore's own handle counts the same but refuses 1-D maps of ECA in some versions.
    transposed = inputs[6].toIValue()  # type: ignore[attr-defined]
    return math.prod(_sizes(inputs[0] if transposed else outputs[0])) * _weights_each(inputs)


def _padded_by_name(inputs: list[object], outputs: list[object]) -> int:
    """Count a convolution with `padding="same"`, which has an operator of its own."""
    return math.prod(_sizes(outputs[0])) * _weights_each(inputs)


def _weights_each(inputs: list[object]) -> int:
    """Return how many weights meet in one number of what a convolution gives, or reads."""
    return math.prod(_sizes(inputs[1])[1:])


def _attention(inputs: list[object], _outputs: list[object]) -> int:
    """Count the two products of scaled dot-product attention: by the keys, and of the values.

    What a mask leaves out counts, as it is computed.
    """
    (*queries, width), keys, values = (_sizes(item) for item in inputs[:3])
    return math.prod(queries) * keys[-2] * (width + values[-1])


def _whole_attention(inputs: list[object], _outputs: list[object]) -> int:
    """Count torch's attention in one operator: four projections and the two products."""
    (batch, queries, width), (_, keys, _) = (_sizes(item) for item in inputs[:2])
    return 2 * batch * width * ((queries + keys) * width + queries * keys)


def _added_product(inputs: list[object], _outputs: list[object]) -> int:
    """Count the product of batches of matrices that is added to the first input."""
    (batch, rows, inner), (*_, columns) = (_sizes(item) for item in inputs[1:3])
    return batch * rows * inner * columns


def _product_with_vector(inputs: list[object], _outputs: list[object]) -> int:
    return math.prod(_sizes(inputs[0]))


def _sizes(value: object) -> list[int]:
    sizes: list[int] = value.type().sizes()  # type: ignore[attr-defined]
    return sizes


_HANDLES: dict[str, Callable[[list[object], list[object]], int]] = {
    **{f"aten::{name}": _nothing for name in _NOTHING},
    "aten::_convolution": _convolution_1d_or_2d,
    "aten::_convolution_mode": _padded_by_name,
    "aten::scaled_dot_product_attention": _attention,
    "aten::_native_multi_head_attention": _whole_attention,
    "aten::addbmm": _added_product,
    "aten::baddbmm": _added_product,
    "aten::dot": _product_with_vector,
    "aten::mv": _product_with_vector,
}


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a network.

    params: trainable parameters.
    macs: multiply-adds of one image.
    unsupported: operators that hold work nobody counted; empty when `macs` is whole.
    """

    params: int
    macs: int
    unsupported: tuple[str, ...] = ()


def cost(architecture: Architecture, *, num_classes: int = 1000, task: Task | None = None) -> Cost:
    """Count an architecture at its own resolution, as it is shipped: with its branches merged.

    task: what the network is for; None: to classify images of `num_classes`.
    Raises SpecError when it cannot be built.
    """
    check_architecture(architecture)
    return _cost(architecture, task or Task(outputs=num_classes))


def cost_by_parts(architecture: Architecture, task: Task) -> Cost:
    """Count the same as `cost`, from the plain network and what each insertion adds to it.

    Blocks keep the shape of their map, so their costs add up exactly; and a search that asks
    about thousands of networks counts each insertion once. Weights that blocks share count once.
    Raises SpecError when it cannot be built.
    """
    plain = cost(architecture.plain, task=task)
    singles = [
        cost(replace(architecture, insertions=(insertion,)), task=task)
        for insertion in architecture.insertions
    ]
    unsupported = {name for part in (plain, *singles) for name in part.unsupported}
    return Cost(
        params=plain.params
        + sum(single.params - plain.params for single in singles)
        - _shared_parameters(architecture, task),
        macs=plain.macs + sum(single.macs - plain.macs for single in singles),
        unsupported=tuple(sorted(unsupported)),
    )


def _shared_parameters(architecture: Architecture, task: Task) -> int:
    """Count the parameters that blocks have in common with one before them."""
    if architecture.share is None:
        return 0
    placements = placements_of(architecture, task)
    sites = {site.name: (site, insertion.label) for site, insertion in placements}
    groups = set(sharing_sites(architecture, placements).values())
    return sum((len(names) - 1) * block_parameters(*sites[names[0]]) for names in groups)


def block_parameters(site: Site, label: str) -> int:
    """Count the parameters of a block, written as `coord/r32`, that stands at a site."""
    return _block_parameters(site.channels, site.height, site.width, label)


@lru_cache(maxsize=4096)
def _block_parameters(channels: int, height: int, width: int, label: str) -> int:
    name, options = parse_label(label)
    block = block_named(name)
    with torch.random.fork_rng(devices=[]):
        module = block.assemble(channels, height, width, "paper", block.complete(options))
    return sum(parameter.numel() for parameter in module.parameters())


@lru_cache(maxsize=4096)
def _cost(architecture: Architecture, task: Task) -> Cost:
    network = with_merged_branches(build(architecture, task=task), architecture, task)
    return cost_of_module(network, torch.zeros(1, *architecture.size.shape))


def cost_of_module(module: nn.Module, images: torch.Tensor) -> Cost:
    """Count any module in evaluation mode on a batch of one, (1, C, H, W)."""
    analysis = FlopCountAnalysis(module.eval(), images).set_op_handle(**_HANDLES)
    analysis.uncalled_modules_warnings(False).tracer_warnings("none")
    analysis.unsupported_ops_warnings(False)
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    with torch.no_grad():
        macs = int(analysis.total())
    return Cost(
        params=sum(parameter.numel() for parameter in module.parameters()),
        macs=macs,
        unsupported=tuple(sorted(analysis.unsupported_ops())),
    )
