"""Folders of small images, made by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MakeFolder = Callable[..., Path]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for each test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "attention-nas"


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """parts[name] images for each class, 30x20 and grey; class b is bright."""

    def make(
        name: str = "images", *, parts: dict[str, int], classes: tuple[str, ...] = ("a", "b")
    ) -> Path:
        root = tmp_path / name
        for part, count in parts.items():
            for level, label in enumerate(classes):
                folder = root / part / label
                folder.mkdir(parents=True)
                for number in range(count):
                    pixels = np.full((20, 30), (40 + 150 * level + number) % 256, dtype=np.uint8)
                    Image.fromarray(pixels).save(folder / f"{number}.png")
        return root

    return make


@pytest.fixture
def draw_pairs() -> Callable[..., None]:
    """Draw images and masks, 30x20: row upon row of classes, each its own grey."""

    def draw(
        images: Path,
        masks: Path,
        drawn: dict[str, list[int]],
        *,
        size: tuple[int, int] = (30, 20),
        suffix: str = "png",
    ) -> None:
        for name, classes in drawn.items():
            stripes = np.repeat(np.asarray(classes, dtype=np.uint8), -(-size[1] // len(classes)))
            mask = np.tile(stripes[: size[1], None], (1, size[0]))
            for folder in (images, masks):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((mask * 50) % 251).save(images / f"{name}.{suffix}")
            Image.fromarray(mask).save(masks / f"{name}.png")

    return draw
