"""Wrong values of every option of every command: one line in this program's own words."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any, Literal, get_origin, get_type_hints

import pytest
import typer

from nas.cli import app
from nas.cli.misuse import _taken_apart

pytestmark = pytest.mark.xdist_group("run")

STOCK = re.compile(
    r"Input should|validation error|Field required|Invalid value|not a valid|is not one of"
    r"|is not in the range|Value error|pydantic|\[type=|Traceback"
)
# What a run has, and keys of a runner, which has their limits.
ELSEWHERE = {"trial", "--trial", "--trials", "--seed"}
OWN_LISTS = {"--total-stride", "--output-stride"}  # of a few numbers each, told by parse_strides


def parameters(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[Any]:
    """All parameters that take a value, with the words of their command."""
    command = command or typer.main.get_command(app)
    for name, below in getattr(command, "commands", {}).items():
        yield from parameters(below, (*path, name))
    for one in command.params if command.callback and path else ():
        if one.name not in ("help", "") and not getattr(one, "is_flag", False):
            hints = get_type_hints(inspect.unwrap(command.callback), include_extras=True)
            if one.name in hints:
                yield pytest.param(path, one, *_taken_apart(hints[one.name]),
                                   id=f"{'-'.join(path)}-{one.opts[0]}")  # fmt: skip


def typed(kind: Any) -> bool:
    return kind in (int, float) or get_origin(kind) is Literal


@pytest.mark.parametrize(
    "path, parameter, kind, about", [item for item in parameters() if typed(item.values[2])]
)
def test_a_value_that_does_not_fit_is_told_with_what_does(  # type: ignore[no-untyped-def]
    nas, path: tuple[str, ...], parameter: Any, kind: Any, about: Any
) -> None:
    option = next((name for name in parameter.opts if name.startswith("--")), None)
    wrong = ["text", "0x10", "1,5", "nan ms", "--"]
    if kind is int:
        wrong += ["nan", "inf", "1.5"]
    if kind in (int, float) and option not in OWN_LISTS:
        assert about.min is not None, "a number has a least value"
        wrong += [f"{about.min - 1:g}", "-inf"]
    if kind is int and option not in OWN_LISTS and (option or parameter.name) not in ELSEWHERE:
        assert about.max is not None, "a whole number has a greatest value: more fills the memory"
        wrong += [str(about.max + 1), "99999999999999999999"]
    if kind is float:
        wrong += ["nan"]
    for value in wrong:
        words = [f"{option}={value}"] if option else ["--", "folder", value]
        ran = nas(*path, *words)
        assert (ran.code, ran.err.count("\n"), ran.out) == (2, 1, ""), (value, ran)
        assert ran.err.startswith(f"error: {option or parameter.name}: found {value!r}; allowed: ")
        assert not STOCK.search(ran.err), ran.err


@pytest.mark.parametrize("path, parameter, kind, about", list(parameters()))
def test_an_empty_text_is_no_value(  # type: ignore[no-untyped-def]
    nas, path: tuple[str, ...], parameter: Any, kind: Any, about: Any
) -> None:
    option = next((name for name in parameter.opts if name.startswith("--")), None)
    for words in ([option, ""], [f"{option}="], [option, " "]) if option else (["", "x"],):
        ran = nas(*path, *words)
        assert (ran.code, ran.err.count("\n"), ran.out) == (2, 1, ""), ran
        assert (option or "an empty word") in ran.err and "not empty" in ran.err


def test_there_are_as_many_as_flags() -> None:
    assert len(list(parameters())) > 150
