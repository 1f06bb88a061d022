"""`nas backbones`: the networks there are to search in."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

import typer
from rich.table import Table

from nas.base.formats import describe_uncounted, format_count
from nas.base.size import Size
from nas.cli.completion import backbone_names
from nas.cli.options import ImageSize, Json
from nas.cli.output.console import make_console, plain_table, print_json

__all__ = ["backbones"]

_FIGURES = ("params", "MACs", "depthwise", "convolution", "projection", "residual", "filled")


def backbones(
    pattern: Annotated[
        str | None,
        typer.Argument(
            autocompletion=backbone_names,
            help="Names to show, such as 'mobilenetv4*'; all families.",
        ),
    ] = None,
    resolution: ImageSize = "224",
    json_: Json = False,
) -> None:
    """List backbones with their sites, parameters and multiply-adds.

    Without a pattern the mobile line-up; any network of timm or torchvision with residual blocks or
    plain convolutions works, and one's own as module:function.

    Example: nas backbones 'mobilenetv4_conv*'
    """
    from nas.backbones import LINE_UP, known_backbones
    from nas.spec.resolution import parse_resolution

    size = Size.of(parse_resolution(resolution, "--resolution"))
    names = known_backbones(pattern) if pattern else list(LINE_UP)
    rows = [_row(name, size) for name in names]
    if json_:
        print_json(rows)
        return
    title = f"At {size}, 1000 classes; sites by where in their blocks they are"
    screen = make_console()
    screen.print(_table(title, rows))
    for row in rows:
        if row.get("unsupported"):
            screen.print(f"{row['name']}: {describe_uncounted(row['unsupported'])}")


def _row(name: str, size: Size) -> dict[str, Any]:
    """Describe a backbone; one that cannot be searched in has a reason instead of figures."""
    from nas.backbones import LINE_UP, find_sites
    from nas.base.errors import SpecError
    from nas.models.cost import cost
    from nas.spec.architecture import Architecture
    from nas.spec.space import POSITIONS

    row: dict[str, Any] = {"name": name, "what": LINE_UP.get(name, "")}
    try:
        sites = find_sites(name, size.written, positions=POSITIONS)
        counted = cost(Architecture(name, size.written))
    except SpecError as error:
        return row | {"refused": str(error)}
    return row | {
        "sites": dict(Counter(site.position for site in sites)),
        "filled": sum(site.filled for site in sites),
        "params": counted.params,
        "macs": counted.macs,
        "unsupported": list(counted.unsupported),
    }


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    table = plain_table(title)
    table.add_column("backbone", no_wrap=True)
    for heading in _FIGURES:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("what", overflow="fold")
    for row in rows:
        if "refused" in row:
            table.add_row(row["name"], *[""] * len(_FIGURES), row["refused"])
        else:
            table.add_row(row["name"], *_cells(row), row["what"])
    return table


def _cells(row: dict[str, Any]) -> list[str]:
    from nas.spec.space import POSITIONS

    sites = row["sites"]
    # A sandglass: behind its first, and behind its last.
    depthwise = [sites[name] for name in POSITIONS if name in sites and "depthwise" in name]
    return [
        format_count(row["params"]),
        format_count(row["macs"]),
        " + ".join(map(str, depthwise)),
        str(sites.get("after_convolution", "")),
        str(sites.get("after_projection", "")),
        str(sites.get("after_residual", "")),
        str(row["filled"] or ""),
    ]
