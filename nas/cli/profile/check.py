"""`nas profile check`: whether this machine has drifted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["check"]

_MOST_DRIFT = 0.05


def check(
    file: Annotated[Path, typer.Argument(help="Device profile, measured on this machine.")],
) -> None:
    """Time some whole networks again: has this machine drifted? Exit code 1 when it has.

    Example: nas profile check device.json
    """
    from nas.latency.profile import load_profile
    from nas.latency.survey import measure_drift

    profile = load_profile(file)
    result = measure_drift(profile)
    print(f"now {result.ratio:.3f} times what the profile says, spread {result.spread:.1%}")
    if profile.doubt is not None:
        print(profile.doubt)
    if abs(result.ratio - 1) > _MOST_DRIFT:
        print("this machine has drifted: measure the profile again")
        raise typer.Exit(1)
