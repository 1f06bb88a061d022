"""`nas space`, `nas cost`: spaces and single networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from nas.base.errors import SpecError
from nas.cli.tables import console, count

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    app.command("space")(_space)
    app.command("cost")(_cost)


def _space(
    space: Annotated[Path, typer.Argument(help="Search space file.")],
    json_: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show the sites of a space, what may go there, and how many networks it holds.

    Example: nas space search_spaces/mobilenetv2.yaml
    """
    from nas.models.candidates import Candidates, load_space

    loaded = load_space(space)
    candidates = Candidates(loaded)
    number = candidates.count()
    if json_:
        sites = {
            backbone: [
                {
                    "name": place.name,
                    "sites": [site.name for site in place.sites],
                    "channels": place.sites[0].channels,
                    "height": place.sites[0].height,
                    "width": place.sites[0].width,
                    "choices": list(place.choices),
                }
                for place in places
            ]
            for backbone, places in candidates.sites.items()
        }
        print(json.dumps({"name": loaded.name, "architectures": number, "sites": sites}, indent=1))
        return
    screen = console()
    for backbone, places in candidates.sites.items():
        table = Table(
            box=None,
            pad_edge=False,
            header_style="bold",
            title=f"{backbone} at {loaded.resolutions[0]}x{loaded.resolutions[0]}",
            title_justify="left",
        )
        table.add_column("site", no_wrap=True)
        for name in ("channels", "map", "choices"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("of them", overflow="fold")
        for place in places:
            site = place.sites[0]
            table.add_row(
                place.name,
                str(site.channels),
                f"{site.height}x{site.width}",
                str(len(place.choices)),
                " ".join(place.choices),
            )
        screen.print(table)
    screen.print(f"{number:.3g} different networks" if number > 1e6 else f"{number} networks")
    limit = loaded.max_insertions
    screen.print(f"at most {limit} blocks in each" if limit else "any number of blocks in each")
    screen.print(
        "Options that build the same network at a site are one choice; the ratio shown is the "
        "paper's where the space has it.",
        style="dim",
    )


def _cost(
    backbone: Annotated[str, typer.Option(help="See nas backbones.")],
    uniform: Annotated[
        str, typer.Option(metavar="BLOCK", help="coord/r32, se, none, or keep.")
    ] = "keep",
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Sites to leave out.")
    ] = None,
    position: Annotated[
        list[str] | None,
        typer.Option(metavar="POSITION", help="after_depthwise, after_projection, after_residual."),
    ] = None,
    resolution: Annotated[int, typer.Option(min=8, max=1024)] = 224,
    total_stride: Annotated[int | None, typer.Option(help="4, 8, 16 or 32.")] = None,
    classes: Annotated[int, typer.Option(min=1)] = 1000,
    json_: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Count parameters and multiply-adds of a hand-placed network.

    Example: nas cost --backbone mobilenetv2_100 --uniform coord/r32 --exclude 'blocks.0.*'
    """
    from nas.models.build import uniform as place
    from nas.models.cost import cost
    from nas.spec.architecture import parse_label
    from nas.spec.space import POSITIONS

    if total_stride not in {None, 4, 8, 16, 32}:
        raise SpecError(f"total stride {total_stride}; allowed: 4, 8, 16, 32")
    unknown = [item for item in position or () if item not in POSITIONS]
    if unknown:
        raise SpecError(f"position {unknown[0]!r}; allowed: {', '.join(POSITIONS)}")
    block, options = parse_label(uniform)
    architecture = place(
        backbone,
        block,
        resolution=resolution,
        total_stride=total_stride,
        exclude=tuple(exclude or ()),
        position=tuple(position or ()),
        **dict[str, Any](options),
    )
    counted = cost(architecture, num_classes=classes)
    if json_:
        print(
            json.dumps(
                {
                    "backbone": backbone,
                    "uniform": uniform,
                    "insertions": len(architecture.blocks),
                    "params": counted.params,
                    "macs": counted.macs,
                    "unsupported": list(counted.unsupported),
                }
            )
        )
        return
    print(f"{backbone}, {uniform} at {len(architecture.blocks)} sites, {resolution}x{resolution}")
    print(f"params  {counted.params:,} ({count(counted.params)})")
    print(f"MACs    {counted.macs:,} ({count(counted.macs)}; convolutions and matrix products)")
    if counted.unsupported:
        print(f"not counted: {', '.join(counted.unsupported)}")
