"""Calibrations of other tasks than classification, and of networks of one's own, to their end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import own_detectors, own_segmenters

from nas.base.errors import SpecError
from nas.models.candidates import load_space
from nas.runs.calibrate import network_sample
from nas.runs.calibrate.calibrate import calibrate
from nas.runs.calibrate.curves import calibrate_curves
from nas.runs.calibrate.network_sample import Sample
from nas.runs.reading import settle_task
from nas.runs.start import search
from nas.spec.runner import load_runner
from nas.spec.space import SearchSpace
from nas.study.calibration import load_calibration

QUICK = "workers=1", "proxy.unit=steps", "proxy.rungs=[1]", "validation=0.5"
BRIEF: dict[str, Any] = {"networks": 8, "seeds": 2, "full_epochs": 0.2}

OTHERS = {"detection": "fcos", "segmentation": "lraspp", "retrieval": "own"}
SPACES = {
    "detection": (f"{own_detectors.__file__}:Small", ("backbone", "neck"), "own"),
    "segmentation": (f"{own_segmenters.__file__}:Small", ("backbone", "neck"), "own"),
    "retrieval": ("mobilenetv2_035", ("backbone",), "embedding"),
}


def space(task: str) -> SearchSpace:
    backbone, parts, _ = SPACES[task]
    return SearchSpace.model_validate(
        {
            "name": "tiny",
            "backbones": [backbone],
            "resolutions": [32],
            "total_stride": 16 if task == "retrieval" else None,
            "sites": {"part": list(parts), "granularity": "stage"},
            "blocks": {"se": {"reduction": [2, 4, 8]}, "eca": {}},
        }
    )


def bright_boxes(folder: Path, images: int = 24) -> str:
    """Write images with up to two bright boxes of two classes; every fourth has none."""
    rng, annotations = np.random.default_rng(0), list[dict[str, Any]]()
    (folder / "images").mkdir(parents=True)
    for number in range(images):
        pixels = rng.integers(0, 60, (32, 32, 3), dtype=np.uint8)
        for _ in range(number % 4 and 1 + number % 2):
            wide, high, kind = (int(value) for value in (*rng.integers(9, 20, 2), rng.integers(2)))
            x, y = int(rng.integers(32 - wide)), int(rng.integers(32 - high))
            pixels[y : y + high, x : x + wide, kind] = 230
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": number, "category_id": kind + 1,
                    "bbox": [x, y, wide, high], "area": wide * high, "iscrowd": 0,
                }
            )  # fmt: skip
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
    table = {
        "images": [
            {"id": number, "file_name": f"{number}.png", "width": 32, "height": 32}
            for number in range(images)
        ],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "red"}, {"id": 2, "name": "green"}],
    }
    (folder / "boxes.json").write_text(json.dumps(table))
    return f"coco:{folder / 'images'},{folder / 'boxes.json'}"


@pytest.mark.parametrize(
    ("task", "batch_size", "rate"),
    [("detection", 16, 0.02), ("segmentation", 16, 0.05), ("retrieval", 32, None)],
)
def test_both_sides_train_as_a_search_of_the_task_does(
    task: str, batch_size: int, rate: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def trained(space: Any, runner: Any, data: str, out: Path, **_: object) -> None:
        seen.append(settle_task(runner, data).proxy)

    monkeypatch.setattr(network_sample, "search", trained)
    runner = load_runner(None, (f"task={task}", "proxy.rungs=[6]"))
    sample = Sample.of(runner, 8, 2, None, None)
    sample.train(
        load_space("search_spaces/mobilenetv2-small.yaml"), runner, "digits", tmp_path, None
    )
    full, proxy = seen
    assert {(one.batch_size, one.learning_rate) for one in seen} == {(batch_size, rate)}
    assert (full.budgets, proxy.budgets) == ([40.0], [6.0])


@pytest.mark.slow
@pytest.mark.parametrize("task", SPACES)
def test_a_calibration_of_a_task_comes_to_its_end_and_a_search_goes_on_from_it(
    task: str, tmp_path: Path
) -> None:
    data = bright_boxes(tmp_path) if task == "detection" else "digits"
    _, _, head = SPACES[task]
    settings = (*QUICK, f"task={task}", f"head={head}")
    out, runner = tmp_path / "calibration", load_runner(None, settings)
    found = calibrate(space(task), runner, data, out, **BRIEF)
    figure = {"detection": "AP", "segmentation": "mIoU", "retrieval": "rank-1"}[task]
    assert found.figure == figure and found.scores == []
    assert load_calibration(out).verdict == found.verdict
    assert (out / "calibration.png").stat().st_size > 10_000
    run = search(space(task), load_runner(None, (*settings, "search.trials=8")), data,
                 tmp_path / "run", calibration=out)  # fmt: skip
    kept = run.calibration()
    assert kept is not None and kept.verdict == found.verdict
    written = out / "proxy" / "run.yaml"
    written.write_text(written.read_text().replace(f"head: {head}", f"head: {OTHERS[task]}"))
    with pytest.raises(SpecError, match="calibrated with another head"):
        search(space(task), runner, data, tmp_path / "other", calibration=out)


@pytest.mark.slow
def test_curves_of_a_detector_of_ones_own_give_a_search_its_budget(tmp_path: Path) -> None:
    data, out = bright_boxes(tmp_path), tmp_path / "curves"
    runner = load_runner(None, ("workers=1", "validation=0.5", "task=detection", "head=own"))
    found = calibrate_curves(space("detection"), runner, data, out, budget=1, doublings=1, seeds=1)
    assert [curve.network for curve in found.curves] and found.head == "own"
    assert "rate 0.02" in found.recipe and "batch" in found.recipe
    assert (out / "curves.png").stat().st_size > 10_000
    run = search(space("detection"), load_runner(None, ("workers=1", "validation=0.5",
                 "task=detection", "head=own", "search.trials=1", "search.confirm_seeds=1")),
                 data, tmp_path / "run", calibration=out)  # fmt: skip
    assert run.file.proxy.budgets == [found.advice.epochs]
