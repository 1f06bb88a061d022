"""The name of a user's own function: `package.module:name` or `path/to/file.py:name`.

Arguments are part of it, as `NAME@1.25` is of a width: `nets:tiny(width=0.5)`, sorted by their
names, with values as JSON writes them. One name is then one network wherever names go, to workers,
into studies and run folders; and a name without arguments stays what it was.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

from nas.base.errors import SpecError

__all__ = ["Argument", "OwnName"]

Argument = int | float | str | bool | None
"""A value that a name can hold."""

_FILE = ".py"
_SHAPE = re.compile(
    r"(?P<place>[^\W\d]\w*(?:\.[^\W\d]\w*)*|.+?\.py):(?P<name>[^\W\d]\w*)(?P<arguments>\(.*\))?",
    re.DOTALL,
)
_KEY = re.compile(r"\s*([^\W\d]\w*)\s*=\s*")
_COMMA = re.compile(r"\s*(,|$)")


@dataclass(frozen=True, slots=True)
class OwnName:
    """The name of something of a user's own that is called.

    place: `package.module`, or the path of a file.
    arguments: sorted by name.
    """

    place: str
    name: str
    arguments: tuple[tuple[str, Argument], ...] = ()

    @classmethod
    def parse(cls, text: str) -> OwnName | None:
        """Read a name; None where it has another form.

        Raises SpecError for arguments that cannot be read.
        """
        shape = _SHAPE.fullmatch(text)
        if shape is None:
            return None
        inside = (shape["arguments"] or "()")[1:-1]
        return cls(shape["place"], shape["name"]).called(_read_arguments(inside, text))

    @property
    def is_file(self) -> bool:
        """True where its place is a file."""
        return self.place.endswith(_FILE)

    @property
    def bare(self) -> str:
        """The name without arguments."""
        return f"{self.place}:{self.name}"

    @property
    def brief(self) -> str:
        """The name for others to read: where a file lies here is nobody's business."""
        return str(replace(self, place=Path(self.place).name)) if self.is_file else str(self)

    def called(self, arguments: Mapping[str, object]) -> OwnName:
        """Return the name with further arguments.

        Raises SpecError for one that is given twice, or has a value that a name cannot hold.
        """
        given: dict[str, Argument] = dict(self.arguments)
        for key, value in arguments.items():
            if not isinstance(key, str) or not key.isidentifier():
                raise SpecError(f"{self.bare}: argument {key!r} is no name of one")
            if key in given and given[key] != value:
                raise SpecError(f"{self.bare}: argument {key} is given twice")
            if not _is_argument(value):
                raise SpecError(
                    f"{self.bare}: argument {key}: found {value!r}; allowed: a number, a text, "
                    "true, false or null"
                )
            given[key] = value
        return replace(self, arguments=tuple(sorted(given.items(), key=lambda item: item[0])))

    def absolute(self) -> OwnName:
        """Return the name with its file's path from the root, found from any directory."""
        if not self.is_file:
            return self
        return replace(self, place=os.path.abspath(os.path.expanduser(self.place)))

    def __str__(self) -> str:
        if not self.arguments:
            return self.bare
        written = ",".join(
            f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in self.arguments
        )
        return f"{self.bare}({written})"


def _is_argument(value: object) -> TypeGuard[Argument]:
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, int | str)


def _read_arguments(text: str, name: str) -> dict[str, Any]:
    """Read `width=0.5,act="relu"`. name: of all of it, in errors."""
    arguments: dict[str, Any] = {}
    reader, at = json.JSONDecoder(), 0
    while text[at:].strip():
        key = _KEY.match(text, at)
        try:
            if key is None or key[1] in arguments:
                raise ValueError
            value, at = reader.raw_decode(text, key.end())
            comma = _COMMA.match(text, at)
            if comma is None:
                raise ValueError
        except (ValueError, RecursionError):
            raise SpecError(
                f"{name!r}: arguments {text!r} cannot be read; write each once, as JSON writes "
                'values, such as (width=0.5,act="relu",deep=true)'
            ) from None
        arguments[key[1]] = value
        at = comma.end()
    return arguments
