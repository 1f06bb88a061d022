"""Durations, as people write them: `90s`, `30m`, `2h`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

from nas.base.errors import SpecError

__all__ = ["Duration", "parse_seconds"]

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _seconds(value: object) -> object:
    """Read `90`, `90s`, `30m`, `2h` as seconds; the type check refuses anything else."""
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", value.strip())
        if match is None:
            raise ValueError(f"found {value!r}; allowed: seconds, or a number with s, m, h or d")
        return float(match[1]) * _UNITS[match[2] or "s"]
    return value


def parse_seconds(option: str, text: str) -> float:
    """Read `90s`, `30m`, `2h` on a command line as seconds.

    Raises SpecError, which names the option.
    """
    try:
        seconds = _seconds(text)
    except ValueError as error:
        raise SpecError(f"{option}: {error}") from None
    assert isinstance(seconds, float)
    return seconds


Duration = Annotated[float, BeforeValidator(_seconds), Field(gt=0)]
