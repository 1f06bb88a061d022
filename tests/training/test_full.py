"""Full training of one network, as short as it can be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.full_trainings import SE, TASK, digit_images, make_job

import nas.training.original_size as original_size
from nas.base.errors import SpecError, TrainingError
from nas.data import Reading, open_data, open_test
from nas.models.build import build
from nas.spec.architecture import Architecture
from nas.spec.recipe import Retrain
from nas.study.full_training import unpack_flags, unpack_losses
from nas.training.augmentation import Augmentation
from nas.training.batches import Batches
from nas.training.checkpoint import load_weights, save_weights
from nas.training.full import (
    FullTrainingJob,
    TrainingStopped,
    begin,
    train_fully,
    training_file,
    weights_file,
)
from nas.training.loop import evaluate
from nas.training.recipe import Recipe

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def images() -> Path:
    return digit_images()


def job(images: Path, folder: Path, steps: int = 5, **section: object) -> FullTrainingJob:
    count = len(open_data(images).train)
    given = {"batch_size": 4, "epochs": steps / (count // 4)} | section
    recipe = Retrain.model_validate(given).resolved(count)
    return make_job(recipe, images, folder)


MODERN = {"recipe": "modern", "rand_augment": 5, "warm_up": 0.001}


@pytest.mark.parametrize("section", [{}, MODERN])
def test_a_training_that_is_stopped_goes_on_bit_for_bit(
    images: Path, tmp_path: Path, section: dict[str, object]
) -> None:
    whole = job(images, tmp_path / "whole", **section)
    assert FullTrainingJob.from_dict(whole.to_dict()) == whole
    told: list[dict[str, float]] = []
    found = train_fully(whole, device=CPU, say=told.append)
    parts = replace(whole, folder=tmp_path / "parts")
    for _ in range(2):
        steps = iter([False, True])
        with pytest.raises(TrainingStopped):
            train_fully(parts, device=CPU, stopping=lambda steps=steps: next(steps))  # type: ignore[misc]
        assert (parts.folder / training_file(parts.about)).exists()
    again = train_fully(parts, device=CPU)
    one, other = (load_weights(item.folder / weights_file(whole.about)) for item in (whole, parts))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert (found.loss, found.test_loss) == (again.loss, again.test_loss)
    assert found.curve is not None and again.curve is not None
    assert [row[:3] for row in found.curve] == [row[:3] for row in again.curve]
    assert found.curve[-1][0] == pytest.approx(found.recipe["epochs"])
    assert [item["accuracy"] for item in told if "accuracy" in item] == [
        row[2] for row in found.curve
    ]


def test_trained_weights_are_where_it_begins(images: Path, tmp_path: Path) -> None:
    plain = build(SE.plain, num_classes=10, seed=5)
    save_weights(tmp_path / "plain.safetensors", plain.state_dict())
    given = job(images, tmp_path, weights="backbone")
    given = replace(given, backbone=tmp_path / "plain.safetensors")
    assert FullTrainingJob.from_dict(given.to_dict()) == given
    data = open_data(images)
    begun = begin(SE, data, given.recipe, TASK, seed=0, device=CPU, backbone=given.backbone)
    assert evaluate(begun.network, data, TASK, device=CPU).loss == pytest.approx(
        evaluate(plain, data, TASK, device=CPU).loss, rel=1e-5
    )
    assert train_fully(given, device=CPU).complete


def test_what_is_kept_is_what_was_judged_and_tested(images: Path, tmp_path: Path) -> None:
    given = job(images, tmp_path, ema=0.5)
    found = train_fully(given, device=CPU)
    assert found.weights is not None and found.images == len(open_data(images).validation)
    network = build(Architecture.from_json(given.architecture), num_classes=10)
    network.load_state_dict(load_weights(tmp_path / found.weights))
    data, test = open_data(images), open_test("digits", 16)
    assert evaluate(network, data, TASK, device=CPU).loss == found.loss
    score = evaluate(network, replace(data, validation=test), TASK, device=CPU)
    assert (score.loss, score.accuracy) == (found.test_loss, found.test_accuracy)
    assert found.test_correct is not None and found.test_images == len(test)
    assert unpack_flags(found.test_correct, len(test)).tolist() == score.marks.tolist()
    assert found.losses is not None and found.test_losses is not None
    assert unpack_losses(found.losses).mean() == pytest.approx(found.loss, rel=1e-3)
    assert unpack_losses(found.test_losses) == pytest.approx(score.losses.numpy(), rel=1e-3)
    assert (found.images_seen, found.epoch_losses) == (5 * 4, [])  # no whole epoch


def test_the_loss_of_each_epoch_is_kept(images: Path, tmp_path: Path) -> None:
    epoch = len(open_data(images).train) // 128
    found = train_fully(job(images, tmp_path, batch_size=128, epochs=2.5), device=CPU)
    assert found.images_seen == round(2.5 * epoch) * 128
    assert found.epoch_losses is not None and len(found.epoch_losses) == 2
    assert found.epoch_losses[1] < found.epoch_losses[0]


def test_test_images_are_looked_at_once_and_only_at_the_end(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []

    def counted(source: str, resolution: int, *, reading: Reading) -> object:
        looks.append(source)
        return open_test(source, resolution, reading=reading)

    monkeypatch.setattr(original_size, "open_test", counted)
    stops = iter([False, False, False, True])
    with pytest.raises(TrainingStopped):
        train_fully(job(images, tmp_path), device=CPU, stopping=lambda: next(stops))
    assert looks == []
    train_fully(job(images, tmp_path), device=CPU)
    assert looks == ["digits"]
    untested = replace(job(images, tmp_path / "other", steps=1), test=False)
    assert train_fully(untested, device=CPU).test_accuracy is None
    assert looks == ["digits"]


def test_a_training_that_diverges_says_so(images: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="diverged"):
        train_fully(job(images, tmp_path, learning_rate=1e30), device=CPU)


def test_targets_are_shares_that_sum_to_one() -> None:
    images, labels = torch.rand(8, 3, 8, 8), torch.arange(8)
    torch.manual_seed(0)
    for given in ({"mixup": 0.2}, {"cutmix": 1.0}, {"mixup": 0.2, "cutmix": 1.0}):
        mixed, targets = Augmentation(10, label_smoothing=0.1, **given).mixed(images, labels)
        assert mixed.shape == images.shape
        assert targets.shape == (8, 10)
        assert torch.allclose(targets.sum(dim=1), torch.ones(8))
        assert targets.min() >= 0.1 / 10 - 1e-6
    same, targets = Augmentation(10).mixed(images, labels)
    assert same is images and targets is labels


def test_rand_augment_changes_pixels_alike_for_equal_seeds() -> None:
    images = torch.randint(0, 256, (4, 16, 16, 3), dtype=torch.uint8)
    change = Augmentation(10, rand_augment=9)
    found = []
    for _ in range(2):
        torch.manual_seed(3)
        found.append(change.pixels(images))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], images)
    assert found[0].dtype == torch.uint8 and found[0].shape == images.shape


def test_schedules() -> None:
    cosine = Recipe(length=100, batch_size=1, learning_rate=1.0, warm_up=0.0)
    assert [cosine.rate(step) for step in (0, 50, 100)] == pytest.approx([1.0, 0.5, 0.0])
    step = replace(cosine, schedule="step", warm_up=0.1)
    assert [step.rate(at) for at in (0, 5, 10, 49, 50, 75)] == pytest.approx(
        [0.1, 0.55, 1.0, 1.0, 0.1, 0.01]
    )


def test_a_share_of_a_batch_holds_the_images_that_it_has_among_all(images: Path) -> None:
    data = open_data(images)
    batches, rows = Batches(data, CPU), torch.arange(8)

    def batch(*share: slice) -> torch.Tensor:
        return batches.augmented(data.train, rows, torch.Generator().manual_seed(5), *share)

    for rank in range(2):
        assert torch.equal(batch(slice(rank, None, 2)), batch()[rank::2])


def test_a_training_keeps_the_precision_of_its_search_or_is_refused(
    images: Path, tmp_path: Path
) -> None:
    of_gpu = job(images, tmp_path)
    recipe = of_gpu.about.recipe | {"precision": "fp16"}
    of_gpu = replace(of_gpu, about=replace(of_gpu.about, recipe=recipe))
    with pytest.raises(SpecError, match="precision fp16 needs a GPU"):
        train_fully(of_gpu, device=CPU)
    assert not list(tmp_path.iterdir())
