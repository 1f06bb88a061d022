"""The figures of benchmarks/project/structure.py, on a made-up checkout whose figures are known."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from benchmarks.project.structure import alike, complexity, has_head, measure

PYPROJECT = """
[tool.importlinter]
root_package = "nas"

[[tool.importlinter.contracts]]
name = "floors"
type = "layers"
layers = ["nas.cli", "nas.base"]
"""
MODULE = '''
def read(text, strict):
    """Read a text.

    strict: whether it must be there.
    """
    if text and strict:
        found = [part for part in text if part]
        return found
    return None


class Row:
    """Of a table, with what
    stands in it."""

    def first(self):
        return self
'''


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    for name in ("__init__.py", "loose.py", "base/__init__.py", "base/rows.py", "base/row.py"):
        path = tmp_path / "nas" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (tmp_path / "nas" / "base" / "rows.py").write_text(MODULE)
    return tmp_path


def test_a_checkout_is_counted(checkout: Path) -> None:
    counted = measure(checkout)
    assert (counted.loose_modules, counted.folders, counted.modules) == (1, 1, 5)
    assert (counted.floors, counted.contract_lines) == (2, 6)
    assert counted.largest_file.endswith("(base/rows.py)")
    assert (counted.functions, counted.functions_with_found) == (2, 1)
    assert counted.highest_complexity == "4 (rows.read)" and counted.functions_above_15 == 0
    assert counted.public_with_docstring == "67%"
    assert (counted.docstrings_with_head, counted.begin_with_of_with_by_as) == ("50%", "50.0%")


def test_conditions_count_by_their_terms() -> None:
    (function,) = ast.parse("def f(a, b):\n    return 1 if a or b else 2\n").body
    assert isinstance(function, ast.FunctionDef) and complexity(function) == 3


@pytest.mark.parametrize(
    ("one", "two", "said"),
    [
        ("retraining", "retrained", True),
        ("table", "tables", True),
        ("front", "frost", True),
        ("front", "search", False),
        ("run", "runs", False),  # too short to tell a plural from another word
    ],
)
def test_names_that_differ_by_little_are_alike(one: str, two: str, said: bool) -> None:
    assert alike(one, two) is said


@pytest.mark.parametrize(
    ("docstring", "said"),
    [("Read it.", True), ("Read it.\n\nMore.", True), ("Read it\nnow.", False), ("Read", False)],
)
def test_a_head_is_a_sentence_of_its_own(docstring: str, said: bool) -> None:
    assert has_head(docstring) is said
