"""`nas space`: what a search space holds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from nas.base.content import content_files
from nas.base.errors import SpecError
from nas.base.size import Size
from nas.cli.completion import space_names
from nas.cli.options import Head, Json, TaskOption
from nas.cli.output.console import make_console, plain_table, print_json

if TYPE_CHECKING:
    from nas.models.candidates import Candidates
    from nas.models.decisions import Decision

__all__ = ["space"]

_CLASSES = 10  # sites are the same of any number


def space(
    space: Annotated[
        Path | None,
        typer.Argument(autocompletion=space_names, help="Search space file, or a name."),
    ] = None,
    task: TaskOption = None,
    head: Head = None,
    listed: Annotated[
        bool, typer.Option("--list", help="The spaces that come with the program.")
    ] = False,
    json_: Json = False,
) -> None:
    """Show the sites of a space, what may go there, and how many networks it holds.

    Example: nas space mobilenetv2
    """
    if listed:
        _print_names(as_json=json_)
        return
    if space is None:
        raise SpecError("which space? name a file or a space; nas space --list has the names")
    from nas.models.candidates import Candidates, load_space
    from nas.spec.task import Task

    purpose = Task.of(task or "classification", _CLASSES, head)
    candidates = Candidates(load_space(space), purpose)
    if json_:
        print_json(_to_dict(candidates))
    else:
        _print(candidates)


def _print_names(*, as_json: bool) -> None:
    """Print the spaces that come along, each with what its first comment asks."""
    names = {name: _first_comment(path) for name, path in content_files("search_spaces").items()}
    if as_json:
        print_json(names)
        return
    table = plain_table()
    table.add_column("space", no_wrap=True)
    table.add_column("asks")
    for row in names.items():
        table.add_row(*row)
    make_console().print(table)


def _first_comment(path: Path) -> str:
    lines = takewhile(lambda line: line.startswith("# "), path.read_text("utf-8").splitlines())
    return " ".join(line.removeprefix("# ") for line in lines)


def _to_dict(candidates: Candidates) -> dict[str, Any]:
    sites = {
        backbone: [
            {
                "name": place.name,
                "part": place.sites[0].part,
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
    return {"name": candidates.space.name, "architectures": candidates.count(), "sites": sites}


def _print(candidates: Candidates) -> None:
    number, size = candidates.count(), Size.of(candidates.space.resolutions[0])
    screen = make_console()
    for backbone, places in candidates.sites.items():
        screen.print(_site_table(f"{backbone} at {size}", places))
    screen.print(f"{number:.3g} different networks" if number > 1e6 else f"{number} networks")
    limit = candidates.space.max_insertions
    screen.print(f"at most {limit} blocks in each" if limit else "any number of blocks in each")
    share = candidates.space.share
    if share is not None:
        screen.print(f"equal blocks on equal maps of a {share} share their weights")
    screen.print(
        "Options that build the same network at a site are one choice; the ratio shown is the "
        "paper's where the space has it.",
        style="dim",
    )


def _site_table(title: str, places: Sequence[Decision]) -> Table:
    table = plain_table(title)
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
    return table
