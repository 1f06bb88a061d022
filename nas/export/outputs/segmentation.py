"""What the graph gives, and how to use it: scores of classes for each pixel.

    from outputs import answers, back, painted
    classes = answers(scores)[0]                       # (H, W), class numbers of labels.txt
    whole = back(classes, picture.shape[:2], "stretch")  # as large as the picture was

Needs numpy alone.
"""

# attention-nas copies this file into packs as outputs.py: it must not import from the project.

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]
Masks = NDArray[np.uint8]

IGNORED = 255
"""In masks: a pixel that does not count. In what `back` returns: a pixel that was cut off."""

ALIKE = "same class for"


def answers(scores: Scores) -> Masks:
    """The best class of each pixel: (N, classes, H, W) -> (N, H, W)."""
    return np.asarray(scores.argmax(axis=1), np.uint8)


def judge(scores: Scores, masks: Masks) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Judge scores (N, classes, H, W) by masks (N, H, W).

    Returns the mean cross-entropy over the pixels of each image that count, (N,), 0 where none
    does; and of each image and class the pixels that are it and were told so, those that were told
    so, and those that are it, (N, classes, 3).
    """
    count, classes = scores.shape[:2]
    losses, marks = np.zeros(count), np.zeros((count, classes, 3), np.int64)
    for row in range(count):
        counted = masks[row] != IGNORED
        true = masks[row][counted].astype(np.int64)
        logits = scores[row][:, counted].astype(np.float64)  # (classes, pixels)
        logits -= logits.max(axis=0, keepdims=True)
        right = logits[true, np.arange(len(true))]
        losses[row] = (np.log(np.exp(logits).sum(axis=0)) - right).sum() / max(1, len(true))
        predicted = logits.argmax(axis=0)
        for place, pixels in enumerate((true[true == predicted], predicted, true)):
            marks[row, :, place] = np.bincount(pixels, minlength=classes)
    return losses, marks


def figures(marks: NDArray[np.int64]) -> dict[str, float]:
    """The figures of marks, 0 to 1.

    miou: over all pixels together, of the classes that some pixel is or was told to be.
    pixel_accuracy: the share of pixels that was told right.
    """
    both, predicted, true = np.moveaxis(marks.sum(axis=0).astype(np.float64), -1, 0)
    union = predicted + true - both
    occur = union > 0
    miou = (both[occur] / union[occur]).mean() if occur.any() else 0.0
    return {"miou": float(miou), "pixel_accuracy": float(both.sum() / max(true.sum(), 1.0))}


def back(mask: Masks, picture: tuple[int, int], fit: str) -> Masks:
    """What a mask says of the picture before it was resized, by nearest neighbour.

    mask: (H, W), of the size that the graph reads.
    picture: height and width that are wanted.
    fit: of preprocessing.json. stretch: all is seen; pad: bars are cut off; crop: what was cut off
        of the picture is 255.
    """
    height, width = picture
    rows, columns = mask.shape
    top = left = 0.0  # of what is seen, in pixels of the picture
    high, wide = float(height), float(width)
    flat = width * rows >= height * columns  # flatter than the mask, or of its shape
    if fit == "crop":
        high, wide = (high, high * columns / rows) if flat else (wide * rows / columns, wide)
        top, left = (height - high) / 2, (width - wide) / 2
    elif fit == "pad":
        if flat:
            kept = max(1, round(columns * height / width))
            mask = mask[(rows - kept) // 2 :][:kept]
        else:
            kept = max(1, round(rows * width / height))
            mask = mask[:, (columns - kept) // 2 :][:, :kept]
    down, across = (
        np.floor((np.arange(side) + 0.5 - start) * (cells / length)).astype(np.int64)
        for side, start, length, cells in (
            (height, top, high, mask.shape[0]),
            (width, left, wide, mask.shape[1]),
        )
    )
    seen = (
        ((down >= 0) & (down < mask.shape[0]))[:, None] & (across >= 0) & (across < mask.shape[1])
    )
    whole = mask[down.clip(0, mask.shape[0] - 1)][:, across.clip(0, mask.shape[1] - 1)]
    return np.where(seen, whole, np.uint8(IGNORED))


def colour(number: int) -> tuple[int, int, int]:
    """The colour of a class, as PASCAL VOC has it: 0 is black."""
    red = green = blue = 0
    for bit in range(8):
        red |= (number >> (3 * bit) & 1) << (7 - bit)
        green |= (number >> (3 * bit + 1) & 1) << (7 - bit)
        blue |= (number >> (3 * bit + 2) & 1) << (7 - bit)
    return red, green, blue


def painted(picture: NDArray[np.uint8], mask: Masks) -> NDArray[np.uint8]:
    """The mask over a picture (height, width, 3), both half; what is of class 0 or 255 stays."""
    table = np.array([colour(number) for number in range(256)], np.uint8)
    mixed = (picture.astype(np.uint16) + table[mask]) // 2
    bare = (mask == 0) | (mask == IGNORED)
    return np.where(bare[..., None], picture, mixed.astype(np.uint8))


def write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write (height, width, 3)."""
    height, width, _ = pixels.shape
    lines = np.zeros((height, 1 + 3 * width), np.uint8)  # each begins with 0: not filtered
    lines[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes())), (b"IEND", b""))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in parts
        )
    )


def compare(
    infer: Callable[[slice], Scores], samples: Mapping[str, NDArray[Any]]
) -> tuple[float, float, str, str]:
    """Compare a graph with the network on the samples, one image at a time.

    infer: what the graph gives for some of the samples.
    samples: images; the network's scores of every `step`-th pixel; its answers; masks.
    Returns the largest difference of a score, the share of pixels of the same class, of what that
    is a share, and how good the graph is.
    """
    step, difference, marks = int(samples["step"]), 0.0, []
    same = np.zeros(len(samples["images"]))
    for row in range(len(same)):
        one = slice(row, row + 1)
        scores = infer(one)
        apart = np.abs(scores[:, :, ::step, ::step] - samples["scores"][one]).max()
        difference = max(difference, float(apart)) if np.isfinite(apart) else np.inf
        same[row] = (answers(scores) == samples["answers"][one]).mean()
        marks.append(judge(scores, samples["masks"][one])[1])
    reached = figures(np.concatenate(marks))
    return (
        difference,
        float(same.mean()),
        f"pixels of {len(same)} images",
        f"mIoU {reached['miou']:.1%}",
    )


def show(
    scores: Scores,
    picture: NDArray[np.uint8],
    name: str,
    pack: Path,
    fit: str,
    _samples: Mapping[str, NDArray[Any]],
) -> str:
    """Draw the classes over a picture, into a file where one is now, and say what was found."""
    mask = back(answers(scores)[0], (picture.shape[0], picture.shape[1]), fit)
    path = Path(f"{name}-classes.png")
    write_png(path, painted(picture, mask))
    labels = (pack / "labels.txt").read_text(encoding="utf-8").splitlines()
    shares = np.bincount(mask.ravel(), minlength=256)[: len(labels)] / mask.size
    lines = [
        f"  {labels[number]}: {shares[number]:.1%} of the pixels, colour {colour(int(number))}"
        for number in np.argsort(-shares, kind="stable")
        if shares[number] > 0
    ]
    return "\n".join([f"{path}:", *lines])
