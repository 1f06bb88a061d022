"""What becomes of damaged image files: each is read, or refused in one line that names it.

    python -m benchmarks.fuzzing.images [--files 5000] [--seed 0] [--commands 5]

Small images of every kind that Pillow writes here are damaged (bits flipped, bytes set, cut out,
repeated, spliced or cut off, half of the time near the beginning), put into a folder of data and
decoded as for a search. Counted are those read, those refused, and faults: an error of another
kind, one that does not name the file or takes several lines, a warning, a file that was not listed.
Some of the refused ones are then given to `nas search`, which must end with code 2 and one line.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nas.base.errors import SpecError
from nas.base.size import Size
from nas.data.images import Images, decode_ahead
from nas.data.kinds import source_to_search

__all__ = ["Tally", "damage", "decode_damaged", "originals"]

SIDE = 32
_OPTIONS: dict[str, dict[str, dict[str, object]]] = {
    ".jpg": {"plain": {}, "progressive": {"progressive": True}, "noted": {}},
    ".png": {"plain": {}, "noted": {}},
    ".tif": {"plain": {}, "packed": {"compression": "tiff_lzw"}},
    ".webp": {"lossy": {}, "lossless": {"lossless": True}, "noted": {}},
}
_SUFFIXES = (
    ".jpg", ".png", ".gif", ".webp", ".avif", ".tif", ".bmp", ".ppm", ".ico", ".tga", ".jp2",
    ".qoi", ".pcx", ".sgi", ".dds", ".icns", ".mpo", ".jfif", ".dib",
)  # fmt: skip
_MODES = ("RGB", "L", "P", "RGBA", "CMYK", "I;16", "1", "LA")


def originals(seed: int) -> list[tuple[str, bytes]]:
    """Return suffix and content of a small image of every kind and mode that is written here."""
    rng = np.random.default_rng(seed)
    pixels = np.kron(rng.integers(0, 256, (6, 8, 3)), np.ones((5, 5, 1))).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    found = []
    for suffix in _SUFFIXES:
        for about, options in _OPTIONS.get(suffix, {"plain": {}}).items():
            for mode in _MODES:
                noted = {"exif": exif.tobytes()} if about == "noted" else {}
                content = io.BytesIO()
                try:
                    image = _in_mode(Image.fromarray(pixels), mode)
                    kind = Image.registered_extensions()[suffix]
                    image.save(content, kind, **options, **noted)
                except (OSError, ValueError, KeyError):  # it has no such mode, or is not written
                    continue
                found.append((suffix, content.getvalue()))
    return found


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    return image.convert(mode)


def damage(content: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """Return an image file with one to six faults.

    other: content of another one, to splice in.
    """
    data = bytearray(content)
    for _ in range(rng.integers(1, 7)):
        if not data:
            break
        near = min(len(data), 160) if rng.random() < 0.5 else len(data)
        start = int(rng.integers(near))
        stop = min(len(data), start + int(rng.integers(1, 33)))
        _FAULTS[rng.integers(len(_FAULTS))](data, start, stop, other, rng)
    return bytes(data)


def _flip(data: bytearray, start: int, _stop: int, _other: bytes, rng: np.random.Generator) -> None:
    data[start] ^= 1 << int(rng.integers(8))


def _set(data: bytearray, start: int, _stop: int, _other: bytes, rng: np.random.Generator) -> None:
    data[start] = int(rng.integers(256))


def _limit(
    data: bytearray, start: int, _stop: int, _other: bytes, rng: np.random.Generator
) -> None:
    values = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x00\x00\x00", b"\xff\xff\xff\x7f")
    data[start : start + 4] = values[rng.integers(len(values))]


def _cut_out(data: bytearray, start: int, stop: int, _other: bytes, _: np.random.Generator) -> None:
    del data[start:stop]


def _repeat(data: bytearray, start: int, stop: int, _other: bytes, _: np.random.Generator) -> None:
    data[start:start] = data[start:stop]


def _noise(data: bytearray, start: int, stop: int, _other: bytes, rng: np.random.Generator) -> None:
    data[start:stop] = rng.bytes(stop - start)


def _splice(data: bytearray, start: int, stop: int, other: bytes, _: np.random.Generator) -> None:
    data[start:stop] = other[start:stop]


def _cut_off(
    data: bytearray, start: int, _stop: int, _other: bytes, _: np.random.Generator
) -> None:
    del data[start:]


_FAULTS: tuple[Callable[[bytearray, int, int, bytes, np.random.Generator], None], ...] = (
    _flip, _flip, _set, _limit, _cut_out, _repeat, _noise, _splice, _cut_off,
)  # fmt: skip


@dataclass
class Tally:
    """What became of damaged files.

    refused: suffix -> number; examples of them stand in `paths`.
    faults: one line each.
    slowest: seconds of the slowest file, and its name.
    """

    read: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")


def decode_damaged(root: Path, files: int, seed: int) -> Tally:
    """Write so many damaged files into a folder of data, and decode each as for a search."""
    sound, rng = originals(seed), np.random.default_rng(seed)
    for name in ("a", "b"):
        (root / "train" / name).mkdir(parents=True)
    written = []
    for number in range(files):
        suffix, content = sound[number % len(sound)]
        other = sound[rng.integers(len(sound))][1]
        path = root / "train" / "ab"[number % 2] / f"{number:05}{suffix}"
        path.write_bytes(damage(content, other, rng))
        written.append(path.name)
    images = source_to_search(f"folder:{root}").open().train
    tally = Tally()
    listed = {Path(images.called(row)).name for row in range(len(images))}
    tally.faults += [f"{name} was not listed" for name in written if name not in listed]
    for row in range(len(images)):
        _decode(images, row, tally)
    return tally


def _decode(images: Images, row: int, tally: Tally) -> None:
    path = Path(images.called(row).removeprefix("image "))
    began = time.perf_counter()
    # What Pillow logs goes to the terminal, where no handler takes it.
    with warnings.catch_warnings(record=True) as heard, redirect_stderr(io.StringIO()) as printed:
        warnings.simplefilter("always")
        try:
            ((block, _),) = decode_ahead(images.only(_one(row)), Size.of(SIDE))
            assert block.shape == (1, SIDE, SIDE, 3)
            tally.read[path.suffix] += 1
        except SpecError as error:
            tally.refused[path.suffix] += 1
            tally.paths.append(path)
            if path.name not in str(error) or len(str(error).splitlines()) != 1:
                tally.faults.append(f"{path.name}: {error!r}")
        except Exception as error:  # which is what is looked for
            tally.faults.append(f"{path.name}: {error!r}")
    tally.faults += [f"{path.name} warns: {warning.message}" for warning in heard]
    tally.faults += [f"{path.name} prints: {line}" for line in printed.getvalue().splitlines()]
    tally.slowest = max(tally.slowest, (time.perf_counter() - began, path.name))


def _one(row: int) -> NDArray[np.int64]:
    return np.array([row], dtype=np.int64)


def search_refuses(path: Path, folder: Path) -> str | None:
    """Give a damaged file to `nas search`; return what is wrong with its answer, or None."""
    for name in ("a", "b"):
        place = folder / "train" / name
        place.mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (8, 8)).save(place / f"{number}.png")
    (folder / "train" / "a" / path.name).write_bytes(path.read_bytes())
    space = Path("search_spaces/mobilenetv2-small.yaml").resolve()
    command = [sys.executable, "-m", "nas", "search", str(space), "--data", f"folder:{folder}"]
    done = subprocess.run(
        [*command, "--out", str(folder / "run")], capture_output=True, text=True, check=False
    )
    lines = done.stderr.splitlines()
    if path.suffix == ".tif":  # libtiff prints by itself, from C, what it thinks of a file
        lines = lines[-1:]
    if done.returncode == 2 and len(lines) == 1 and path.name in lines[0]:
        return None
    return f"{path.name}: nas search ended with {done.returncode}: {done.stderr[-300:]}"


def main() -> None:
    """Print what became of the files; exit code 1 where there are faults."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", type=int, default=5, help="refused files for nas search")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tally = decode_damaged(Path(folder) / "data", given.files, given.seed)
        step = max(1, len(tally.paths) // max(1, given.commands))
        for number, path in enumerate(tally.paths[::step][: given.commands]):
            fault = search_refuses(path, Path(folder) / f"search-{number}")
            tally.faults += [fault] if fault else []
    print("| suffix | read | refused in one line |\n| --- | ---: | ---: |")
    for suffix in sorted({*tally.read, *tally.refused}):
        print(f"| {suffix} | {tally.read[suffix]} | {tally.refused[suffix]} |")
    print(f"| all | {tally.read.total()} | {tally.refused.total()} |")
    seconds, name = tally.slowest
    print(f"\n{len(tally.faults)} faults; the slowest, {name}, took {seconds:.2f} s")
    for fault in tally.faults[:50]:
        print(f"- {fault}")
    sys.exit(bool(tally.faults))


if __name__ == "__main__":
    main()
