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

_WAYS = {
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "pt2": "torch.export",
    "torchscript": "TorchScript",
    "litert": "LiteRT",
    "executorch": "ExecuTorch",
}
"""The names of what runs blocks, as people write them."""


def blocks(
    channels: Annotated[
        int, typer.Option(metavar="N", min=1, max=65_536, help="Channels of the map.")
    ] = 96,
    side: Annotated[
        str, typer.Option(metavar="SIZE", help="Of the map: 14, or height x width, as in 14x10.")
    ] = "14",
    json_: Json = False,
) -> None:
    """List the attention blocks: what each is, costs, and runs in, and what was published of it.

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
    for line in _notes(rows):
        screen.print(line, style="dim")
    for row in rows:
        if row.get("unsupported"):
            screen.print(f"{row['name']}: {describe_uncounted(row['unsupported'])}")


def _notes(rows: list[dict[str, Any]]) -> list[str]:
    """Say below the table what its figures are of."""
    notes = [
        "Published: points of accuracy at every site of a network of theirs, ± how far studies are "
        "spread (how many spoke of it). It hardly tells kinds apart."
    ]
    measured = next((row["measured"] for row in rows if row["measured"]), None)
    if measured is None:
        return notes
    site, timed = measured["timed"]["site"], measured["timed"]
    ways = [_WAYS.get(name, name) for name in measured["differences"]]
    accelerators = [_short(name) for name in measured["accelerators"]]
    return [
        f"Time: what a block adds to that of the residual block around it, behind {site['site']} "
        f"of {site['backbone']} ({site['channels']}x{site['height']}x{site['width']}, "
        f"{site['time_ms']:.2f} ms without it; {timed['by']}, {timed['machine']}, "
        f"{timed['date']}). On other devices, nas profile measures it.",
        *notes,
        f"{_listed(ways)} run every block, and {_listed(accelerators)}, accelerators of phones, "
        "take it whole, but where its row says so.",
    ]


def _listed(names: list[str]) -> str:
    """Write some names as a sentence has them."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _short(accelerator: str) -> str:
    """Return an accelerator's name without its system: NNAPI of NNAPI (Android)."""
    return accelerator.partition(" (")[0]


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
    from nas.blocks.measured import MeasuredBlocks
    from nas.models.cost import cost_of_module

    rows: list[dict[str, Any]] = []
    prior, measured = PublishedPrior.load(), MeasuredBlocks.load()
    timed = {
        "by": measured.timed_by,
        "machine": measured.machine,
        "date": measured.date,
        "site": measured.site.model_dump(),
    }
    for name, block in BLOCKS.items():
        published = prior.of_kind(name)
        row: dict[str, Any] = {
            "name": name,
            "title": block.title,
            "paper": block.paper,
            "options": {option: list(values) for option, values in block.options.items()},
            "refused": block.applies(Shape(channels, size.height, size.width)),
            "published": published and published.model_dump(exclude={"sources"}),
            "measured": None,
        }
        if name in measured.blocks:  # a block of one's own has not been measured
            block_measured = measured.blocks[name]
            row["measured"] = block_measured.model_dump() | {
                "taken_by": list(block_measured.taken_by),
                "refused_by": list(block_measured.refused_by),
                "timed": timed,
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
    for heading in ("params", "MACs", "time", "published"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("what, and its options", overflow="fold")
    for row in rows:
        costs = [format_count(row[key]) if key in row else "" for key in ("params", "macs")]
        time = _time(row["measured"])
        table.add_row(row["name"], *costs, time, _gain(row["published"]), _what(row))
    return table


def _what(row: dict[str, Any]) -> str:
    """Tell a block's title, its paper, its options, and where it does not go."""
    options = [
        f"{option} {', '.join(map(_format_value, values))}"
        for option, values in row["options"].items()
    ]
    paper = row["paper"].replace("https://arxiv.org/abs/", "arXiv:").removeprefix("https://")
    parts = [f"{row['title']}, {paper}", *options, *_limits_of(row["measured"])]
    refused = f" (not here: {row['refused']})" if row["refused"] else ""
    return "; ".join(parts) + refused


def _limits_of(measured: dict[str, Any] | None) -> list[str]:
    """Tell which runtimes refuse a block, and which accelerators take it in part."""
    if measured is None:
        return []
    refused = [_WAYS.get(name, name) for name in measured["refused_by"]]
    partly = [_short(name) for name, taken in measured["accelerators"].items() if taken["outside"]]
    return [
        *([f"not in {', '.join(refused)}"] if refused else []),
        *([f"partly in {', '.join(partly)}"] if partly else []),
    ]


def _time(measured: dict[str, Any] | None) -> str:
    """Write what a block adds to its host's time: `+3 %`."""
    if measured is None or measured["time"] is None:
        return ""
    return f"{100 * measured['time']:+.0f} %"


def _gain(published: dict[str, Any] | None) -> str:
    if published is None:
        return ""
    return f"{published['mean']:+.1f} ± {published['deviation']:.1f} ({published['studies']})"


def _format_value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
