"""Names of a user's own networks.

Arguments are part of them: `nets:tiny(width=0.5)`. Those of networks that were given in memory
begin with `object:`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nas.base.errors import SpecError
from nas.base.own_name import OwnName
from nas.spec.width import split_width, with_width

__all__ = ["HELD", "absolute", "brief", "is_held", "with_arguments"]

HELD = "object:"


def with_arguments(backbones: Sequence[str], arguments: Mapping[str, object]) -> list[str]:
    """Return names of backbones with these arguments, in the one form that a name has.

    arguments: for each of the backbones.
    Raises SpecError for those that take none, and values that a name cannot hold.
    """
    return [_with_arguments(backbone, arguments) for backbone in backbones]


def _with_arguments(backbone: str, arguments: Mapping[str, object]) -> str:
    name, width = split_width(backbone)
    own = OwnName.parse(name)
    if own is not None:
        return with_width(str(own.called(arguments)), width)
    if arguments:
        raise SpecError(
            f"backbone {backbone!r} takes no arguments ({', '.join(map(str, arguments))}): they "
            "are for one's own, package.module:name or path/to/file.py:name"
        )
    return backbone


def absolute(backbone: str) -> str:
    """Return the name with the path of a user's file from the root, found from any directory."""
    name, width = split_width(backbone)
    own = OwnName.parse(name)
    return backbone if own is None else with_width(str(own.absolute()), width)


def brief(backbone: str) -> str:
    """Return the name for others to read: without the folder of a user's file."""
    name, width = split_width(backbone)
    own = OwnName.parse(name)
    return backbone if own is None else with_width(own.brief, width)


def is_held(backbone: str) -> bool:
    """Say whether a name is of a network that was given in memory, to whichever process.

    That process alone can make it.
    """
    return backbone.startswith(HELD)
