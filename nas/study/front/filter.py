"""Which networks keep what is asked of them: limits by name, or an expression.

Expressions are of a small language: `latency_ms < 8 and sites('coord') <= 2`. Python's grammar, a
handful of its nodes, and nothing evaluated: each node is computed here, on columns. What is not
known of a network (its saving, without a plain one to compare with) makes a comparison neither true
nor false, and such a network passes no filter.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import SpecError

__all__ = ["Limit", "Table", "keeping", "matching"]

Floats = NDArray[np.float64]
Limit = tuple[str, float]
"""A comparison and its bound: `("<", 8.0)`."""

_LONGEST = 2000
_SIGNS: dict[str, Callable[[Any, float], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


def _quotient(number: Floats, by: Floats) -> Floats:
    """By nothing: not known."""
    return np.asarray(np.where(by == 0, np.nan, number / np.where(by == 0, 1.0, by)))


_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: _quotient,
}


class Table(Protocol):
    """A table of n rows to be filtered."""

    @property
    def numbers(self) -> Sequence[str]:
        """The names of columns of numbers."""

    @property
    def texts(self) -> Sequence[str]:
        """The names of columns of text."""

    @property
    def limited(self) -> Sequence[str]:
        """The names of columns that limits by name may be of."""

    def __len__(self) -> int: ...

    def column(self, name: str) -> NDArray[Any]:
        """Return (n,) floats with NaN, or objects with None, where absent."""

    def sites(self, kind: str | None, stage: str | None) -> Floats:
        """Return (n,) counts of blocks. Raises SpecError for an unknown kind or stage."""


def keeping(limits: Mapping[str, Limit], table: Table) -> NDArray[np.bool_]:
    """(n,) the rows that keep every limit, by name. Raises SpecError for what cannot be read."""
    keep = np.ones(len(table), dtype=bool)
    for name, limit in limits.items():
        if name not in table.limited:
            raise SpecError(f"cannot filter on {name!r}; known: {', '.join(table.limited)}")
        compare, bound = _read_limit(name, limit)
        with np.errstate(invalid="ignore"):
            keep &= compare(table.column(name), bound)
    return keep


def _read_limit(name: str, limit: Limit) -> tuple[Callable[[Any, float], Any], float]:
    try:
        sign, bound = limit
        number = float(bound)
        if math.isnan(number):
            raise ValueError
        return _SIGNS[sign], number
    except (TypeError, ValueError, KeyError):
        raise SpecError(f"{name}: {limit!r}; write it as in {name}=('<', 8.0)") from None


def matching(text: str, table: Table) -> NDArray[np.bool_]:
    """(n,) the rows for which an expression is true. Raises SpecError with the position."""
    if len(text) > _LONGEST:
        raise SpecError(f"expression of {len(text)} characters; at most {_LONGEST} are read")
    try:
        tree = ast.parse(text.strip(), mode="eval")
        flags = _Computed(text.strip(), table).truth(tree.body)
    except SyntaxError as error:
        where = max(1, error.offset or 1)
        raise SpecError(f"expression {text!r}, position {where}: {error.msg}; {_HOW}") from None
    except (RecursionError, MemoryError):
        raise SpecError(f"expression {text[:40]!r}... is nested too deeply") from None
    except ValueError as error:
        raise SpecError(f"expression {text!r}: {error}; {_HOW}") from None
    return np.asarray(np.broadcast_to(flags == 1, len(table)))


_HOW = "write it as in latency_ms < 8 and sites('coord') <= 2"


class _Computed:
    """Values of nodes: truths as floats (1 true, 0 false, NaN not known), numbers as floats, texts
    as objects; single ones, or one for each row.
    """

    def __init__(self, text: str, table: Table) -> None:
        self._text = text
        self._table = table

    def _wrong(self, node: ast.expr, message: str) -> NoReturn:
        line = self._text.splitlines()[node.lineno - 1]
        # ast counts bytes.
        column = len(line.encode()[: node.col_offset].decode(errors="ignore")) + 1
        raise SpecError(f"expression {self._text!r}, position {column}: {message}")

    # What a node must be.

    def truth(self, node: ast.expr) -> Floats:
        if isinstance(node, ast.BoolOp):
            parts = [self.truth(value) for value in node.values]
            truth = parts[0]
            for part in parts[1:]:
                truth = _both(truth, part) if isinstance(node.op, ast.And) else _any(truth, part)
            return truth
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return np.asarray(1.0 - self.truth(node.operand))
        if isinstance(node, ast.Compare):
            return self._compared(node)
        if isinstance(node, ast.Constant) and isinstance(node.value, bool):
            return np.asarray(float(node.value))
        if isinstance(node, ast.Name):
            values = self._named(node)
            if values.dtype == object:
                return np.array([value is not None for value in values], dtype=np.float64)
            if ((values == 0) | (values == 1)).all():
                return values
        self._wrong(node, "a comparison is needed here, as in latency_ms < 8")

    def value(self, node: ast.expr) -> NDArray[Any]:
        """Numbers or texts."""
        if isinstance(node, ast.Constant):
            if node.value is None or isinstance(node.value, str):
                return np.array(node.value, dtype=object)
            if isinstance(node.value, int | float):
                return np.asarray(_number(node.value))
            self._wrong(node, f"{node.value!r} is neither a number nor a text")
        if isinstance(node, ast.Name):
            return self._named(node)
        if isinstance(node, ast.Call):
            return self._sites(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            number = self.number(node.operand)
            return np.asarray(-number if isinstance(node.op, ast.USub) else number)
        if isinstance(node, ast.BinOp):
            apply = _ARITHMETIC.get(type(node.op))
            if apply is None:
                self._wrong(node, "of arithmetic, + - * / are known")
            with np.errstate(all="ignore"):
                return np.asarray(apply(self.number(node.left), self.number(node.right)))
        self._wrong(
            node,
            f"{ast.unparse(node)[:40]!r} is not understood; known: names, numbers, 'texts', "
            "< <= > >= == != in, and or not, + - * /, sites('kind', stage='...')",
        )

    def number(self, node: ast.expr) -> Floats:
        values = self.value(node)
        if values.dtype == object:
            self._wrong(node, "a number is needed here, and this is text")
        return values

    # Nodes.

    def _named(self, node: ast.Name) -> NDArray[Any]:
        if node.id in self._table.texts:
            return self._table.column(node.id)
        if node.id in self._table.numbers:
            return np.asarray(self._table.column(node.id), dtype=np.float64)
        if node.id == "sites":
            self._wrong(node, "sites is written as in sites('coord') or sites(stage='blocks.3')")
        known = ", ".join([*self._table.numbers, *self._table.texts])
        self._wrong(node, f"unknown name {node.id!r}; known: {known}, sites('kind')")

    def _compared(self, node: ast.Compare) -> Floats:
        truth: Floats = np.asarray(1.0)
        left = node.left
        for sign, right in zip(node.ops, node.comparators, strict=True):
            truth = _both(truth, self._pair(left, sign, right))
            left = right
        return truth

    def _pair(self, left: ast.expr, sign: ast.cmpop, right: ast.expr) -> Floats:
        if isinstance(sign, ast.In | ast.NotIn):
            if not isinstance(right, ast.Tuple | ast.List | ast.Set) or not right.elts:
                self._wrong(right, "a list is needed behind in, as in ('coord/r32', 'se/r16')")
            truth: Floats = np.asarray(0.0)
            for element in right.elts:
                truth = _any(truth, self._pair(left, ast.Eq(), element))
            return truth if isinstance(sign, ast.In) else np.asarray(1.0 - truth)
        compare = _COMPARE.get(type(sign))
        if compare is None:
            self._wrong(left, "of comparisons, < <= > >= == != in are known")
        one, two = self.value(left), self.value(right)
        if (one.dtype == object) != (two.dtype == object):
            self._wrong(right, "a text and a number cannot be compared")
        if one.dtype == object:
            if not isinstance(sign, ast.Eq | ast.NotEq):
                self._wrong(left, "texts are compared by == and != alone")
            same = np.asarray(compare(one, two)).astype(bool)
            return np.asarray(same, dtype=np.float64)
        with np.errstate(invalid="ignore"):
            holds = np.asarray(compare(one, two), dtype=np.float64)
        return np.asarray(np.where(np.isnan(one) | np.isnan(two), np.nan, holds))

    def _sites(self, node: ast.Call) -> Floats:
        if not isinstance(node.func, ast.Name) or node.func.id != "sites":
            self._wrong(node, "the one function is sites('kind', stage='...')")
        given = dict(zip(["kind"], node.args, strict=False))
        given |= {str(item.arg): item.value for item in node.keywords}
        count = len(node.args) + len(node.keywords)
        if len(node.args) > 1 or not given or len(given) < count or set(given) - {"kind", "stage"}:
            self._wrong(node, "write it as in sites('coord'), sites('coord', stage='blocks.3')")
        texts = {}
        for name, item in given.items():
            if not isinstance(item, ast.Constant) or not isinstance(item.value, str):
                self._wrong(item, f"the {name} of sites is a text, as in sites('coord')")
            texts[name] = item.value
        try:
            return self._table.sites(texts.get("kind"), texts.get("stage"))
        except SpecError as error:
            self._wrong(node, str(error))


def _both(one: Floats, two: Floats) -> Floats:
    return np.asarray(np.where((one == 0) | (two == 0), 0.0, one * two))


def _any(one: Floats, two: Floats) -> Floats:
    return np.asarray(np.where((one == 1) | (two == 1), 1.0, np.maximum(one, two)))


def _number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return math.inf if value > 0 else -math.inf
