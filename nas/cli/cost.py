"""`nas cost`: parameters and multiply-adds of a hand-placed network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.base.errors import SpecError
from nas.base.formats import describe_uncounted, format_count
from nas.cli.options import (
    BackboneArguments,
    Head,
    ImageSize,
    Json,
    OutputStride,
    TaskOption,
    TotalStride,
)
from nas.cli.output.console import print_json
from nas.cli.parsing import check_strides, parse_arguments

if TYPE_CHECKING:
    from nas.base.size import Resolution
    from nas.spec.architecture import Architecture

__all__ = ["cost"]


def cost(
    backbone: Annotated[str, typer.Option(help="See nas backbones.")],
    backbone_args: BackboneArguments = None,
    uniform: Annotated[
        str, typer.Option(metavar="BLOCK", help="coord/r32, se, none, or keep.")
    ] = "keep",
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Sites to leave out.")
    ] = None,
    position: Annotated[
        list[str] | None,
        typer.Option(
            metavar="POSITION",
            help="after_depthwise, after_convolution, after_projection, after_residual.",
        ),
    ] = None,
    resolution: ImageSize = "224",
    total_stride: TotalStride = None,
    output_stride: OutputStride = None,
    task: TaskOption = None,
    head: Head = None,
    classes: Annotated[int, typer.Option(min=1)] = 1000,
    json_: Json = False,
) -> None:
    """Count parameters and multiply-adds of a hand-placed network.

    Example: nas cost --backbone mobilenetv2_100 --uniform coord/r32 --exclude 'blocks.0.*'
    """
    from nas.models.cost import cost as count_cost
    from nas.spec.own_backbone import with_arguments
    from nas.spec.resolution import parse_resolution
    from nas.spec.task import Task

    backbone = with_arguments([backbone], parse_arguments(backbone_args))[0]
    size = parse_resolution(resolution, "--resolution")
    architecture = _place(backbone, uniform, size, total_stride, output_stride, exclude, position)
    purpose = Task.of(task or "classification", classes, head)
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


def _place(
    backbone: str,
    label: str,
    resolution: Resolution,
    total_stride: int | None,
    output_stride: int | None,
    exclude: Sequence[str] | None,
    position: Sequence[str] | None,
) -> Architecture:
    """Put one block at all sites that are not left out. Raises SpecError."""
    from nas.models.build import uniform
    from nas.spec.architecture import parse_label
    from nas.spec.space import POSITIONS

    check_strides(total_stride, output_stride)
    unknown = [name for name in position or () if name not in POSITIONS]
    if unknown:
        raise SpecError(f"position {unknown[0]!r}; allowed: {', '.join(POSITIONS)}")
    block, options = parse_label(label)
    return uniform(
        backbone,
        block,
        resolution=resolution,
        total_stride=total_stride,
        output_stride=output_stride,
        exclude=tuple(exclude or ()),
        position=tuple(position or ()),
        **dict[str, Any](options),
    )
