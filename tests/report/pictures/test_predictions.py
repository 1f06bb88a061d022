from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.task_runs import RunOf

from nas.base.errors import SpecError
from nas.report import write_report
from nas.report.pictures import find_predictions
from nas.report.pictures.predictions import _MOST, Shown, _encoder, winners
from nas.report.pictures.tasks import TASKS, Picture
from nas.spec.architecture import PLAIN
from nas.spec.task import TaskName


def opened(shown: Shown) -> Image.Image:
    kind, _, coded = shown.uri.partition(",")
    assert kind == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(coded)))


# Each search takes long; detection's pictures have all there is: boxes, a legend, several classes.
EACH = [
    pytest.param(task, marks=() if task in {"classification", "detection"} else pytest.mark.slow)
    for task in TASKS
]


@pytest.mark.parametrize("task", EACH)
def test_six_images_as_the_winners_see_them(task: TaskName, run_of: RunOf) -> None:
    state = run_of(task).read()
    front = state.front()
    found = find_predictions(state, front)
    assert len(found.examples) == 6 and not found.missing
    shown = winners(front)
    assert state.row(shown[0])["reference"] == PLAIN and 1 <= len(shown) <= 4
    for example in found.examples:
        assert [told.network for told in example.answers][0] == "plain"
        assert len(example.answers) == len(shown)
        for picture in (
            *example.truth,
            *(one for told in example.answers for one in told.pictures),
        ):
            assert opened(picture).size == (picture.width, picture.height) == (16, 16)
    told = found.examples[0].answers[0]
    expected = {"classification": 0, "segmentation": 1, "retrieval": 5, "detection": 1}
    assert len(told.pictures) == expected[task]
    assert bool(found.legend) == (task in {"segmentation", "detection"})
    assert found == find_predictions(state, front), "the same each time"


def test_the_page_holds_them_unless_told_otherwise(run_of: RunOf, tmp_path: Path) -> None:
    run, page = run_of("detection"), tmp_path / "page.html"
    assert write_report(run, page) is None
    text = page.read_text()
    assert 'id="predictions"' in text and "img-src data:" in text
    assert text.count("<img ") == text.count(' alt="') >= 18
    assert write_report(run, page, images=False) is None
    text = page.read_text()
    assert "<img" not in text and 'id="predictions"' not in text and "img-src" not in text


def test_without_images_the_page_says_why(
    run_of: RunOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of("classification")
    monkeypatch.setattr("nas.runs.images.cache_root", lambda: tmp_path / "elsewhere")
    assert "not decoded on this machine" in str(write_report(run, tmp_path / "page.html"))
    assert 'id="predictions"' not in (tmp_path / "page.html").read_text()


def test_of_a_network_that_is_gone_the_others_are_shown(
    run_of: RunOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nas.report.pictures import predictions

    state = run_of("classification").read()
    front = state.front()
    monkeypatch.setattr(predictions, "winners", lambda _: [0, 99])
    found = find_predictions(state, front)
    assert len(found.examples[0].answers) == 1
    assert found.missing[0].startswith("trial 99: ") and "has no trial 99" in found.missing[0]
    monkeypatch.setattr(predictions, "winners", lambda _: [99])
    with pytest.raises(SpecError, match="has no trial 99"):
        find_predictions(state, front)


def test_no_code_of_a_users_is_called(run_of: RunOf) -> None:
    run = run_of("classification")
    own = run.space.model_copy(update={"backbones": ["mine.py:net"]})
    state = replace(run, space=own).read()
    with pytest.raises(SpecError, match="is not called for a report"):
        find_predictions(state, state.front())


def test_many_large_pictures_are_made_to_fit() -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (200, 150, 3), dtype=np.uint8) for _ in range(130)]
    pictures = [Picture(pixels, "noise") for pixels in noise]
    show = _encoder(pictures)
    shown = [show(picture) for picture in pictures]
    assert sum(len(one.uri) for one in shown) <= 1.4 * _MOST
    assert {(one.width, one.height) for one in shown} != {(150, 200)}
    kept = show(Picture(noise[0][:16, :16], "small"))
    assert np.array_equal(np.asarray(opened(kept).convert("RGB")), noise[0][:16, :16])
