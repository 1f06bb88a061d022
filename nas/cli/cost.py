"""`nas cost`: parameters and multiply-adds of a hand-placed network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from nas.base.errors import SpecError
from nas.base.formats import describe_uncounted, format_count
from nas.cli.completion import backbone_names, block_names
from nas.cli.options import (
    BackboneArguments,
    ClassCount,
    Head,
    ImageSize,
    Json,
    OutputStride,
    TaskOption,
    TotalStride,
)
from nas.cli.output.console import print_json
from nas.cli.parsing import check_strides, parse_arguments

__all__ = ["cost"]


def cost(
    backbone: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            autocompletion=backbone_names,
            help="Name of the network; nas backbones lists them.",
        ),
    ],
    backbone_args: BackboneArguments = None,
    uniform: Annotated[
        str,
        typer.Option(
            autocompletion=block_names,
            metavar="BLOCK",
            help="Block at every site: coord/r32, se; none: no blocks; keep: those that it has.",
        ),
    ] = "keep",
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN", help="Sites to leave out, as in 'blocks.0.*'; may be repeated."
        ),
    ] = None,
    position: Annotated[
        list[str] | None,
        typer.Option(
            metavar="POSITION",
            help="after_depthwise, after_convolution, after_projection, after_residual.",
        ),
    ] = None,
    part: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PART",
            help="Part of the network that blocks go into: backbone (default), neck, head; may be "
            "repeated.",
        ),
    ] = None,
    resolution: ImageSize = "224",
    total_stride: TotalStride = None,
    output_stride: OutputStride = None,
    task: TaskOption = None,
    head: Head = None,
    classes: ClassCount = 1000,
    json_: Json = False,
) -> None:
    """Count parameters and multiply-adds of a hand-placed network.

    Example: nas cost --backbone mobilenetv2_100 --uniform coord/r32 --exclude 'blocks.0.*'
    """
    from nas.models.build import uniform as place_uniform
    from nas.models.cost import cost as count_cost
    from nas.spec.architecture import parse_label
    from nas.spec.own_backbone import with_arguments
    from nas.spec.resolution import parse_resolution
    from nas.spec.space import PARTS, POSITIONS
    from nas.spec.task import Task

    backbone = with_arguments([backbone], parse_arguments(backbone_args))[0]
    size = parse_resolution(resolution, "--resolution")
    purpose = Task.of(task or "classification", classes, head)
    check_strides(total_stride, output_stride)
    _check_known("--position", position, POSITIONS)
    _check_known("--part", part, PARTS)
    block, options = parse_label(uniform)
    architecture = place_uniform(
        backbone,
        block,
        resolution=size,
        total_stride=total_stride,
        output_stride=output_stride,
        exclude=tuple(exclude or ()),
        position=tuple(position or ()),
        part=tuple(part or ("backbone",)),
        task=purpose,
        **dict[str, Any](options),
    )
    counted, insertions = count_cost(architecture, task=purpose), len(architecture.blocks)
    if json_:
        values = {
            "backbone": backbone,
            "uniform": uniform,
            "task": purpose.name,
            "head": purpose.head,
            "insertions": insertions,
            "params": counted.params,
            "macs": counted.macs,
            "unsupported": list(counted.unsupported),
        }
        print_json(values, indent=None)
        return
    params, macs = format_count(counted.params), format_count(counted.macs)
    around = "" if purpose.is_classification else f", {purpose.name} with {purpose.head}"
    print(f"{backbone}, {uniform} at {insertions} sites, {architecture.size}{around}")
    print(f"params  {counted.params:,} ({params})")
    print(f"MACs    {counted.macs:,} ({macs}; convolutions and matrix products)")
    if counted.unsupported:
        print(describe_uncounted(counted.unsupported))


def _check_known(flag: str, given: Sequence[str] | None, allowed: Sequence[str]) -> None:
    """Raise SpecError for a value that is not among those allowed."""
    unknown = [value for value in given or () if value not in allowed]
    if unknown:
        raise SpecError(f"{flag} {unknown[0]!r}; allowed: {', '.join(allowed)}")
