"""`nas profile adb`: time a pack on a phone."""

from __future__ import annotations

from typing import Annotated

import typer

from nas.cli.output.count_progress import show_count
from nas.cli.profile.options import DeviceTool, PackFolder

__all__ = ["adb"]


def adb(
    pack: PackFolder,
    tool: DeviceTool = None,
    serial: Annotated[
        str | None,
        typer.Option(
            metavar="SERIAL", help="Serial number of the phone, where adb devices lists several."
        ),
    ] = None,
) -> None:
    """Time every file of a pack twice, in random order, on a phone that adb reaches.

    Interrupted, the same command goes on.
    Example: nas profile adb phone --tool ./benchmark_model
    """
    from nas.latency.remote import adb as phone
    from nas.latency.remote import time_pack

    with show_count("timing on the phone") as progress:
        timings = time_pack(pack, phone(serial), tool=tool, progress=progress)
    print(f"Written: {timings}; then: nas profile fit {pack} --out device.json")
