"""`nas profile fit`: a profile from timings of another device."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.base.files import refuse_taken
from nas.cli.output.profile_tables import print_profile

__all__ = ["fit"]


def fit(
    pack: Annotated[Path, typer.Argument(help="Folder that `nas profile pack` made.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Device profile to write.")],
    timings: Annotated[
        Path | None,
        typer.Argument(help="CSV: file,latency_ms[,again_ms]; default: the pack's timings.csv."),
    ] = None,
    log: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="What the runtime's tool has printed, instead of a CSV; may be repeated.",
        ),
    ] = None,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="What the device is called.")
    ] = "another device",
) -> None:
    """Make a profile from a pack and the timings that came back.

    Example: nas profile fit phone --log log.txt --out phone.json --name "Pixel 9"
    """
    from nas.latency.pack import fit_pack

    refuse_taken(out, "--out")
    profile = fit_pack(pack, timings, logs=log or (), processor=name)
    profile.write(out)
    print_profile(profile, out)
