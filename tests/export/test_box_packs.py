"""Packs of detection: which boxes are kept, where they lie on a picture, and what is checked."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from support.packs import COMMON, ORIGIN, check_shipped, outputs_from, outputs_of, verify
from support.task_networks import detector, things

from nas.base.size import Size
from nas.data import Dataset, boxes_back
from nas.data.reading import Resize
from nas.export import TARGETS
from nas.export.pack import Pack, write_pack
from nas.export.parity import predict_validation, sample_images
from nas.export.tasks import export_task
from nas.export.winner import Winner
from nas.spec.suppression import SUPPRESSION
from nas.spec.task import OWN, TASKS, Task
from nas.training.suppression import suppressed
from nas.training.tasks import training_task

pytestmark = pytest.mark.xdist_group("box packs")

TALL = "64x48"
HEADS = tuple(head for head in TASKS["detection"].heads if head != OWN)
CATEGORIES = (((3, "car"),), ((18, "dog"), (90, "brush")))


@pytest.fixture(scope="module")
def detected() -> tuple[Winner, Dataset]:
    return detector("ssdlite", TALL), things(TALL)


@pytest.fixture(scope="module")
def pack(detected: tuple[Winner, Dataset], tmp_path_factory: pytest.TempPathFactory) -> Pack:
    path = tmp_path_factory.mktemp("boxes") / "winner"
    return write_pack(path, *detected, TARGETS["onnx"], ORIGIN, int8=True)


def alone(head: str = "ssdlite") -> ModuleType:
    path = export_task(Task("detection", 2, head)).outputs_file
    assert path is not None
    return outputs_from(path)


def test_a_pack_of_boxes_goes_by_ap(pack: Pack) -> None:
    folder = pack.path
    names = {path.name for path in folder.iterdir()}
    assert names == COMMON | {
        "labels.txt", "average_precision.py", "network.onnx", "network-int8.onnx",
    }  # fmt: skip
    report = json.loads((folder / "report.json").read_text())
    assert report["task"] == {"name": "detection", "outputs": 2, "head": "ssdlite"}
    assert list(report["network"]["figures"])[:3] == ["ap", "ap50", "ap75"]
    assert report["network"]["figures"]["ap50"] > 0.1
    model, plain, small = report["graphs"]
    assert model["difference"] < 1e-4 and plain["difference"] < 1e-4 and plain["agreement"] > 0.99
    assert small["difference"] > 1e-3 and small["agreement"] > 0.5
    low, high = small["ap_drop_interval"]
    assert low < small["ap_drop"] < high
    assert report["network"]["suppression_ms"] > 0
    preprocessing = json.loads((folder / "preprocessing.json").read_text())
    limits = preprocessing["suppression"]
    assert (limits["score"], limits["overlap"], limits["most"]) == (0.05, 0.5, 100)
    assert limits["head"] == "ssdlite" and "suppression" in preprocessing["back"]
    card = (folder / "README.md").read_text()
    assert "ms of CPU time more, the median over these images (`kept` of outputs.py" in card
    assert "objects of 2 classes" in card and "| same boxes | AP | AP lost, points |" in card
    assert "Head ssdlite: arXiv:1801.04381; code of torchvision" in (folder / "NOTICE").read_text()


def test_it_checks_itself_with_numpy_alone(pack: Pack) -> None:
    ran = verify(pack.path, without="torch")
    assert (ran.returncode, ran.stdout.count(": ok;")) == (0, 2), ran.stdout + ran.stderr
    assert "the boxes of 16 images" in ran.stdout and "AP50" in ran.stdout
    report = json.loads((pack.path / "report.json").read_text())
    assert f"AP {report['graphs'][1]['ap']:.1%}" in ran.stdout


@pytest.fixture(scope="module")
def suppressing(detected: tuple[Winner, Dataset], tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """A pack of graphs that suppress boxes themselves."""
    path = tmp_path_factory.mktemp("suppressing") / "winner"
    winner, data = detected
    winner = replace(winner, suppression=SUPPRESSION, categories=CATEGORIES)
    return write_pack(path, winner, data, TARGETS["onnx"], ORIGIN, int8=True)


@pytest.mark.slow
def test_a_graph_that_suppresses_is_packed_as_such(pack: Pack, suppressing: Pack) -> None:
    report = json.loads((suppressing.path / "report.json").read_text())
    model, plain, small = report["graphs"]
    assert [graph["nms"] for graph in (model, plain, small)] == ["outside", "graph", "graph"]
    assert model["latency_with_nms_ms"] is None and plain["latency_with_nms_ms"] > 0
    assert plain["latency_ms"] > 0 and plain["difference"] < 1e-4
    assert (plain["figures"], plain["loss_change"]) == (
        pytest.approx(model["figures"], abs=1e-3), pytest.approx(0, abs=1e-4),
    )  # fmt: skip
    other = json.loads((pack.path / "report.json").read_text())
    assert {graph["nms"] for graph in other["graphs"]} == {"outside"}
    assert small["ap"] == pytest.approx(other["graphs"][2]["ap"], abs=0.02)
    assert small["loss_change"] == pytest.approx(other["graphs"][2]["loss_change"], abs=1e-3)
    preprocessing = json.loads((suppressing.path / "preprocessing.json").read_text())
    assert preprocessing["outputs"].startswith("(N, D, 6), of each image the boxes that are kept")
    card = (suppressing.path / "README.md").read_text()
    assert "computed within the graphs, and is not in the latencies below" in card
    assert "Out: (N, D, 6)" in card


@pytest.mark.slow
def test_a_graph_that_suppresses_is_checked_by_its_boxes(suppressing: Pack, tmp_path: Path) -> None:
    ran = verify(suppressing.path, "--model", without="timm")
    assert (ran.returncode, ran.stdout.count(": ok;")) == (0, 3), ran.stdout + ran.stderr
    assert ran.stdout.count("the boxes of 16 images") == 3
    assert verify(suppressing.path, without="torch").returncode == 0
    folder = tmp_path / "pack"
    shutil.copytree(suppressing.path, folder)
    shutil.copy(folder / "network-int8.onnx", folder / "network.onnx")
    ran = verify(folder)
    assert ran.returncode == 1 and ran.stdout.count("FAILS") == 1


@pytest.mark.slow
def test_boxes_have_the_numbers_of_categories_that_files_have(
    pack: Pack, suppressing: Pack
) -> None:
    preprocessing = suppressing.path / "preprocessing.json"
    listed = json.loads(preprocessing.read_text())["categories"]
    assert listed == [
        [{"id": 3, "name": "car"}], [{"id": 18, "name": "dog"}, {"id": 90, "name": "brush"}],
    ]  # fmt: skip
    outputs = outputs_of(suppressing.path)
    numbers = outputs.read_categories(preprocessing)
    boxes = np.array([[1, 2, 5, 8, 0.5, 1], [0, 0, 2, 2, 0.25, 0]])
    assert outputs.as_coco(boxes, 7, numbers) == [
        {"image_id": 7, "category_id": 18, "bbox": [1, 2, 4, 6], "score": 0.5},
        {"image_id": 7, "category_id": 3, "bbox": [0, 0, 2, 2], "score": 0.25},
    ]
    assert [row["category_id"] for row in outputs.as_coco(boxes, 7)] == [1, 0]
    for one, allowed in ((suppressing, {3, 18}), (pack, {0, 1})):
        ran = verify(one.path, "1", without="torch")
        assert ran.returncode == 0 and ran.stdout.startswith("sample-1-boxes.png:"), ran.stderr
        found = json.loads((one.path.parent / "empty" / "sample-1-boxes.json").read_text())
        assert found and {row["category_id"] for row in found} <= allowed
        assert {row["image_id"] for row in found} == {"sample-1"}
    assert outputs.read_categories(pack.path / "preprocessing.json") is None


def test_it_notices_another_graph(pack: Pack, tmp_path: Path) -> None:
    for path in pack.path.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "network.onnx").write_bytes((tmp_path / "network-int8.onnx").read_bytes())
    ran = verify(tmp_path)
    assert ran.returncode == 1 and ran.stdout.count("FAILS") == 1


def test_boxes_are_drawn_on_a_picture(
    pack: Pack, detected: tuple[Winner, Dataset], tmp_path: Path
) -> None:
    outputs, folder = outputs_of(pack.path), tmp_path / "pack"
    shutil.copytree(pack.path, folder)
    preprocessing = json.loads((folder / "preprocessing.json").read_text())
    preprocessing["suppression"]["shown"] = 0.1  # it is hardly trained
    (folder / "preprocessing.json").write_text(json.dumps(preprocessing))
    _, data = detected
    pixels = data.validation.images[1].numpy()
    picture = np.asarray(Image.fromarray(pixels).resize((96, 256), Image.Resampling.NEAREST))
    Image.fromarray(picture).save(tmp_path / "large.png")
    ran = verify(folder, str(tmp_path / "large.png"), without="torch")
    assert ran.returncode == 0 and ran.stdout.startswith("large-boxes.png:"), ran.stderr
    drawn = np.asarray(Image.open(tmp_path / "empty" / "large-boxes.png"))
    assert drawn.shape == picture.shape
    assert "colour (" in ran.stdout and "thing" in ran.stdout
    painted = {outputs.colour(number) for number in range(2)}
    changed = (drawn != picture).any(axis=2)
    assert changed.any() and {tuple(one) for one in drawn[changed].tolist()} <= painted
    ran = verify(pack.path, "1")
    assert ran.returncode == 0 and ran.stdout.startswith("sample-1-boxes.png:")


@pytest.mark.parametrize("head", HEADS)
def test_numpy_keeps_the_boxes_that_trainings_keep(head: str) -> None:
    winner, data = detector(head, TALL, steps=20), things(TALL)
    images = predict_validation(winner, data, 512)
    limits = export_task(winner.task).settings()["suppression"]
    own = alone().kept(images.scores, limits)
    theirs = suppressed(torch.from_numpy(images.scores), head, (64, 48))
    assert sum(map(len, own)) > 20
    for one, other in zip(own, theirs, strict=True):
        np.testing.assert_allclose(one, other.numpy(), atol=1e-3)
    assert max(len(one) for one in own) <= SUPPRESSION.most


@pytest.mark.parametrize("head", HEADS)
def test_packs_judge_as_trainings_do(head: str) -> None:
    winner, data = detector(head, TALL, steps=20), things(TALL)
    images = predict_validation(winner, data, 512)
    scorer = training_task(winner.task).scorer(data.validation)
    for row in range(0, len(images), 5):
        scorer.add(torch.from_numpy(images.scores[row : row + 5]))
    score = scorer.score()
    np.testing.assert_allclose(images.losses, score.losses.numpy(), rtol=1e-4)
    assert dict(images.figures) == pytest.approx(dict(score.figures), abs=1e-6)
    assert not images.departs_from(images.accuracy) and not images.departs_from(None)


def test_of_two_boxes_of_a_class_the_better_is_kept() -> None:
    """Worked by hand: two boxes that meet by more than half, of one class and of two."""
    outputs = alone()
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 8], [20, 20, 30, 30]])
    defaults = np.array([[0, 0, 32, 32]] * 3)

    def given(logits: list[list[float]]) -> np.ndarray:
        rows = [[*box, *logit, *default]
                for box, logit, default in zip(boxes, logits, defaults, strict=True)]  # fmt: skip
        return np.asarray([rows], np.float32)

    limits = {"head": "ssdlite", "score": 0.05, "candidates": 9, "overlap": 0.5, "most": 9}
    of_one = given([[0, 2, -9], [0, 3, -9], [0, 1, -9]])
    (kept,) = outputs.kept(of_one, limits)
    assert kept[:, :4].tolist() == [[0, 0, 10, 8], [20, 20, 30, 30]]
    assert kept[0, 4] == pytest.approx(np.exp(3) / (1 + np.exp(3)), rel=1e-3)
    (kept,) = outputs.kept(given([[0, 2, -9], [0, -9, 3], [9, 1, -9]]), limits)
    assert kept[:, 5].tolist() == [1, 0]
    assert outputs.read_size(of_one) == (32, 32)
    assert outputs.alike(outputs.answers(of_one, limits), outputs.answers(of_one, limits)) == 1


@pytest.mark.parametrize("resize", ["crop", "stretch", "pad"])
@pytest.mark.parametrize("picture", [(31, 90), (90, 31), (64, 48), (333, 250)])
def test_boxes_go_back_as_where_networks_are_judged(
    resize: Resize, picture: tuple[int, int]
) -> None:
    rng = np.random.default_rng(0)
    corners = np.sort(rng.uniform(0, 1, (6, 2, 2)), axis=1) * (48, 64)
    boxes = np.column_stack([corners.reshape(6, 4), rng.random(6), np.arange(6)])
    found = alone().back(boxes, picture, (64, 48), resize)
    wanted = boxes_back(boxes, picture, Size(64, 48), resize)
    wanted[:, :4] = wanted[:, :4].clip(0, (picture[1], picture[0]) * 2)
    np.testing.assert_allclose(found, wanted, atol=1e-9)


def test_objects_follow_images_to_another_size(detected: tuple[Winner, Dataset]) -> None:
    winner, data = detected
    _, objects = sample_images(winner.task, data.validation, Size(32, 96), 512)
    there = data.validation.annotations
    assert there is not None
    scale = np.array([2, 0.5, 2, 0.5])
    np.testing.assert_allclose(objects[..., :4], there.numpy()[..., :4] * scale)
    np.testing.assert_array_equal(objects[..., 4:], there.numpy()[..., 4:])


@pytest.mark.parametrize("head", ["ssdlite", pytest.param("fcos", marks=pytest.mark.slow)])
def test_every_head_is_shipped(head: str, tmp_path: Path) -> None:
    """As plain torch, to ONNX and to OpenVINO, of images that are not square."""
    size = "48x72"
    winner = detector(head, size, steps=3)
    images = predict_validation(winner, things(size), 512)
    check_shipped(winner, images, tmp_path, alike=0.99)


def test_large_images_are_held_in_small_numbers() -> None:
    task = export_task(Task("detection", 80, "ssdlite"))
    assert task.most_images(Size(320, 320), 512) == 471 and task.batch_size(Size(320, 320)) == 58
    given = np.zeros((64, 2000, 89), np.float32)
    given[..., -4:] = [0, 0, 4, 4]
    rows, held = task.samples(64, given, np.zeros((64, 1, 6)), np.zeros((64, 100, 6)))
    assert len(rows) == 23 and held["scores"].shape == (23, 2000, 89)
