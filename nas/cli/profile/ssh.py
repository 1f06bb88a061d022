"""`nas profile ssh`: time a pack on a board."""

from __future__ import annotations

from typing import Annotated

import typer

from nas.cli.output.count_progress import show_count
from nas.cli.profile.options import DeviceTool, PackFolder

__all__ = ["ssh"]


def ssh(
    pack: PackFolder,
    host: Annotated[str, typer.Argument(help="As ssh takes it, as in pi@board.")],
    tool: DeviceTool = None,
) -> None:
    """Time every file of a pack twice, in random order, on a board that ssh reaches.

    Interrupted, the same command goes on.
    Example: nas profile ssh board pi@192.168.1.7
    """
    from nas.latency.remote import ssh as board
    from nas.latency.remote import time_pack

    with show_count("timing on the board") as progress:
        timings = time_pack(pack, board(host), tool=tool, progress=progress)
    print(f"Written: {timings}; then: nas profile fit {pack} --out device.json")
