"""`nas blocks`, `nas backbones`: what there is to choose from."""

from __future__ import annotations

import json
from collections import Counter
from typing import Annotated, Any

import typer
from rich.table import Table

from nas.cli.tables import console, count

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    app.command("blocks")(_blocks)
    app.command("backbones")(_backbones)


def _blocks(
    channels: Annotated[int, typer.Option(min=1)] = 96,
    side: Annotated[int, typer.Option(min=1, help="Height and width of the map.")] = 14,
    json_: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """List the attention blocks, their options, and what each costs on an example map.

    Example: nas blocks --channels 240 --side 7
    """
    import torch

    from nas.blocks import BLOCKS, make_block
    from nas.blocks.block import Shape
    from nas.models.cost import cost_of_module

    rows: list[dict[str, Any]] = []
    for name, block in BLOCKS.items():
        row: dict[str, Any] = {
            "name": name,
            "title": block.title,
            "paper": block.paper,
            "options": {option: list(values) for option, values in block.options.items()},
            "refused": block.applies(Shape(channels, side, side)),
        }
        if row["refused"] is None:
            module = make_block(name, channels=channels, height=side, width=side)
            counted = cost_of_module(module, torch.zeros(1, channels, side, side))
            row |= {"params": counted.params, "macs": counted.macs}
        rows.append(row)
    if json_:
        print(json.dumps(rows, indent=1))
        return
    table = _table(f"On a map of {channels}x{side}x{side}, with the paper's options (the first)")
    for title, right in [("block", False), ("params", True), ("MACs", True), ("options", False)]:
        table.add_column(title, justify="right" if right else "left", no_wrap=not right)
    table.add_column("what", overflow="fold")
    for row in rows:
        options = "  ".join(
            f"{option} {', '.join(map(_written, values))}"
            for option, values in row["options"].items()
        )
        costs = [count(row[key]) if key in row else "" for key in ("params", "macs")]
        paper = row["paper"].replace("https://arxiv.org/abs/", "arXiv:").removeprefix("https://")
        what = f"{row['title']}, {paper}"
        refused = f" (not here: {row['refused']})" if row["refused"] else ""
        table.add_row(row["name"], *costs, options, what + refused)
    console().print(table)


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _backbones(
    pattern: Annotated[
        str | None, typer.Argument(help="Names to show, such as 'mobilenetv4*'; all families.")
    ] = None,
    resolution: Annotated[int, typer.Option(min=8, max=1024)] = 224,
    json_: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """List backbones with their sites, parameters and multiply-adds.

    Without a pattern the mobile line-up; any network of timm or torchvision with a depthwise
    convolution works, and one's own as module:function.

    Example: nas backbones 'mobilenetv4_conv*'
    """
    from nas.backbones import LINE_UP, find_sites, known_backbones
    from nas.base.errors import SpecError
    from nas.models.cost import cost
    from nas.spec.architecture import Architecture
    from nas.spec.space import POSITIONS

    names = known_backbones(pattern) if pattern else list(LINE_UP)
    rows: list[dict[str, Any]] = []
    for name in names:
        row: dict[str, Any] = {"name": name, "what": LINE_UP.get(name, "")}
        try:
            sites = find_sites(name, resolution, positions=POSITIONS)
            counted = cost(Architecture(name, resolution))
            row |= {
                "sites": dict(Counter(site.position for site in sites)),
                "filled": sum(site.filled for site in sites),
                "params": counted.params,
                "macs": counted.macs,
            }
        except SpecError as error:
            row["refused"] = str(error)
        rows.append(row)
    if json_:
        print(json.dumps(rows, indent=1))
        return
    table = _table(
        f"At {resolution}x{resolution}, 1000 classes; sites by where in their blocks they are"
    )
    table.add_column("backbone", no_wrap=True)
    for title in ("params", "MACs", "depthwise", "projection", "residual", "filled"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("what", overflow="fold")
    for row in rows:
        if "refused" in row:
            table.add_row(row["name"], *[""] * 6, row["refused"])
            continue
        sites = row["sites"]
        # A sandglass: behind its first, and behind its last.
        depthwise = [sites[name] for name in POSITIONS if name in sites and "depthwise" in name]
        table.add_row(
            row["name"],
            count(row["params"]),
            count(row["macs"]),
            " + ".join(map(str, depthwise)),
            str(sites.get("after_projection", "")),
            str(sites.get("after_residual", "")),
            str(row["filled"] or ""),
            row["what"],
        )
    console().print(table)


def _table(title: str) -> Table:
    return Table(box=None, pad_edge=False, header_style="bold", title=title, title_justify="left")
