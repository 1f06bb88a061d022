"""Changed files of a small network's weights, each with what is to become of it.

In all the forms that `nas search --weights` takes; what is changed are bytes, names, shapes and
types, values, what stands beside them, code to be run, the path itself.
"""

from __future__ import annotations

import random
from pathlib import Path

from benchmarks.fuzzing.changed_files import CHANGED_FILES
from benchmarks.fuzzing.changed_weights import CHANGED_WEIGHTS
from benchmarks.fuzzing.stored_weights import Case

__all__ = ["KINDS", "make_case"]

KINDS = {**CHANGED_WEIGHTS, **CHANGED_FILES}


def make_case(folder: Path, number: int, seed: int, marker: Path) -> Case:
    """Write the changed file of a number.

    marker: that code in it would make.
    """
    rng = random.Random(f"{seed} {number}")
    kind = list(KINDS)[number % len(KINDS)]
    return KINDS[kind](kind, folder / f"{number:05}", rng, marker)
