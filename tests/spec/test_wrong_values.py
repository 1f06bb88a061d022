"""A wrong value of any key of a runner or a space is one line in this program's own words."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from nas.base.errors import SpecError
from nas.base.files import parse
from nas.spec.runner import Runner
from nas.spec.space import SearchSpace

STOCK = re.compile(
    r"[Ii]nput should|validation error|[Ff]ield required|[Ee]xtra inputs|Value error|unable to"
    r"|pydantic|\[type=|valid (integer|number|string|boolean|dict|list)"
)
WAY_OUT = re.compile(r"allowed|needed|known|write |name |must|give |leave |use |not ")
SPACE: Mapping[str, Any] = {
    "name": "small",
    "backbones": ["mobilenetv2_035"],
    "resolutions": [32],
    "sites": {"position": "after_depthwise"},
    "blocks": {"eca": {}},
}
WRONG: tuple[Any, ...] = (
    0, -1, 0.5, math.nan, math.inf, 10**30, "text", "", "\n", True, None, [], {}, [0], ["x"],
    [None], [[1]], {"a": 1}, {"": 0}, {1: 2},
)  # fmt: skip


def keys(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every key, those of sections in sections too."""
    for name, field in model.model_fields.items():
        yield (*path, name)
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from keys(kind, (*path, name))


def holding(start: Mapping[str, Any], path: tuple[str, ...], value: object) -> dict[str, Any]:
    """The data with another value at the end of a path."""
    first, *rest = path
    below = start.get(first)
    inner = below if isinstance(below, dict) else {}
    return {**start, first: holding(inner, tuple(rest), value) if rest else value}


@pytest.mark.parametrize(
    "model, start, path",
    [
        pytest.param(model, start, path, id=".".join(path))
        for model, start in ((Runner, {}), (SearchSpace, SPACE))
        for path in keys(model)
    ],
)
def test_a_wrong_value_is_told_in_one_line(
    model: type[BaseModel], start: Mapping[str, Any], path: tuple[str, ...]
) -> None:
    refused = 0
    for value in WRONG:
        try:
            parse(model, holding(start, path, value), "file.yaml")
        except SpecError as error:
            told, refused = str(error), refused + 1
            assert "\n" not in told and not STOCK.search(told), told
            assert WAY_OUT.search(told) and path[0] in told, told
    assert refused, "every key has values that it does not take"
