"""`nas profile show`: what a profile holds."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import Json
from nas.cli.output.console import print_json
from nas.cli.output.profile_tables import print_profile

__all__ = ["show"]


def show(
    file: Annotated[Path, typer.Argument(help="Device profile.")],
    json_: Json = False,
) -> None:
    """Show what a profile holds and how far it can be trusted.

    Example: nas profile show device.json
    """
    from nas.latency.profile import load_profile
    from nas.latency.quality import judge_profile

    profile = load_profile(file)
    if json_:
        print_json(profile.model_dump() | {"quality": asdict(judge_profile(profile))})
    else:
        print_profile(profile, file)
