"""Parsing of what was typed behind options; a fault is one line about that option."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nas.base.errors import SpecError
from nas.base.files import read_yaml
from nas.study.front.filter import Limit

if TYPE_CHECKING:
    from nas.spec.runner import Runner

__all__ = [
    "check_strides",
    "is_share",
    "parse_arguments",
    "parse_focus",
    "parse_limit",
    "parse_names",
    "parse_numbers",
    "parse_validation",
    "settings_of_weights",
    "with_option",
]


_STRIDES = (4, 8, 16, 32)
_OUTPUT_STRIDES = (8, 16, 32)


def check_strides(total_stride: int | None, output_stride: int | None) -> None:
    """Check strides as they were typed. Raises SpecError."""
    for name, stride, allowed in (
        ("total stride", total_stride, _STRIDES),
        ("output stride", output_stride, _OUTPUT_STRIDES),
    ):
        if stride is not None and stride not in allowed:
            raise SpecError(f"{name} {stride}; allowed: {', '.join(map(str, allowed))}")


def parse_numbers(text: str, option: str) -> dict[str, float]:
    """Return the numbers of `latency_ms=8,params=3e6` by name.

    option: what it was typed behind, for the error.
    Raises SpecError when a part is no NAME=NUMBER, or a name is given twice.
    """
    numbers: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not equals or not name.strip() or math.isnan(number):
            raise SpecError(f"{option} {part.strip()!r}: write name=number, as in latency_ms=8")
        if name.strip() in numbers:
            raise SpecError(f"{option}: {name.strip()} is given twice; leave one")
        numbers[name.strip()] = number
    return numbers


def parse_limit(sign: str, text: str) -> dict[str, Limit]:
    """Return `latency_ms=8` as a limit that `Front.where` takes by name.

    sign: "<=" or ">=".
    Raises SpecError when it is no NAME=NUMBER.
    """
    name, _, value = text.partition("=")
    try:
        bound = float(value)
    except ValueError:
        bound = math.nan
    if math.isnan(bound):
        raise SpecError(f"filter {text!r}; write name=number, as in latency_ms=8")
    return {name.strip(): (sign, bound)}


def parse_names(text: str | None) -> list[str] | None:
    """Return the names of `accuracy, latency_ms`; None where nothing was typed."""
    return [name.strip() for name in text.split(",")] if text else None


def parse_focus(texts: Sequence[str]) -> str:
    """Return every `latency_ms=5..10` as one value of the runner's key `search.focus`.

    Raises SpecError when one is no NAME=LOW..HIGH.
    """
    ranges = []
    for text in texts:
        match = re.fullmatch(r"\s*(\w+)\s*=\s*([\d.eE+-]+?)\s*\.\.\s*([\d.eE+-]+)\s*", text)
        if match is None:
            raise SpecError(f"--focus {text!r}: write NAME=LOW..HIGH, as in latency_ms=5..10")
        ranges.append(f"{match[1]}: [{match[2]}, {match[3]}]")
    return "{" + ", ".join(ranges) + "}"


def parse_arguments(texts: Sequence[str] | None) -> dict[str, object]:
    """Return every `width=0.5` behind --backbone-args by name; values are read as YAML.

    Raises SpecError when one is no NAME=VALUE, or a name is given twice.
    """
    arguments: dict[str, object] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier():
            raise SpecError(f"--backbone-args {text!r}: write NAME=VALUE, as in width=0.5")
        if name.strip() in arguments:
            raise SpecError(f"--backbone-args: {name.strip()} is given twice; leave one")
        arguments[name.strip()] = read_yaml(value, f"--backbone-args {name.strip()}")
    return arguments


def is_share(text: str) -> bool:
    """Return whether what was typed behind --validation is a number, not the path of a folder."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def parse_validation(text: str) -> str:
    """Return a share, or the path of a folder, as the value of the runner's key `validation`."""
    return text if is_share(text) else json.dumps(text, ensure_ascii=False)


def with_option(runner: Runner, option: str, setting: str) -> Runner:
    """Return the runner with one key set by an option of its own.

    option: as it was typed: `--trials`.
    setting: `search.trials=20`.
    Raises SpecError that names the option, not the key, when the value is not allowed.
    """
    from nas.spec.runner import with_overrides

    try:
        return with_overrides(runner, (setting,))
    except SpecError as error:
        key = setting.partition("=")[0]
        blamed = re.match(r"--set: ([\w.]+):", str(error))
        if blamed is None or not _one_holds_the_other(key, blamed[1]):
            raise  # a fault of another key, which this option did not make
        raise SpecError(f"{option}:{str(error)[blamed.end() :]}") from None


def _one_holds_the_other(key: str, other: str) -> bool:
    return f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}.")


def settings_of_weights(
    weights: str | None, match: str | None, regime: str | None = None
) -> list[str]:
    """Return the settings of a runner that `--weights` and `--weights-match` stand for.

    regime: as it was asked for; None: `finetune`, beside weights.
    """
    settings = []
    if weights is not None:
        settings += [] if regime else ["regime=finetune"]
        settings += [f"proxy.backbone.weights={json.dumps(weights)}", "proxy.backbone.epochs=0"]
    if match is not None:
        settings += [f"proxy.backbone.match={json.dumps(match)}"]
    return settings
