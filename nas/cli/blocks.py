"""`nas blocks`: the attention blocks there are."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from nas.base.errors import SpecError
from nas.base.formats import describe_uncounted, format_count
from nas.base.size import Size
from nas.cli.options import Json
from nas.cli.output.console import make_console, plain_table, print_json

__all__ = ["blocks"]


def blocks(
    channels: Annotated[int, typer.Option(min=1)] = 96,
    side: Annotated[
        str, typer.Option(metavar="SIZE", help="Of the map: 14, or height x width, as in 14x10.")
    ] = "14",
    json_: Json = False,
) -> None:
    """List the attention blocks, their options, and what each costs on an example map.

    Example: nas blocks --channels 240 --side 7
    """
    size = _map_size(side)
    rows = _rows(channels, size)
    if json_:
        print_json(rows)
        return
    title = f"On a map of {channels}x{size}, with the paper's options (the first)"
    screen = make_console()
    screen.print(_table(title, rows))
    screen.print(
        "Published: points of accuracy at every site of a network of theirs, ± how far studies are "
        "spread (how many spoke of it). It hardly tells kinds apart. docs/blocks.md has the "
        "runtimes that take each.",
        style="dim",
    )
    for row in rows:
        if row.get("unsupported"):
            screen.print(f"{row['name']}: {describe_uncounted(row['unsupported'])}")


def _map_size(text: str) -> Size:
    try:
        return Size.of(text)
    except SpecError as error:
        raise SpecError(f"--side: {error}") from None


def _rows(channels: int, size: Size) -> list[dict[str, Any]]:
    """Describe each block; a block that does not fit the map has no costs, but a reason."""
    import torch

    from nas.belief.published_prior import PublishedPrior
    from nas.blocks import BLOCKS, make_block
    from nas.blocks.block import Shape
    from nas.models.cost import cost_of_module

    rows: list[dict[str, Any]] = []
    prior = PublishedPrior.load()
    for name, block in BLOCKS.items():
        published = prior.of_kind(name)
        row: dict[str, Any] = {
            "name": name,
            "title": block.title,
            "paper": block.paper,
            "options": {option: list(values) for option, values in block.options.items()},
            "refused": block.applies(Shape(channels, size.height, size.width)),
            "published": published and published.model_dump(exclude={"sources"}),
        }
        if row["refused"] is None:
            module = make_block(name, channels=channels, height=size.height, width=size.width)
            counted = cost_of_module(module, torch.zeros(1, channels, size.height, size.width))
            row |= {
                "params": counted.params,
                "macs": counted.macs,
                "unsupported": list(counted.unsupported),
            }
        rows.append(row)
    return rows


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    table = plain_table(title)
    table.add_column("block", no_wrap=True)
    for heading in ("params", "MACs", "published"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("options")
    table.add_column("what", overflow="fold")
    for row in rows:
        options = "  ".join(
            f"{option} {', '.join(map(_format_value, values))}"
            for option, values in row["options"].items()
        )
        costs = [format_count(row[key]) if key in row else "" for key in ("params", "macs")]
        paper = row["paper"].replace("https://arxiv.org/abs/", "arXiv:").removeprefix("https://")
        refused = f" (not here: {row['refused']})" if row["refused"] else ""
        table.add_row(
            row["name"],
            *costs,
            _gain(row["published"]),
            options,
            f"{row['title']}, {paper}{refused}",
        )
    return table


def _gain(published: dict[str, Any] | None) -> str:
    if published is None:
        return ""
    return f"{published['mean']:+.1f} ± {published['deviation']:.1f} ({published['studies']})"


def _format_value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
