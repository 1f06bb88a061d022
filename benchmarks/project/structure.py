"""What the structure of a checkout is: rooms, floors, sizes, complexity, docstrings and names.

    python -m benchmarks.project.structure [FOLDER ...]
    python -m benchmarks.project.structure --walk RUNS [FOLDER ...]

FOLDER: a clone, by default this one; several stand beside each other, such as one of an earlier
commit. Nothing of it is run, but for --walk: then a tiny search on digits, up to its printed front,
and the export of its first network to a pack are traced in a process of their own, and it is
counted through how many files of the package each leads, and how often one file calls another. Runs
are kept in the folder RUNS, which is made.

Complexity is one and one more for each branch, and for each `and` and `or`. A docstring has a head
when its first line is a sentence of its own. A pair of module names is alike when they differ by a
letter, a plural or a gerund.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import combinations
from pathlib import Path
from statistics import median

from benchmarks.shared.report import print_table

Function = ast.FunctionDef | ast.AsyncFunctionDef

_BRANCHES = (
    ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.comprehension,
)  # fmt: skip
_VAGUE = ("Of ", "With ", "By ", "As ")
_LONG, _COMPLEX = 40, 15


@dataclass(frozen=True, slots=True)
class Structure:
    """The figures of one checkout, in the order that they are printed in."""

    loose_modules: int
    folders: int
    floors: int
    contract_lines: int
    modules: int
    median_file: float
    largest_file: str
    functions: int
    median_function: float
    functions_over_40_lines: int
    highest_complexity: str
    functions_above_15: int
    public_with_docstring: str
    docstrings_with_head: str
    begin_with_of_with_by_as: str
    functions_with_found: int
    names_alike: int


def measure(folder: Path) -> Structure:
    """Measure the package `nas` of a checkout, and its import contract."""
    package = folder / "nas"
    sources = {path: path.read_text() for path in sorted(package.rglob("*.py"))}
    trees = {path: ast.parse(text) for path, text in sources.items()}
    lines = {path: text.count("\n") for path, text in sources.items()}
    functions = [(path, node) for path, tree in trees.items() for node in _functions(tree)]
    lengths = [_length(node) for _, node in functions]
    complexities = {f"{path.stem}.{node.name}": complexity(node) for path, node in functions}
    public = [node for tree in trees.values() for node in _public(tree)]
    docstrings = [text for node in public if (text := ast.get_docstring(node))]
    floors, contract = _contract(folder / "pyproject.toml")
    largest = max(lines, key=lambda path: lines[path])
    worst = max(complexities, key=lambda name: complexities[name])
    loose = {path for path in package.glob("*.py") if path.stem not in ("__init__", "__main__")}
    names = sorted({path.stem for path in sources} - {"__init__", "__main__"})
    return Structure(
        loose_modules=len(loose),
        folders=sum(any(path.glob("*.py")) for path in package.iterdir() if path.is_dir()),
        floors=floors,
        contract_lines=contract,
        modules=len(sources),
        median_file=median(lines.values()),
        largest_file=f"{lines[largest]} ({largest.relative_to(package)})",
        functions=len(functions),
        median_function=median(lengths),
        functions_over_40_lines=sum(length > _LONG for length in lengths),
        highest_complexity=f"{complexities[worst]} ({worst})",
        functions_above_15=sum(complexity(node) > _COMPLEX for _, node in functions),
        public_with_docstring=f"{len(docstrings) / len(public):.0%}",
        docstrings_with_head=f"{_share(map(has_head, docstrings)):.0%}",
        begin_with_of_with_by_as=f"{_share(text.startswith(_VAGUE) for text in docstrings):.1%}",
        functions_with_found=sum(_binds_found(node) for _, node in functions),
        names_alike=sum(alike(one, two) for one, two in combinations(names, 2)),
    )


def complexity(function: Function) -> int:
    """Return one, and one more for every branch and every further term of a condition."""
    found = 1
    for node in _inside(function):
        if isinstance(node, _BRANCHES):
            found += 1
        elif isinstance(node, ast.BoolOp):
            found += len(node.values) - 1
        elif isinstance(node, ast.Match):
            found += len(node.cases)
    return found


def has_head(docstring: str) -> bool:
    """Return whether the first line is a sentence, alone or before an empty line."""
    first, *rest = docstring.splitlines()
    return first.rstrip("`'\")").endswith((".", ":", "?")) and (not rest or not rest[0].strip())


def alike(one: str, two: str) -> bool:
    """Return whether two names of modules differ by a letter, a plural or a gerund."""
    if min(len(one), len(two)) < 4:
        return False
    stems = [re.sub(r"(ation|ing|ed|er|e)?s?$", "", name) for name in (one, two)]
    if stems[0] == stems[1]:
        return True
    return len(one) == len(two) and sum(a != b for a, b in zip(one, two, strict=True)) == 1


def _functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def _inside(function: Function) -> Iterator[ast.AST]:
    """Yield what a function holds, but not what functions in it hold."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, Function):
            waiting += ast.iter_child_nodes(node)


def _length(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def _public(tree: ast.Module) -> Iterator[Function | ast.ClassDef]:
    """Yield public functions and classes, and the public methods of these."""
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from (
                    inner
                    for inner in node.body
                    if isinstance(inner, Function) and not inner.name.startswith("_")
                )


def _binds_found(function: Function) -> bool:
    return any(
        isinstance(node, ast.Name) and node.id == "found" and isinstance(node.ctx, ast.Store)
        for node in _inside(function)
    )


def _share(flags: Iterator[bool] | map[bool]) -> float:
    values = list(flags)
    return sum(values) / len(values) if values else 0.0


def _contract(path: Path) -> tuple[int, int]:
    """Return the layers of the import contract, and its lines in pyproject.toml."""
    text = path.read_text()
    contracts = tomllib.loads(text)["tool"]["importlinter"]["contracts"]
    layers = next(item["layers"] for item in contracts if item["type"] == "layers")
    section = text[text.index("[tool.importlinter]") :]
    return len(layers), sum(bool(line.strip()) for line in section.splitlines())


# The walk.

_TRACED = """
import sys
from pathlib import Path

package = str(Path(sys.argv[1]) / "nas") + "/"
files, moves = set(), 0
stack = []

def trace(frame, event, argument):
    global moves
    name = frame.f_code.co_filename
    if not name.startswith(package) or event not in ("call", "return"):
        return
    if frame.f_code.co_name == "<module>" or "<" in frame.f_code.co_name:
        return
    if event == "call":
        files.add(name)
        pair = (stack[-1] if stack else None, name)
        if pair[0] != name and pair not in seen:
            seen.add(pair)
            moves += 1
        stack.append(name)
    elif stack:
        stack.pop()

seen = set()
sys.argv = ["nas", *sys.argv[2:]]
from nas.cli import main
sys.setprofile(trace)
try:
    main()
except SystemExit as end:
    code = end.code
sys.setprofile(None)
print(f"walk: {len(files)} {moves} {code}", file=sys.stderr)
"""

_SPACE = """name: walk
backbones: [mobilenetv2_035]
resolutions: [32]
total_stride: 16
sites: {granularity: stage, exclude: ["blocks.0.*"]}
blocks: {se: {reduction: [8]}, eca: {}}
"""


def walk(folder: Path, runs: Path) -> list[list[str]]:
    """Trace a search and an export of a checkout, and return a row for each."""
    runs = runs.resolve()
    runs.mkdir(parents=True, exist_ok=True)
    space, run = runs / "space.yaml", runs / folder.resolve().name
    space.write_text(_SPACE)
    keys = ("proxy.unit=steps", "proxy.rungs=[4]", "proxy.backbone.epochs=0.5", "workers=1")
    sets = [word for key in keys for word in ("--set", key)]
    search = ["search", str(space), "--out", str(run), "--trials", "4", *sets]
    pack = ["export", str(run), "0", "--out", f"{run}-pack"]
    return [
        [str(folder), what, *_traced(folder, words)]
        for what, words in (("search to its front", search), ("export to a pack", pack))
    ]


def _traced(folder: Path, words: list[str]) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", _TRACED, str(folder.resolve()), *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder.resolve())},
    )
    match = re.search(r"^walk: (\d+) (\d+) (\w+)$", done.stderr, re.MULTILINE)
    if match is None or match[3] != "0":
        sys.exit(f"{' '.join(words)} failed in {folder}:\n{done.stdout}{done.stderr}")
    return [match[1], match[2]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="*", default=[Path()], metavar="FOLDER")
    parser.add_argument("--walk", type=Path, metavar="RUNS")
    given = parser.parse_args()
    if given.walk is not None:
        rows = [row for folder in given.folders for row in walk(folder, given.walk)]
        print_table(["checkout", "what", "files", "calls from file to file"], rows)
        return
    structures = [measure(folder) for folder in given.folders]
    names = [item.name for item in fields(Structure)]
    print_table(
        ["", *map(str, given.folders)],
        [
            [name.replace("_", " "), *(str(getattr(each, name)) for each in structures)]
            for name in names
        ],
    )


if __name__ == "__main__":
    main()
