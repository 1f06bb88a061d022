"""Packs of segmentation and retrieval: what a stranger gets, and what is checked of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.packs import COMMON, ORIGIN, check_shipped, outputs_from, outputs_of, verify
from support.samples import QUICK
from support.task_networks import CLASSES, embedder, people, scenes, segmenter

from nas.base.errors import ExportError, SpecError
from nas.base.size import Size
from nas.cli.export import export
from nas.data import Dataset
from nas.data.geometry import map_back, to_size
from nas.data.reading import Resize
from nas.export import TARGETS, export_pack
from nas.export.pack import Pack, write_pack
from nas.export.pack_papers import _for_outputs, _preprocessing
from nas.export.parity import AccuracyDrop, predict_validation, sample_images
from nas.export.target import Target
from nas.export.target.target import WrittenGraph
from nas.export.tasks import export_task
from nas.export.verify import read_picture
from nas.export.winner import Winner
from nas.runs.run import open_run
from nas.runs.start import search
from nas.spec.runner import load_runner
from nas.spec.task import OWN, TASKS, Task
from nas.study.constant_prediction import ConstantPrediction
from nas.study.marks import figures_of
from nas.training.tasks import training_task

pytestmark = pytest.mark.xdist_group("task packs")

TALL = "64x48"


@pytest.fixture(scope="module")
def segmented() -> tuple[Winner, Dataset]:
    return segmenter("lraspp", TALL), scenes(TALL)


@pytest.fixture(scope="module")
def retrieved() -> tuple[Winner, Dataset]:
    return embedder(TALL), people(TALL)


@pytest.fixture(scope="module")
def masks_pack(segmented: tuple[Winner, Dataset], tmp_path_factory: pytest.TempPathFactory) -> Pack:
    path = tmp_path_factory.mktemp("masks") / "winner"
    return write_pack(path, *segmented, TARGETS["onnx"], ORIGIN, int8=True)


@pytest.fixture(scope="module")
def vectors_pack(
    retrieved: tuple[Winner, Dataset], tmp_path_factory: pytest.TempPathFactory
) -> Pack:
    path = tmp_path_factory.mktemp("vectors") / "winner"
    return write_pack(path, *retrieved, TARGETS["onnx"], ORIGIN, int8=True)


def test_a_pack_of_masks_goes_by_miou(masks_pack: Pack) -> None:
    folder = masks_pack.path
    names = {path.name for path in folder.iterdir()}
    assert names == COMMON | {"labels.txt", "network.onnx", "network-int8.onnx"}
    report = json.loads((folder / "report.json").read_text())
    assert report["task"] == {"name": "segmentation", "outputs": 3, "head": "lraspp"}
    assert 0.3 < report["network"]["miou"] < 1 and "accuracy" not in report["network"]
    model, plain, small = report["graphs"]
    assert model["difference"] < 1e-4 and plain["difference"] < 1e-4 and plain["agreement"] > 0.999
    assert small["difference"] > 1e-3 and small["agreement"] > 0.7
    low, high = small["miou_drop_interval"]
    assert low < small["miou_drop"] < high
    assert small["miou_drop"] == pytest.approx(report["network"]["miou"] - small["miou"])
    card = (folder / "README.md").read_text()
    assert "for each pixel of images of 64x48 pixels (height x width) which of 3 classes" in card
    assert "| same class | mIoU | mIoU lost, points |" in card and "accuracy" not in card
    preprocessing = json.loads((folder / "preprocessing.json").read_text())
    assert preprocessing["fit"] == "stretch" and "nearest neighbour" in preprocessing["back"]
    assert "returns scores (N, classes, H, W)" in (folder / "model.py").read_text()
    assert "Head lraspp: arXiv:1905.02244; code of torchvision" in (folder / "NOTICE").read_text()
    assert {path.name for path in (folder / "licences").iterdir()} >= {"timm.txt"}


def test_a_pack_of_vectors_goes_by_rank_1(vectors_pack: Pack) -> None:
    folder = vectors_pack.path
    names = {path.name for path in folder.iterdir()}
    assert names == COMMON | {"network.onnx", "network-int8.onnx"}
    report = json.loads((folder / "report.json").read_text())
    figures = report["network"]["figures"]
    assert list(figures) == ["rank1", "map", "rank5"]
    assert report["network"]["rank1"] == figures["rank1"] and report["network"]["marks"] == 8
    low, high = report["graphs"][1]["rank1_drop_interval"]
    assert low < 0 < high  # of eight queries none is lost, and that says little
    assert vectors_pack.judged_on == "8 queries of 32 validation images"
    card = (folder / "README.md").read_text()
    assert "vectors of 32 numbers and length 1" in card and "paired by query" in card
    with np.load(folder / "samples.npz", allow_pickle=False) as samples:
        np.testing.assert_allclose(np.linalg.norm(samples["scores"], axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("fixture", ["masks_pack", "vectors_pack"])
def test_packs_check_themselves_with_numpy_alone(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    pack = request.getfixturevalue(fixture)
    ran = verify(pack.path, without="torch")
    assert (ran.returncode, ran.stdout.count(": ok;")) == (0, 2), ran.stderr
    assert verify(pack.path, "--model").stdout.count(": ok;") == 3
    said = {"masks_pack": "pixels of 16 images", "vectors_pack": "of 8 queries"}
    assert said[fixture] in ran.stdout


@pytest.mark.parametrize("fixture", ["masks_pack", "vectors_pack"])
def test_packs_notice_another_graph(
    fixture: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    pack = request.getfixturevalue(fixture)
    for path in pack.path.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "network.onnx").write_bytes((tmp_path / "network-int8.onnx").read_bytes())
    ran = verify(tmp_path)
    assert ran.returncode == 1 and ran.stdout.count("FAILS") == 1


def test_masks_are_drawn_over_a_sample_and_over_a_picture(
    masks_pack: Pack, segmented: tuple[Winner, Dataset], tmp_path: Path
) -> None:
    outputs = outputs_of(masks_pack.path)
    ran = verify(masks_pack.path, "3")
    assert ran.returncode == 0 and ran.stdout.startswith("sample-3-classes.png:"), ran.stderr
    with np.load(masks_pack.path / "samples.npz") as samples:
        pixels, mask = samples["images"][3], samples["answers"][3]
    drawn = np.asarray(Image.open(masks_pack.path.parent / "empty" / "sample-3-classes.png"))
    np.testing.assert_array_equal(drawn, outputs.painted(pixels, mask))
    for number in np.unique(mask):
        assert f"{CLASSES[number]}: {(mask == number).mean():.1%} of the pixels" in ran.stdout

    picture = tmp_path / "wide one.png"
    noise = np.random.default_rng(0).integers(0, 255, (50, 131, 3), dtype=np.uint8)
    Image.fromarray(noise).save(picture)
    ran = verify(masks_pack.path, str(picture), without="torch")
    assert ran.returncode == 0, ran.stderr
    winner, _ = segmented
    read = to_size(Image.open(picture), Size.of(TALL), "stretch").astype(np.float32)
    images = torch.from_numpy((read - winner.mean[0]) / winner.std[0]).permute(2, 0, 1)[None]
    with torch.no_grad():
        found = winner.trained(images).numpy()
    wanted = outputs.painted(noise, outputs.back(outputs.answers(found)[0], (50, 131), "stretch"))
    drawn = np.asarray(Image.open(masks_pack.path.parent / "empty" / "wide one-classes.png"))
    assert (drawn == wanted).all(axis=2).mean() > 0.999  # but for scores that are equal


def test_the_nearest_samples_are_named(vectors_pack: Pack, tmp_path: Path) -> None:
    ran = verify(vectors_pack.path, "5")
    assert ran.returncode == 0 and "sample 5, identity 1: similarity 1.000" in ran.stdout
    for name, without, said in (
        ("99", "PIL", "sample 99; there are 0 to 31"),
        (str(tmp_path / "a.png"), "PIL", "pip install pillow; or name the number of a sample"),
        (str(tmp_path / "a.png"), "torch", "cannot be read as a picture"),
    ):
        ran = verify(vectors_pack.path, name, without=without)
        assert ran.returncode == 2 and said in ran.stderr and ran.stderr.count("\n") == 1


@pytest.mark.parametrize("resize", ["crop", "stretch", "pad"])
def test_a_pack_reads_pictures_as_the_run_did(resize: Resize, tmp_path: Path) -> None:
    made = replace(segmenter("lraspp", TALL, steps=0), resize=resize)
    preprocessing = _preprocessing(made)
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 255, (9, 14, 3), dtype=np.uint8)).resize((701, 450))
    turned = Image.Exif()
    turned[0x0112] = 6
    smooth.save(tmp_path / "large.jpg")
    smooth.save(tmp_path / "turned.jpg", exif=turned)
    smooth.resize((30, 41)).save(tmp_path / "small.png")
    clear = smooth.resize((90, 70)).convert("RGBA")
    clear.putalpha(120)
    clear.save(tmp_path / "clear.png")
    Image.fromarray(rng.integers(0, 65535, (80, 60), dtype=np.uint16)).save(tmp_path / "deep.png")
    for path in sorted(tmp_path.iterdir()):
        whole, pixels = read_picture(path, preprocessing)
        wanted = to_size(Image.open(path), made.size, resize, exact=True)  # as images with masks
        np.testing.assert_array_equal(pixels, wanted, err_msg=path.name)
        if path.name == "turned.jpg":
            assert whole.shape == (701, 450, 3)


def test_masks_go_back_to_where_pictures_were() -> None:
    """Worked by hand: a mask of 2 x 2 cells, and pictures of other shapes."""
    outputs = export_task(Task("segmentation", 3, "lraspp")).outputs_file
    assert outputs is not None
    back = outputs_from(outputs).back
    mask = np.array([[0, 1], [2, 0]], np.uint8)
    assert back(mask, (2, 4), "stretch").tolist() == [[0, 0, 1, 1], [2, 2, 0, 0]]
    assert back(mask, (2, 4), "crop").tolist() == [[255, 0, 1, 255], [255, 2, 0, 255]]
    tall = np.array([[9, 9], [0, 1], [2, 0], [9, 9]], np.uint8)
    assert back(tall, (4, 4), "pad").tolist() == back(mask, (4, 4), "stretch").tolist()
    assert back(mask, (1, 1), "stretch").shape == (1, 1)


@pytest.mark.parametrize("resize", ["crop", "stretch", "pad"])
@pytest.mark.parametrize("picture", [(31, 90), (90, 31), (20, 15), (7, 5), (64, 48), (333, 250)])
def test_masks_go_back_as_where_networks_are_judged(
    resize: Resize, picture: tuple[int, int]
) -> None:
    outputs = export_task(Task("segmentation", 3, "lraspp")).outputs_file
    assert outputs is not None
    mask = np.random.default_rng(0).integers(0, 9, (40, 30)).astype(np.uint8)
    found = outputs_from(outputs).back(mask, picture, resize)
    np.testing.assert_array_equal(found, map_back(mask, picture, resize))


@pytest.mark.parametrize("fixture", ["segmented", "retrieved"])
def test_packs_judge_as_trainings_do(fixture: str, request: pytest.FixtureRequest) -> None:
    winner, data = request.getfixturevalue(fixture)
    images = predict_validation(winner, data, 512)
    scorer = training_task(winner.task).scorer(data.validation)
    for row in range(0, len(images), 5):
        scorer.add(torch.from_numpy(images.scores[row : row + 5]))
    score = scorer.score()
    np.testing.assert_allclose(images.losses, score.losses.numpy(), atol=1e-5)
    np.testing.assert_allclose(images.judged.marks, score.marks)
    assert dict(images.figures) == pytest.approx(dict(score.figures))
    outputs = export_task(winner.task).outputs_file
    assert outputs is not None
    alone = outputs_from(outputs)
    assert alone.figures(images.judged.marks) == pytest.approx(dict(images.figures), abs=1e-12)


def test_a_recorded_miou_is_held_against_the_noise(segmented: tuple[Winner, Dataset]) -> None:
    images = predict_validation(*segmented, 512)
    assert not images.departs_from(None) and not images.departs_from(images.accuracy)
    assert images.departs_from(images.accuracy - 0.3)


def test_of_a_part_of_a_gallery_no_departure_is_said(retrieved: tuple[Winner, Dataset]) -> None:
    winner, data = retrieved
    part = predict_validation(winner, data, 4)  # four times as many images
    assert len(part) == 16 and not part.whole and not part.departs_from(0.999)
    assert predict_validation(winner, data, 8).departs_from(0.999)


def test_annotations_follow_images_to_another_size(segmented: tuple[Winner, Dataset]) -> None:
    winner, data = segmented
    pixels, masks = sample_images(winner.task, data.validation, Size(32, 96), 512)
    assert pixels.shape == (16, 32, 96, 3) and masks.shape == (16, 32, 96)
    assert set(np.unique(masks)) == {0, 1, 2, 255} and masks.dtype == np.uint8
    there = data.validation.annotations
    assert there is not None
    np.testing.assert_array_equal(masks[:, :, ::2], there.numpy()[:, 1::2, :])


def test_large_maps_are_held_in_small_numbers() -> None:
    task = export_task(Task("segmentation", 21, "deeplabv3"))
    assert task.most_images(Size(512, 512), 512) == 24 and task.batch_size(Size(512, 512)) == 3
    assert task.most_images(Size(96, 96), 512) == 512
    assert task.most_images(Size(2048, 4096), 512) == 16
    scores = np.zeros((16, 21, 256, 256), np.float32)
    masks = np.zeros((16, 256, 256), np.uint8)
    rows, held = task.samples(64, scores, masks, masks)
    assert len(rows) == 16 and held["step"] == 3 and held["answers"].shape == (16, 256, 256)
    assert held["scores"].size < 1.1 * (1 << 22)


def test_a_drop_of_miou_is_paired_by_image() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(50, 150, (40, 3))
    marks = np.stack([true - 20, true - 5, true], axis=2)
    worse = marks.copy()
    worse[:, :, 0] -= 4
    task = Task("segmentation", 3, "unet")
    drop = AccuracyDrop.of_marks(task, marks, worse)
    first = [figures_of("segmentation", one)["miou"] for one in (marks, worse)]
    assert drop.mean == pytest.approx(first[0] - first[1])
    assert drop.low < drop.mean < drop.high and drop.high - drop.low < 0.02
    assert AccuracyDrop.of_marks(task, marks, marks).high == pytest.approx(0)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(head, marks=() if head in {"lraspp", "embedding"} else pytest.mark.slow)
        for task in ("segmentation", "retrieval")
        for head in TASKS[task].heads
        if head != OWN
    ],
)
def test_every_head_is_shipped(head: str, tmp_path: Path) -> None:
    """As plain torch, to ONNX and to OpenVINO, of images that are not square."""
    size = "48x72"
    of_vectors = head in TASKS["retrieval"].heads
    winner = embedder(size, steps=3) if of_vectors else segmenter(head, size, steps=3)
    images = predict_validation(winner, people(size) if of_vectors else scenes(size), 512)
    check_shipped(winner, images, tmp_path, alike=0.999)


def test_a_graph_of_another_network_leaves_nothing(
    segmented: tuple[Winner, Dataset], tmp_path: Path
) -> None:
    other = segmenter("lraspp", TALL, steps=2)
    target = replace(TARGETS["onnx"], write=lambda _: TARGETS["onnx"].write(other))
    with pytest.raises(ExportError, match="differs from the network by"):
        write_pack(tmp_path / "pack", *segmented, target, ORIGIN, int8=False)
    assert not list(tmp_path.iterdir())


def coarse(target: Target) -> Target:
    """Its int8 is that of a network that knows nothing."""

    def write(winner: Winner, images: object) -> WrittenGraph:
        return target.write(segmenter("lraspp", TALL, steps=0))

    return replace(target, quantise=write)


def test_int8_that_loses_too_much_miou_is_not_written(
    segmented: tuple[Winner, Dataset], tmp_path: Path
) -> None:
    said = r"in int8 loses \d+\.\d points \(95 %: .*\) of mIoU on 16 validation images, more than"
    with pytest.raises(SpecError, match=said) as caught:
        write_pack(
            tmp_path / "p", *segmented, coarse(TARGETS["onnx"]), ORIGIN, int8=True, max_drop=2
        )
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_timm_takes_classification_alone(segmented: tuple[Winner, Dataset], tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="timm takes networks of classification alone") as caught:
        write_pack(tmp_path / "pack", *segmented, TARGETS["timm"], ORIGIN, int8=False)
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)


def test_preprocessing_of_masks_between_bars_is_not_rounded() -> None:
    made = segmenter("lraspp", TALL, steps=0)
    assert _for_outputs(made)["draft"] == 128
    assert _for_outputs(replace(made, resize="pad"))["draft"] is None


SPACE = """
name: tasks
backbones: [mobilenetv2_035]
resolutions: ["{size}"]
blocks:
  coord: {{reduction: [8]}}
"""
SHORT = ("workers=1", "search.trials=2", "search.confirm_seeds=1", "proxy.backbone.epochs=2")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "figure"), [("segmentation", "miou"), ("retrieval", "rank1"), ("detection", "ap")]
)
def test_a_pack_of_a_run_says_what_the_run_recorded(
    task: str, figure: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "space.yaml").write_text(SPACE.format(size="48x32"))
    runner = load_runner(None, (*QUICK, *SHORT, f"task={task}"))
    search(tmp_path / "space.yaml", runner, "digits", tmp_path / "run")
    run = open_run(tmp_path / "run")
    pack = export_pack(run, 1, "onnx", tmp_path / "pack")
    assert pack.recorded_accuracy == run.row(1)["accuracy"] and not pack.departs_from_record
    assert pack.network_accuracy == pytest.approx(run.row(1)["accuracy"], abs=0.004)
    report = json.loads((pack.path / "report.json").read_text())
    assert report["network"][f"recorded_{figure}"] == report["origin"]["found"][figure]
    assert verify(pack.path, without="torch").returncode == 0
    capsys.readouterr()
    export(tmp_path / "run", 1, out=tmp_path / "winner.onnx")
    title = TASKS[runner.task_on(2).name].figures[0].title
    assert f"weights: of the search, {title} " in capsys.readouterr().out
    with pytest.raises(SpecError, match="classification alone"):
        export(tmp_path / "run", 1, to="timm", out=tmp_path / "timm")
    assert not (tmp_path / "timm").exists()


@pytest.mark.parametrize("collapsed", [False, True])
def test_a_graph_that_disagrees_with_a_collapsed_network_is_told_so(
    tmp_path: Path, collapsed: bool
) -> None:
    """Vectors that are alike but for rounding, which a norm then makes the whole of them."""
    shipped, data = embedder(TALL, steps=1), people(TALL)
    network = shipped.trained
    with torch.no_grad():
        network.backbone.classifier.weight.mul_(1e-4)  # type: ignore[operator, union-attr]
        network.backbone.classifier.bias.fill_(1000)  # type: ignore[operator, union-attr]
        network.head.neck.running_mean.fill_(1000)  # type: ignore[operator, union-attr]
        network.head.neck.running_var.zero_()  # type: ignore[operator, union-attr]
    constant = ConstantPrediction(loss=2.3, accuracy=0.3 if collapsed else 0.1)
    origin = replace(ORIGIN, found={"accuracy": 0.2}, constant=constant)
    winner = replace(shipped, network=network, unfolded=None)
    with pytest.raises(ExportError, match="differs from the network by") as raised:
        write_pack(tmp_path / "pack", winner, data, TARGETS["onnx"], origin, int8=False)
    said = "the network is no better than one answer to all images, which has 30.0%"
    assert (said in str(raised.value)) is collapsed and "\n" not in str(raised.value)
    assert not (tmp_path / "pack").exists()
