"""Expressions: what they mean, what an unknown figure does, and what is not let in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nas.base.errors import SpecError
from nas.study.front.filter import matching

nan = float("nan")


class Rows:
    numbers = ("latency_ms", "params", "loss_saved", "eligible")
    texts = ("reference",)
    _columns = {
        "latency_ms": np.array([1.0, 2.0, 3.0, 4.0]),
        "params": np.array([10, 20, 30, 40]),
        "loss_saved": np.array([0.0, 0.1, nan, 0.2]),
        "eligible": np.array([1, 1, 0, 1]),
        "reference": np.array(["plain", None, "se/r16", None], dtype=object),
    }

    def __len__(self) -> int:
        return 4

    def column(self, name: str) -> NDArray[Any]:
        return self._columns[name]

    def sites(self, kind: str | None, stage: str | None) -> NDArray[np.float64]:
        if kind == "cord":
            raise SpecError("unknown kind 'cord'; there are: coord, se")
        return {
            ("coord", None): np.array([0.0, 1.0, 2.0, 3.0]),
            ("coord", "blocks.3"): np.array([0.0, 0.0, 0.0, 1.0]),
            (None, "blocks.3"): np.array([0.0, 0.0, 1.0, 1.0]),
        }[kind, stage]


def kept(text: str) -> list[int]:
    return [int(row) for row in np.flatnonzero(matching(text, Rows()))]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("latency_ms < 3", [0, 1]),
        ("3 > latency_ms", [0, 1]),
        ("1 < latency_ms <= 3", [1, 2]),
        ("latency_ms < 3 and params > 10", [1]),
        ("latency_ms < 2 or params >= 40", [0, 3]),
        ("not latency_ms < 3", [2, 3]),
        ("params / latency_ms == 10 and params * 2 - 10 > 3e1", [2, 3]),
        ("-latency_ms < -2.5", [2, 3]),
        (f"latency_ms < 1{'0' * 400}", [0, 1, 2, 3]),
        (f"latency_ms < -1{'0' * 400}", []),
        ("sites('coord') <= 1", [0, 1]),
        ("sites('coord', stage='blocks.3')", None),
        ("sites('coord', stage='blocks.3') > 0", [3]),
        ("sites(stage='blocks.3') == 1 and sites(kind='coord') < 3", [2]),
        ("reference", [0, 2]),
        ("not reference", [1, 3]),
        ("reference == 'plain'", [0]),
        ("reference != 'plain'", [1, 2, 3]),
        ("reference == None", [1, 3]),
        ("reference in ('plain', 'se/r16') and latency_ms in [3, 4]", [2]),
        ("reference not in ['plain']", [1, 2, 3]),
        ("eligible", [0, 1, 3]),
        ("  True", [0, 1, 2, 3]),
        ("False or latency_ms == 2", [1]),
        ("params / 0 > 5", []),  # not known
    ],
)
def test_what_expressions_mean(text: str, rows: list[int] | None) -> None:
    if rows is None:
        with pytest.raises(SpecError, match="a comparison is needed"):
            kept(text)
    else:
        assert kept(text) == rows


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("loss_saved > 0.05", [1, 3]),
        ("loss_saved <= 0.05", [0]),
        ("not loss_saved > 0.05", [0]),
        ("loss_saved != 0.1", [0, 3]),
        ("loss_saved > 0.05 or latency_ms == 3", [1, 2, 3]),
        ("loss_saved > 0.05 and latency_ms == 3", []),
        ("not (loss_saved > 0.05 and latency_ms == 4)", [0, 1, 2]),
    ],
)
def test_what_is_not_known_is_neither_true_nor_false(text: str, rows: list[int]) -> None:
    assert kept(text) == rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("latency < 8", "position 1: unknown name 'latency'; known: latency_ms, params"),
        ("params > 1 and latency < 8", "position 16: unknown name"),
        ("latency_ms <", "position .*: invalid syntax; write it as in"),
        ("", "invalid syntax"),
        ("latency_ms = 8", "write it as in"),
        ("latency_ms < 'a'", "position 14: a text and a number"),
        ("reference < 'a'", "by == and != alone"),
        ("latency_ms", "a comparison is needed here"),
        ("latency_ms < 3 + reference", "position 18: a number is needed"),
        ("latency_ms in 3", "a list is needed behind in"),
        ("latency_ms is 3", "are known"),
        ("latency_ms ** 2 < 3", "known"),
        ("sites('cord') < 3", "position 1: unknown kind 'cord'; there are: coord, se"),
        ("params > 5 and sites() < 3", "position 16: write it as in sites"),
        ("sites(3) < 3", "the kind of sites is a text"),
        ("sites('a', place='b') < 3", "write it as in sites"),
        ("sites < 3", "sites is written as"),
        ("abs(latency_ms) < 3", "the one function is sites"),
        ("(lambda: 1)() < 3", "the one function is sites"),
        ("__import__('os').system('true') == 0", "the one function is sites"),
        ("latency_ms.real < 3", "is not understood"),
        ("[x for x in (1,)] == 1", "is not understood"),
        ("f'{latency_ms}' == 'a'", "is not understood"),
        ("(x := 3) < 4", "is not understood"),
        ("1j < latency_ms", "neither a number nor a text"),
        ("b'a' == reference", "neither a number nor a text"),
        ("a" * 3000, "at most 2000"),
        ("(" * 900 + "1" + ")" * 900, "expression"),
        ("not " * 490 + "eligible", None),
        ("latency_ms < 8 \x00", "expression"),
        ("lätency == 'ü' and nix < 3", "position 1: unknown name 'lätency'"),
        ("reference == 'ü' and nix < 3", "position 22: unknown name 'nix'"),
        ("import os", "write it as in"),
        ("1 < 2; 3", "write it as in"),
    ],
)
def test_wrong_expressions_say_where_and_what(text: str, message: str | None) -> None:
    if message is None:
        matching(text, Rows())
        return
    with pytest.raises(SpecError, match=message) as caught:
        matching(text, Rows())
    assert "\n" not in str(caught.value)
