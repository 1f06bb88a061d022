"""Reads mutated space, runner and profile files: each is read, or refused in one line.

    python -m benchmarks.runs.mutated_files [--files 1000] [--seed 0]

Ends with code 1 where anything else came of one: another error than the program's own, a message of
several lines, or code that a file had run.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import random
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from nas.base.errors import SpecError
from nas.cli.output.profile_tables import print_profile
from nas.cli.profile.compare import compare
from nas.latency.profile import BackboneLatencies, Correction, Profile, WholeNetwork, load_profile
from nas.models.candidates import load_space
from nas.spec.architecture import Architecture, Insertion
from nas.spec.runner import load_runner

__all__ = ["Mutated", "read_mutated"]

_ROOT = Path(__file__).resolve().parents[2]
_RUNNERS = ("local", "local-gpu", "demonstration", "ray-local", "ray-cluster")
_SENTINEL = "code-was-run"
_NASTY = (
    b'!!python/object/apply:os.system ["touch SENTINEL"]',
    b'!!python/object/apply:builtins.open ["SENTINEL", "w"]',
    b'{"__reduce__": ["os.system", "touch SENTINEL"]}',
    b"&a [*a, *a]",
    b"<<: {a: 1}",
    b"? [a]\n: b",
    b"---\n",
    b".nan",
    b".inf",
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"-0",
    b"9" * 5000,
    b"0x" + b"f" * 400,
    b"2026-13-45",
    b"12:30:45",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b'""',
    b"[" * 3000,
    b'{"a":' * 3000,
    b"\x00",
    b"\x1b[2J",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    "\u202e\u2028\u0085".encode(),
    b'"\\ud800"',
    b"\r\n\t",
    b"../../etc/passwd",
    b"%s%n{0.__class__}",
)


_VALUES: tuple[object, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, 0.5, -0.0, 1e308, -1e308, 5e-324),
    *(math.nan, math.inf, "", " ", "none", "keep", "nan", "1e999", "a\nb", "\x00", "\x1b[2J"),
    *("\u202e\u2028", "\ud800", "x" * 10_000, "*", "[", "../../x", "%s{0}", "/", ":", "a/b/c"),
    *([], [[]], [None], {}, {"a": {}}, {"": ""}, [1, "a"], ["a", "a"], [0, -1], [[[[[]]]]]),
    *("/dev/null", "se/r-1", "coord/r0", "mobilenetv2_100@0", "mobilenetv2_100@1e9", "@"),
)


@dataclass(frozen=True, slots=True)
class Mutated:
    """What came of mutated files.

    outcomes: (kind of file, `read` or `refused`) -> number.
    troubles: of each file of which anything else came, what, and the seed that makes it again.
    """

    outcomes: Counter[tuple[str, str]]
    troubles: tuple[str, ...]


def read_mutated(files: int, seed: int = 0) -> Mutated:
    """Mutate files of each kind in turn and read them."""
    outcomes: Counter[tuple[str, str]] = Counter()
    troubles: list[str] = []
    kinds = list(_KINDS)
    with tempfile.TemporaryDirectory() as folder:
        sentinel = Path(folder) / _SENTINEL
        originals = {kind: _originals(kind) for kind in kinds}
        for number in range(files):
            kind = kinds[number % len(kinds)]
            rng = random.Random(f"{seed} {number}")
            mutated = _mutate(rng.choice(originals[kind]), rng)
            path = Path(folder) / f"file{_KINDS[kind].suffix}"
            path.write_bytes(mutated.replace(b"SENTINEL", str(sentinel).encode()))
            outcome = _read(_KINDS[kind].read, path)
            if outcome in ("read", "refused"):
                outcomes[kind, outcome] += 1
            else:
                troubles.append(f"{kind} {number} of seed {seed}: {outcome}")
            if sentinel.exists():
                troubles.append(f"{kind} {number} of seed {seed}: code was run")
                sentinel.unlink()
    return Mutated(outcomes, tuple(troubles))


def _read(read: Callable[[Path], object], path: Path) -> str:
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(_terminal()):
            warnings.simplefilter("error")
            read(path)
            sys.stdout.flush()
    except SpecError as error:
        message = str(error)
        if len(message.splitlines()) == 1 and message.isprintable():
            return "refused"
        return f"a message that is not one line: {message[:200]!r}"
    except Exception as error:  # what this looks for
        return f"{type(error).__name__}: {str(error)[:200]}"
    return "read"


def _terminal() -> io.TextIOWrapper:
    """Return what takes the same texts as a terminal, and shows them to nobody."""
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8")


# Mutations.


def _mutate(content: bytes, rng: random.Random) -> bytes:
    """Change values in most files, which get further than changes of bytes do."""
    if rng.random() < 0.7:
        data = yaml.safe_load(content)
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            data = _mutate_values(data, rng)
        return json.dumps(data).encode()  # YAML, too
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        content = rng.choice(_MUTATIONS)(content, rng)
    return content


def _mutate_values(data: object, rng: random.Random) -> object:
    """Return the data with one value, key or item changed somewhere within."""
    if isinstance(data, dict) and data and rng.random() < 0.9:
        key = rng.choice(list(data))
        what = rng.random()
        if what < 0.08:
            return {name: value for name, value in data.items() if name != key}
        if what < 0.16:
            return data | {str(rng.choice(_VALUES)): data[key]}
        return data | {key: _mutate_values(data[key], rng)}
    if isinstance(data, list) and data and rng.random() < 0.8:
        place = rng.randrange(len(data))
        if rng.random() < 0.2:
            return [*data, data[place]]
        return [*data[:place], _mutate_values(data[place], rng), *data[place + 1 :]]
    if isinstance(data, str) and rng.random() < 0.5:
        if data.startswith("{") and rng.random() < 0.8:  # an architecture, as JSON in JSON
            return json.dumps(_mutate_values(json.loads(data), rng))
        return data + str(rng.choice(_VALUES))
    if isinstance(data, float) and rng.random() < 0.5:
        return data * rng.choice((-1, 0, 0.5, 1e-320, 1e300))
    if isinstance(data, int) and rng.random() < 0.5:
        return data * rng.choice((-1, 0, 2, 10**30))
    return rng.choice(_VALUES)


def _flip(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        if changed:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randint(0, len(content))]


def _drop(content: bytes, rng: random.Random) -> bytes:
    start = rng.randint(0, len(content))
    return content[:start] + content[start + rng.randint(1, 40) :]


def _insert(content: bytes, rng: random.Random) -> bytes:
    where = rng.randint(0, len(content))
    return content[:where] + rng.choice(_NASTY) + content[where:]


def _replace_value(content: bytes, rng: random.Random) -> bytes:
    """Put something else behind a colon."""
    places = [place for place, byte in enumerate(content) if byte == ord(":")]
    if not places:
        return content
    where = rng.choice(places) + 1
    end = min((content + b",\n").find(stop, where) for stop in (b"\n", b","))
    end = len(content) if end < where else end
    return content[:where] + b" " + rng.choice(_NASTY) + content[end:]


def _swap_lines(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines(keepends=True) or [b""]
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def _repeat_line(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines(keepends=True) or [b""]
    line = rng.choice(lines)
    lines.insert(rng.randint(0, len(lines)), line)
    return b"".join(lines)


_MUTATIONS = (_flip, _cut, _drop, _insert, _replace_value, _swap_lines, _repeat_line)


# Files to begin with, and how they are read.


@dataclass(frozen=True, slots=True)
class _FileKind:
    suffix: str
    read: Callable[[Path], object]


def _use_profile(path: Path) -> None:
    """Read a profile and do with it what `nas profile show` and `compare` do."""
    profile = load_profile(path)
    print_profile(profile, path)
    compare(path, path)


_KINDS = {
    "space": _FileKind(".yaml", load_space),
    "runner": _FileKind(".yaml", load_runner),
    "profile": _FileKind(".json", _use_profile),
}


def _originals(kind: str) -> list[bytes]:
    if kind == "space":
        return [path.read_bytes() for path in sorted((_ROOT / "search_spaces").glob("*.yaml"))]
    if kind == "runner":
        return [(_ROOT / "runners" / f"{name}.yaml").read_bytes() for name in _RUNNERS]
    text = json.dumps(_profile().model_dump(), indent=1)
    return [text.encode(), json.dumps(json.loads(text)).encode()]


def _profile() -> Profile:
    network = Architecture("mobilenetv2_035", 32, (Insertion.of("blocks.1.0", "se/r24"),))
    return Profile(
        device="onnxruntime",
        runtime="onnxruntime 1.0",
        processor="a processor",
        clock="thread",
        measured="2026-01-01T00:00:00+00:00",
        space="small",
        classes=10,
        branches=[
            BackboneLatencies(
                backbone="mobilenetv2_035",
                resolution=32,
                total_stride=None,
                plain_ms=5.0,
                added_ms={"blocks.1.0": {"se/r24": 0.2, "none": -0.1}},
            )
        ],
        networks=[
            WholeNetwork(
                architecture=network.to_json(), measured_ms=5.2, spread=0.01, fitted=fitted
            )
            for fitted in (True, False)
        ],
        correction=Correction(slope=1.1, noise=0.01, freedom=5.0),
        repeatability=0.02,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    began = time.monotonic()
    found = read_mutated(arguments.files, arguments.seed)
    for (kind, outcome), count in sorted(found.outcomes.items()):
        print(f"{kind}: {count} {outcome}")
    for trouble in found.troubles:
        print(trouble)
    print(f"{len(found.troubles)} troubles, {time.monotonic() - began:.0f} s")
    sys.exit(1 if found.troubles else 0)


if __name__ == "__main__":
    main()
