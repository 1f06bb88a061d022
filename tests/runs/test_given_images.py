"""Searches on images that were given in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

import nas
from nas.base.errors import SpecError
from nas.data import open_test
from nas.runs.given_images import IMAGES, given_images
from nas.runs.run_file import RunFile

pytestmark = pytest.mark.xdist_group("run")

SPACE = nas.SearchSpace.model_validate(
    {
        "name": "own",
        "backbones": ["mobilenetv2_cifar@0.25"],
        "resolutions": [16],
        "sites": {"position": "after_depthwise"},
        "blocks": {"eca": {}},
    }
)
QUICK = (
    "proxy.unit=steps", "proxy.rungs=[2]", "proxy.batch_size=16", "search.confirm_seeds=1",
)  # fmt: skip


def images(count: int = 60) -> tuple[Any, Any]:
    rng = np.random.default_rng(count)
    labels = np.arange(count) % 3
    pixels = rng.integers(0, 150, (count, 16, 16, 3))
    pixels[np.arange(count), :, :, labels] += 60
    return pixels.astype(np.uint8), labels


def test_a_search_keeps_the_images_it_was_given(tmp_path: Path) -> None:
    pixels, labels = images()
    channels_first = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    data = TensorDataset(channels_first, torch.from_numpy(labels))
    run = nas.search(
        SPACE, nas.load_runner(None, QUICK), data, tmp_path / "run", trials=2, workers=1
    )
    assert run.file.data == f"arrays:{tmp_path.resolve()}/run/{IMAGES}"
    assert (run.file.search.trials, run.file.workers) == (2, 1)
    assert repr(run) == f"<Run {tmp_path}/run: own on arrays:{IMAGES}>"
    assert "finished" in run._repr_html_() and "<table>" in run._repr_html_()
    assert run.plot().axes
    assert len(run.dataset().train) + len(run.dataset().validation) == 60
    longer = nas.resume(run.path, trials=3)
    assert longer.trials().evaluated == 3
    (run.path / IMAGES).unlink()
    with pytest.raises(SpecError, match="images.npz' cannot be read"):
        nas.resume(run.path, trials=4)


def test_a_wrong_number_names_its_argument_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"^nas.search: search.trials: .*0"):
        nas.search(SPACE, None, images(), tmp_path / "run", trials=0)
    with pytest.raises(SpecError, match="values from 0 to 209; allowed"):
        pixels, labels = images()
        nas.search(SPACE, None, (pixels.astype(float), labels), tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_all_parts_are_kept(tmp_path: Path) -> None:
    with given_images((images(), images(9), images(6))) as given:
        assert given.file is not None and given.source == f"arrays:{given.file}"
        file = RunFile(data=given.source)
        kept = given.keep(file, tmp_path)
        given.put(tmp_path)
    assert kept.data == f"arrays:{tmp_path.resolve()}/{IMAGES}"
    assert len(open_test(kept.data, 16)) == 6


def test_a_name_stays_what_it_is(tmp_path: Path) -> None:
    with given_images("digits") as given:
        file = RunFile(data="digits")
        assert given.source == "digits" and given.keep(file, tmp_path) is file
        given.put(tmp_path)
    assert not list(tmp_path.iterdir())
