"""A user's own images, as `module:function` or `path/to/file.py:function`, which returns them.

It is called with the arguments in its name: `mine:photos(side=64)`; most often there are none.

Naming one runs its code, as importing it would.
"""

from __future__ import annotations

from nas.base.errors import SpecError
from nas.base.user_code import call_user_function
from nas.data.images import ImageSource, Parts
from nas.data.pairs import ALLOWED, Pair, describe_value, source_of_pairs

__all__ = ["own_function"]


def own_function(name: str) -> ImageSource[Parts]:
    """Return the images that a user's function returns; they bring no test part.

    It returns (images, labels) for training, or two such pairs, the second for validation.
    Raises SpecError when it fails or returns something else.
    """
    returned = call_user_function(name, "data")
    return source_of_pairs(_pairs(returned, f"data {name!r}"), f"data {name!r}")


def _pairs(returned: object, name: str) -> list[Pair]:
    """Return one pair or two, of anything."""
    if isinstance(returned, tuple) and len(returned) == 2:
        pairs = list(returned) if isinstance(returned[0], tuple) else [returned]
        if all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs):
            return pairs
    raise SpecError(f"{name}: it returned {describe_value(returned)}; {ALLOWED}")
