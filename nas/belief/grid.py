"""The points of a finite space as whole numbers, and how alike the choices of a parameter are."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Codes", "Columns", "Floats", "Grid", "describe"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]
Columns = Mapping[str, Codes]
"""The codes of n points: parameter -> (n,)."""

_NUMBERED = re.compile(r"([A-Za-z_]*=?)(-?\d+(?:\.\d+)?)")
_IDLE = ("none", "keep")


@dataclass(frozen=True, eq=False)
class Grid:
    """A product of finite parameters; a point is a row of codes, the numbers of its choices.

    A choice is known by more than its label: `cbam/r16/k7` is of kind `cbam`, with the numbers
    16 and 7 on scales of their own; plain numbers are on a scale, too. So what is learnt of one
    ratio bears on the next, and what is learnt of one block, if less, on another.
    """

    parameters: Mapping[str, Sequence[Hashable]]

    @cached_property
    def sizes(self) -> Codes:
        """The number of choices of each parameter, (d,)."""
        return np.array([len(choices) for choices in self.parameters.values()], dtype=np.int64)

    @property
    def volume(self) -> int:
        """The number of points."""
        return math.prod(int(size) for size in self.sizes)

    @cached_property
    def first(self) -> Codes:
        """The column (d,) where each parameter's choices begin, when all stand in one row."""
        return np.concatenate([[0], np.cumsum(self.sizes)[:-1]]).astype(np.int64)

    @cached_property
    def owner(self) -> Codes:
        """The number of the parameter (c,), for all choices in one row."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def codes(self, values: Mapping[str, Hashable], *, strict: bool = True) -> Codes:
        """Return the codes (d,) of a point.

        strict: whether every parameter must have a value; else it has the first choice.
        True is not 1, nor 1 1.0, where both are choices.
        Raises ValueError for a choice that is not there, KeyError for a parameter without any.
        """
        return np.array(
            [
                _index(choices, values[name]) if strict or name in values else 0
                for name, choices in self.parameters.items()
            ],
            dtype=np.int64,
        )

    def values(self, codes: Codes) -> dict[str, Hashable]:
        """Return the choices that the codes (d,) of a point stand for."""
        return {
            name: choices[code]
            for (name, choices), code in zip(self.parameters.items(), codes.tolist(), strict=True)
        }

    def columns(self, codes: Codes) -> dict[str, Codes]:
        """Return the columns of codes (n, d), by parameter."""
        return dict(zip(self.parameters, codes.T, strict=True))

    def all_points(self) -> Codes:
        """Return all points, (volume, d)."""
        return np.indices(tuple(self.sizes)).reshape(len(self.sizes), -1).T.astype(np.int64)

    def one_hot(self, codes: Codes, dtype: type[np.floating[Any]] = np.float64) -> Floats:
        """Return codes (n, d) as (n, c) over all choices of all parameters: 1 for those chosen."""
        rows: Floats = np.zeros((len(codes), int(self.sizes.sum())), dtype=dtype)
        rows[np.arange(len(rows))[:, None], codes + self.first] = 1
        return rows

    def random(self, count: int, rng: np.random.Generator) -> Codes:
        """Draw points, (count, d), each choice as likely as the others."""
        return (rng.random((count, len(self.sizes))) * self.sizes).astype(np.int64)

    def mutate(self, codes: Codes, changes: Codes, rng: np.random.Generator) -> Codes:
        """Change some parameters of each row to another choice.

        changes: (n,) about how many.
        """
        rate = changes[:, None] / len(self.sizes)
        step = 1 + (rng.random(codes.shape) * (self.sizes - 1)).astype(np.int64)
        moved = (codes + step) % self.sizes
        return np.where((rng.random(codes.shape) < rate) & (self.sizes > 1), moved, codes)

    def neighbours(self, codes: Codes) -> Codes:
        """Return all points that differ from a row in one parameter, with repetitions."""
        neighbours = []
        for parameter, size in enumerate(self.sizes):
            for step in range(1, size):
                moved = codes.copy()
                moved[:, parameter] = (moved[:, parameter] + step) % size
                neighbours.append(moved)
        return np.concatenate(neighbours) if neighbours else codes[:0]

    def keys(self, codes: Codes) -> Codes:
        """Return numbers (n,) that are equal for equal rows.

        They are equal for different rows once in 2^58 pairs, and hundreds of thousands are told
        apart in a moment.
        """
        return np.asarray((codes * self._multipliers).sum(axis=1))

    @cached_property
    def _multipliers(self) -> Codes:
        rng = np.random.default_rng(0)
        return rng.integers(-(2**63), 2**63 - 1, len(self.sizes), dtype=np.int64) | 1

    @cached_property
    def differences(self) -> Floats:
        """The distance of every two choices, (3, c, c); 0 across parameters.

        The three are in kind, in being something rather than nothing, and on scales. Each is a
        sum of |x - y| over coordinates, so that exp(-difference) is a kernel.
        """
        total = int(self.sizes.sum())
        differences = np.zeros((3, total, total))
        for first, choices in zip(self.first, self.parameters.values(), strict=True):
            own = slice(first, first + len(choices))
            for number, coordinates in enumerate(_coordinates(choices)):
                apart = np.abs(coordinates[:, None, :] - coordinates[None, :, :]).sum(axis=2)
                differences[number, own, own] = apart
        return differences


def _index(choices: Sequence[Hashable], value: Hashable) -> int:
    """Return the number of a choice: of equal ones that of the value's own type."""
    number = choices.index(value)
    if type(choices[number]) is type(value) or isinstance(choices, range):
        return number
    same = (
        other
        for other, choice in enumerate(choices)
        if choice == value and type(choice) is type(value)
    )
    return next(same, number)


def _coordinates(choices: Sequence[Hashable]) -> tuple[Floats, Floats, Floats]:
    """Return kinds (c, k), presence (c, 1) and positions on scales (c, s) of choices."""
    described = [describe(choice) for choice in choices]
    kinds = sorted({kind for kind, _ in described})
    of_kind = np.array([[0.5 * (kind == other) for other in kinds] for kind, _ in described])
    presence = np.array([[float(kind not in _IDLE)] for kind, _ in described])
    scales = sorted({(kind, name) for kind, numbers in described for name in numbers})
    positions = np.zeros((len(choices), max(1, len(scales))))
    for column, (kind, name) in enumerate(scales):
        rows = [row for row, (of, own) in enumerate(described) if of == kind and name in own]
        numbers = np.array([described[row][1][name] for row in rows])
        positions[rows, column] = _scale(numbers)
    return of_kind, presence, positions


def describe(choice: Hashable) -> tuple[str, dict[str, float]]:
    """Return kind, and numbers by name: `coord/r32` -> coord, r: 32."""
    if isinstance(choice, int | float) and not isinstance(choice, bool):
        return "", {"": float(choice)}
    kind, *parts = str(choice).split("/")
    numbers = {}
    for part in parts:
        match = _NUMBERED.fullmatch(part)
        if match:
            numbers[match[1]] = float(match[2])
        else:
            kind += f"/{part}"
    return kind, numbers


def _scale(numbers: Floats) -> Floats:
    """Bring numbers to a span of 1.

    By their logarithms where they span a factor of four, as ratios do.
    """
    if numbers.min() > 0 and numbers.max() >= 4 * numbers.min():
        numbers = np.log(numbers)
    span = np.ptp(numbers)
    return (numbers - numbers.mean()) / span if span > 0 else np.zeros_like(numbers)
