"""Errors of the command line, described in this program's own words."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Iterable
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer

from nas.base.errors import SpecError
from nas.base.formats import one_line

__all__ = ["describe_misuse", "refuse_empty", "refuse_nan"]


def refuse_empty(words: Iterable[str]) -> None:
    """Check that no word of the command line is empty, as a variable of the shell may be.

    Raises SpecError.
    """
    before = ""
    for word in words:
        if not word.strip() or re.fullmatch(r"--[\w-]+=\s*", word):
            name = word.partition("=")[0].strip() or before
            where = f"{name}: found ''" if name.startswith("-") else "found an empty word"
            raise SpecError(
                f"{where}; allowed: a text that is not empty (is a variable of the shell not set?)"
            )
        before = word


def refuse_nan(context: Any, parameter: Any, value: Any) -> Any:
    """Check that a value is not NaN, which the ranges of Typer before 0.28 let pass; return it."""
    if isinstance(value, float) and math.isnan(value):
        raise typer.BadParameter("'nan' is not a number", ctx=context, param=parameter)
    return value


def describe_misuse(error: Exception) -> str:
    """Return one line: what was found, what is allowed, and where it is described."""
    context: Any = getattr(error, "ctx", None)
    said = getattr(error, "format_message", error.__str__)()
    message = " ".join(one_line(said).split()).rstrip(".")
    # Click's words behind Typer before 0.28.
    message = re.sub(r"^No such option '(\S+)'\.?", r"No such option: \1", message)
    if context is None:
        return message
    parameter: Any = getattr(error, "param", None)
    if parameter is not None:
        name = next((name for name in parameter.opts if name.startswith("--")), parameter.name)
        if said.startswith("Missing"):
            message = f"Missing {'option' if name.startswith('--') else 'argument'} {name!r}"
        elif said.startswith("Invalid value") and (
            allowed := _allowed(context.command, parameter.name)
        ):
            message = f"{name}: found {_found(error)}; allowed: {allowed}"
    return f"{message}; see: {context.command_path} --help"


def _found(error: Exception) -> str:
    """Return the value that was refused, as it was typed."""
    faults: list[dict[str, Any]] = getattr(error.__cause__, "errors", list)()
    if faults:
        return repr(faults[0]["input"])
    # Typer before 0.28 says it in Click's words alone.
    said = re.search(r"'?(.+?)(?:\.0)?'? is not ", str(error))
    return repr(said[1]) if said else "another"


def _allowed(command: Any, name: str) -> str:
    """Return what the parameter of a command takes; empty where any text will do."""
    hints = get_type_hints(inspect.unwrap(command.callback), include_extras=True)
    kind, about = _taken_apart(hints[name])
    if get_origin(kind) is Literal:
        return ", ".join(map(str, get_args(kind)))
    if kind not in (int, float):
        return ""
    number = "a whole number" if kind is int else "a number"
    least, most = (
        None if end is None else f"{end:g}" if kind is float else str(end)
        for end in (getattr(about, "min", None), getattr(about, "max", None))
    )
    if least is None:
        return number if most is None else f"{number}, {most} or less"
    return f"{number}, {least} or more" if most is None else f"{number} from {least} to {most}"


def _taken_apart(hint: Any) -> tuple[Any, Any]:
    """Return the type of one value and the option's own description, without null and lists."""
    about = None
    if get_origin(hint) is Annotated:
        hint, about = get_args(hint)[:2]
    if get_origin(hint) in (Union, UnionType):
        hint = next(part for part in get_args(hint) if part is not NoneType)
    if get_origin(hint) is list:
        (hint,) = get_args(hint)
    return hint, about
