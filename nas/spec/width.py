"""The width of a backbone as it stands in names: `mobilenetv2_100@1.25` is a quarter wider.

A width is part of a backbone's name, so that an architecture of one needs no further field, and
those without one keep their digests.
"""

from __future__ import annotations

import math

from nas.base.errors import SpecError

__all__ = [
    "MOST_WIDTH",
    "describe_reference",
    "is_widened",
    "rival_name",
    "split_width",
    "with_width",
]

_SIGN = "@"
_RIVAL = "plain x"
_OF_OWN_NAMES = set(':/\\()"')
MOST_WIDTH = 10.0
_LEAST = 0.1


def split_width(backbone: str) -> tuple[str, float]:
    """Return the name of a backbone, and how many times its channels are meant: 1 as it comes.

    Raises SpecError where what follows the sign is no such number.
    """
    name, sign, text = backbone.rpartition(_SIGN)
    if not sign or _OF_OWN_NAMES & set(text):  # that of a path or an argument of one's own
        return backbone, 1.0
    if split_width(name)[0] != name:  # it has a width already
        name, _, text = backbone.partition(_SIGN)
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not name or not _LEAST <= factor <= MOST_WIDTH or text != f"{factor:g}":
        raise SpecError(
            f"backbone {backbone!r}: width {text!r}; allowed: a number from {_LEAST:g} to "
            f"{MOST_WIDTH:g} in its shortest form, as in mobilenetv2_100{_SIGN}1.25"
        )
    return name, factor


def with_width(backbone: str, factor: float) -> str:
    """Return the name of a backbone with so many times the channels it has, to two digits.

    Raises SpecError as `split_width` does.
    """
    name, own = split_width(backbone)
    total = f"{round(own * factor, 2):g}"
    if total == "1":
        return name
    widened = f"{name}{_SIGN}{total}"
    split_width(widened)
    return widened


def rival_name(factor: float) -> str:
    """Return the reference's name of the plain network with so many times its channels."""
    return f"{_RIVAL}{factor:g}"


def is_widened(reference: object) -> bool:
    """Say whether a reference's name is of the plain network widened (see `rival_name`).

    It is neither the plain network nor one with blocks that were placed by hand.
    """
    return isinstance(reference, str) and reference.startswith(_RIVAL)


def describe_reference(reference: str) -> str:
    """Say what kind of reference a name is of: `hand-placed`, or `widened`."""
    return "widened" if is_widened(reference) else "hand-placed"
