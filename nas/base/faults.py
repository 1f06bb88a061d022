"""A sentence of this program's own on the first fault of data that a model refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

__all__ = ["first_fault"]

_ALLOWED: Mapping[str, str] = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a text",
    "string_too_short": "a text that is not empty",
    "string_pattern_mismatch": "letters, digits, dots, hyphens and _, the first a letter or digit",
    "list_type": "a list, as in [a, b]",
    "dict_type": "keys with values, as in {{a: b}}",
    "too_short": "{min_length} or more of them",
    "too_long": "{max_length} of them at most",
    "greater_than": "above {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "below {lt}",
    "less_than_equal": "{le} or less",
    "literal_error": "{expected}",
    "none_required": "null",
}
"""Kind of fault, as pydantic calls it -> what is allowed; braces hold what it knows of it."""

_OF_KEYS = ("model_type", "model_attributes_type")
_OF_OURS = "value_error"  # raised by a check of a model's own, whose words stand


def first_fault(model: type[BaseModel], error: ValidationError) -> str:
    """Return the key of the first fault, what was found and what is allowed."""
    faults = error.errors(include_url=False)
    # A key that is misspelt also looks missing; what was found is the better clue.
    unknown = (fault for fault in faults if fault["type"] == "extra_forbidden")
    fault: Any = next(unknown, faults[0])
    # A Union reports a branch such as "int" or "list[float]" as if it were a key.
    key = ".".join(str(part) for part in fault["loc"] if not _is_branch(part))
    if fault["type"] == "extra_forbidden":
        owner = _owner(model, tuple(fault["loc"][:-1]))
        return f"unknown key {key!r}; allowed here: {', '.join(sorted(owner.model_fields))}"
    if fault["type"] == "missing":
        owner = _owner(model, tuple(fault["loc"][:-1]))
        return f"key {key!r} is missing; allowed here: {', '.join(sorted(owner.model_fields))}"
    if fault["type"] == _OF_OURS:
        message = fault["msg"].removeprefix("Value error, ").replace("found None;", "found null;")
        return f"{key}: {message}" if key else message
    value = "null" if fault["input"] is None else repr(fault["input"])
    return f"{key}: found {value}; allowed: {_allowed(model, fault)}"


def _allowed(model: type[BaseModel], fault: Mapping[str, Any]) -> str:
    if fault["type"] in _OF_KEYS:
        names = ", ".join(sorted(_owner(model, tuple(fault["loc"])).model_fields))
        return f"a section with keys of these: {names}"
    known = _ALLOWED.get(fault["type"])
    if known is None:  # one that no model here meets yet
        return str(fault["msg"]).removeprefix("Input should be ")
    # Of a range its numbers as people write them: 1, not 1.0.
    about = {
        name: f"{value:g}" if isinstance(value, float) else value
        for name, value in fault.get("ctx", {}).items()
    }
    return known.format(**about)


def _is_branch(part: int | str) -> bool:
    return isinstance(part, str) and (
        part in {"int", "float", "str", "bool"} or "[" in part or part.startswith("constrained")
    )


def _owner(model: type[BaseModel], path: tuple[int | str, ...]) -> type[BaseModel]:
    """Return the model that a path of keys leads to; that of the deepest section on it."""
    for part in path:
        field = model.model_fields.get(str(part))
        if field is None:
            continue
        for kind in (field.annotation, *get_args(field.annotation)):  # of one that may be null
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                model = kind
    return model
