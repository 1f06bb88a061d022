"""What becomes of changed checkpoints: each is read as it says, or refused in one line.

    python -m benchmarks.fuzzing.checkpoints [--files 2000] [--seed 0] [--commands 10]

A small network's weights are written in all the forms that `nas search --weights` takes, and
changed: bytes, names, shapes and types, values, what stands beside them, code to be run, the path
itself. Each file is read as a search reads it. Faults are: another error than the program's own, a
message that is not one line or does not name the file, a warning, code that was run, memory beyond
a bound, a file that should have been refused and was read (or the other way), and weights other
than those that were stored. Some are then given to the command line. Ends with code 1 where there
are faults.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import torch

from benchmarks.fuzzing.changed_checkpoints import KINDS, make_case
from benchmarks.fuzzing.stored_weights import BACKBONE, CLASSES, Case, write_unchanged
from nas.base.errors import SpecError
from nas.models.match_weights import BY_NAME, MatchedWeights
from nas.runs.given_weights import match_given_weights, settle_weights
from nas.runs.run_file import RunFile
from nas.spec.architecture import Architecture
from nas.spec.runner import load_runner
from nas.spec.task import Task
from nas.training.plain_backbone import given_network

__all__ = ["Tally", "judge", "read_changed"]

_ROOT = Path(__file__).resolve().parents[2]
_PLAIN = Architecture(BACKBONE, 32)
_MOST_MEMORY = 256  # MiB that reading one file of some kB may take


@dataclass
class Tally:
    """What became of changed files.

    outcomes: (kind, `read` or `refused`) -> number.
    faults: one line each.
    examples: some of each outcome, for the command line.
    most: MiB and seconds that one file took.
    """

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    examples: list[tuple[Case, str]] = field(default_factory=list)
    most: tuple[float, float] = (0.0, 0.0)


def read_changed(folder: Path, files: int, seed: int = 0) -> Tally:
    """Write so many files into a folder, and read each as a search does."""
    tally, marker = Tally(), folder / "code-was-run"
    warm_up = folder / "warm-up.pth"
    write_unchanged(warm_up)
    _read(warm_up, BY_NAME)  # what is loaded once is no file's doing
    for number in range(files):
        case = make_case(folder, number, seed, marker)
        memory, began = _peak(), time.perf_counter()
        outcome, faults = judge(case)
        tally.outcomes[case.kind, outcome] += 1
        used, seconds = _peak() - memory, time.perf_counter() - began
        tally.most = max(tally.most[0], used), max(tally.most[1], seconds)
        if used > _MOST_MEMORY:
            faults.append(f"took {used:.0f} MiB")
        if marker.exists():
            faults.append("code was run")
            marker.rmdir() if marker.is_dir() else marker.unlink()
        tally.faults += [f"{case.kind}, {number} of seed {seed}: {fault}" for fault in faults]
        tally.examples.append((case, outcome))
    return tally


def _peak() -> float:
    """Return the most memory that this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _read(path: Path, how: str) -> MatchedWeights:
    """Read weights as a search does."""
    settings = (f"proxy.backbone.weights={json.dumps(str(path))}", f"proxy.backbone.match={how}")
    file = RunFile.of(load_runner(None, settings), "digits")
    settled, _ = settle_weights(file, [_PLAIN])
    notes = match_given_weights(settled, [_PLAIN], Task(outputs=CLASSES))
    _, matched = given_network(_PLAIN, settled.proxy.backbone, Task(outputs=CLASSES))
    assert notes == list(matched.notes)
    return matched


def judge(case: Case, read: Callable[[Path, str], MatchedWeights] = _read) -> tuple[str, list[str]]:
    """Read a file; return `read`, `refused` or `failed`, and what is wrong with that."""
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with (
        warnings.catch_warnings(record=True) as heard,
        redirect_stderr(terminal),
        redirect_stdout(terminal),
    ):
        warnings.simplefilter("always")
        try:
            outcome, faults = "read", _wrongly_read(case, read(case.path, case.how))
        except SpecError as error:
            outcome, faults = "refused", _wrongly_refused(case, str(error))
        except Exception as error:  # which is what is looked for
            outcome, faults = "failed", [f"{type(error).__name__}: {str(error)[:200]!r}"]
    faults += [f"warns: {warning.message}" for warning in heard]
    terminal.seek(0)
    printed = terminal.read()
    return outcome, faults + ([f"prints: {printed[:200]!r}"] if printed else [])


def _wrongly_read(case: Case, matched: MatchedWeights) -> list[str]:
    if case.stored is None:
        return ["was read"]
    faults = [f"{name} is another" for name in case.stored if not _is_taken(case, matched, name)]
    if case.told not in " ".join(matched.notes):
        faults.append(f"says nothing of {case.told!r}: {matched.notes}")
    odd = [note for note in matched.notes if not note.isprintable()]
    return faults + [f"a note that is not one line: {note[:200]!r}" for note in odd]


def _is_taken(case: Case, matched: MatchedWeights, name: str) -> bool:
    """Say whether the network computes with what is stored."""
    assert case.stored is not None
    if name in matched.replaced:
        return case.either
    if case.either and any(name in note for note in matched.notes):  # it was rounded or left aside
        return True
    taken = matched.state[name]
    return torch.equal(taken, case.stored[name].to(taken.dtype))


def _wrongly_refused(case: Case, message: str) -> list[str]:
    faults = []
    if case.stored is not None and not case.either:
        faults.append(f"was refused: {message[:300]}")
    if len(message.splitlines()) != 1 or not message.isprintable():
        faults.append(f"a message that is not one line: {message[:200]!r}")
    named = "".join(sign if sign.isprintable() else " " for sign in case.path.name)
    if named not in message.replace("\\\\", "\\"):
        faults.append(f"does not name the file: {message[:200]!r}")
    if len(message) > 4000:
        faults.append(f"a message of {len(message)} signs")
    return faults


def command_answers(case: Case, outcome: str, folder: Path) -> str | None:
    """Give a file to the command line; return what is wrong with its answer, or None.

    A search is begun with those that it refuses alone; `nas sites` reads all of them.
    """
    given = ["--weights", str(case.path), "--weights-match", case.how]
    command = ["sites", BACKBONE, "--size", "32", *given]
    if outcome == "refused":
        space, run = folder / "space.yaml", folder / "run"
        space.write_text(
            f"name: tiny\nbackbones: ['{BACKBONE}']\nresolutions: [32]\nblocks:\n  eca: {{}}\n"
        )
        command = ["search", str(space), "--data", "digits", "--out", str(run), *given]
    done = subprocess.run(
        [sys.executable, "-m", "nas", *command],
        capture_output=True,
        text=True,
        check=False,
        cwd=_ROOT,
    )
    lines = done.stderr.splitlines()
    if outcome == "read" and done.returncode == 0 and not lines:
        return None
    if outcome == "refused" and done.returncode == 2 and len(lines) == 1 and not run.exists():
        return None
    return f"{case.kind}: nas {command[0]} ended with {done.returncode}: {done.stderr[-300:]}"


def main() -> None:
    """Print what became of the files; exit code 1 where there are faults."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", type=int, default=10, help="files for the command line")
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        tally = read_changed(Path(folder), given.files, given.seed)
        drawn = random.Random(given.seed).sample(
            tally.examples, min(given.commands, len(tally.examples))
        )
        for number, (case, outcome) in enumerate(drawn):
            place = Path(folder) / f"search-{number}"
            place.mkdir()
            fault = command_answers(case, outcome, place)
            tally.faults += [fault] if fault else []
    print("| change | read | refused in one line |\n| --- | ---: | ---: |")
    for kind in KINDS:
        print(f"| {kind} | {tally.outcomes[kind, 'read']} | {tally.outcomes[kind, 'refused']} |")
    read, refused = (
        sum(count for (_, one), count in tally.outcomes.items() if one == outcome)
        for outcome in ("read", "refused")
    )
    print(f"| all | {read} | {refused} |")
    print(
        f"\n{len(tally.faults)} faults; {time.monotonic() - began:.0f} s; one file took at most "
        f"{tally.most[0]:.0f} MiB and {tally.most[1]:.2f} s"
    )
    for fault in tally.faults[:50]:
        print(f"- {fault}")
    sys.exit(bool(tally.faults))


if __name__ == "__main__":
    main()
