from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from nas.base.errors import SpecError
from nas.data import Dataset, Split
from nas.spec.recipe import Retrain
from nas.spec.task import Task
from nas.study.marks import class_ious
from nas.training.loop import Training, evaluate
from nas.training.recipe import Recipe
from nas.training.tasks import Score, training_task

CPU = torch.device("cpu")
TASK = Task.of("segmentation", 5)


def cases() -> tuple[Tensor, Tensor]:
    """Scores and masks of seven images, not square: class 3 is nowhere true, 4 nowhere at all.

    Some pixels do not count; of image 2 none does, and image 5 is of one class.
    """
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(7, 5, 6, 9, generator=generator)
    scores[:, 4] -= 100
    masks = torch.randint(0, 3, (7, 6, 9), generator=generator).to(torch.uint8)
    masks[torch.rand(7, 6, 9, generator=generator) < 0.2] = 255
    masks[2], masks[5] = 255, 1
    return scores, masks


def split_of(masks: Tensor) -> Split:
    images = torch.zeros(*masks.shape, 3, dtype=torch.uint8)
    return Split(images, torch.zeros(len(masks), dtype=torch.long), masks)


def scored(scores: Tensor, masks: Tensor, at_once: int = 3) -> Score:
    scorer = training_task(TASK).scorer(split_of(masks))
    for part in scores.split(at_once):
        scorer.add(part)
    return scorer.score()


def slowly(
    scores: NDArray[np.float64], masks: NDArray[np.int64]
) -> tuple[float, float, list[float], list[float]]:
    """Return mIoU, pixel accuracy, the IoU of each class, and the loss of each image."""
    both, told_so, true, losses = [0] * 5, [0] * 5, [0] * 5, []
    for image in range(len(masks)):
        here = []
        for row in range(masks.shape[1]):
            for column in range(masks.shape[2]):
                label = masks[image, row, column]
                if label == 255:
                    continue
                pixel = scores[image, :, row, column]
                told = max(range(5), key=lambda one: pixel[one])  # noqa: B023
                both[label] += told == label
                told_so[told] += 1
                true[label] += 1
                here.append(math.log(sum(math.exp(one) for one in pixel)) - pixel[label])
        losses.append(sum(here) / len(here) if here else 0.0)
    union = [told_so[one] + true[one] - both[one] for one in range(5)]
    ious = [both[one] / union[one] if union[one] else math.nan for one in range(5)]
    occurring = [one for one in ious if not math.isnan(one)]
    return sum(occurring) / len(occurring), sum(both) / sum(true), ious, losses


@pytest.mark.parametrize("at_once", [1, 3, 7])
def test_figures_are_those_of_a_slow_twin(at_once: int) -> None:
    scores, masks = cases()
    found = scored(scores, masks, at_once)
    miou, pixel_accuracy, ious, losses = slowly(scores.double().numpy(), masks.long().numpy())
    assert list(found.figures) == ["miou", "pixel_accuracy"]
    assert found.accuracy == pytest.approx(miou, abs=1e-6)
    assert found.figures["pixel_accuracy"] == pytest.approx(pixel_accuracy, abs=1e-6)
    np.testing.assert_allclose(class_ious(found.marks), ious, atol=1e-6)
    np.testing.assert_allclose(found.losses.numpy(), losses, atol=1e-6)
    assert ious[3] == 0.0 and math.isnan(ious[4])


def test_figures_are_those_of_torchmetrics() -> None:
    scores, masks = cases()
    found, told, true = scored(scores, masks), scores.argmax(dim=1), masks.long()
    jaccard = MulticlassJaccardIndex(5, ignore_index=255)
    accuracy = MulticlassAccuracy(5, ignore_index=255, average="micro")
    assert found.accuracy == pytest.approx(float(jaccard(told, true)), abs=1e-6)
    assert found.figures["pixel_accuracy"] == pytest.approx(float(accuracy(told, true)), abs=1e-6)


def test_an_image_without_a_pixel_that_counts_has_no_loss_and_no_marks() -> None:
    scores, masks = cases()
    found = scored(scores, masks)
    assert found.losses[2] == 0.0 and not found.marks[2].any()
    nothing = scored(scores[2:3], masks[2:3])
    assert nothing.figures == {"miou": 0.0, "pixel_accuracy": 0.0}
    assert not torch.isnan(training_task(TASK).loss(scores[2:3], masks[2:3]))


def test_a_mask_of_another_size_than_the_scores_is_noticed() -> None:
    scores, masks = cases()
    with pytest.raises(AssertionError):
        scored(scores[:, :, ::2], masks)


def test_the_loss_of_a_batch_is_that_of_its_parts() -> None:
    scores, masks = cases()
    task = training_task(TASK)
    parts = [task.loss(scores[part], masks[part]) for part in (slice(0, 4), slice(4, 7))]
    assert float(task.loss(scores, masks)) == pytest.approx(
        float(parts[0]) * 4 / 7 + float(parts[1]) * 3 / 7
    )
    assert float(task.loss(scores, masks)) == pytest.approx(scored(scores, masks).loss, abs=1e-6)


def test_guessing_has_the_entropy_of_the_pixels_that_count() -> None:
    masks = torch.tensor([[[0, 0, 0, 1]], [[255, 255, 0, 1]]], dtype=torch.uint8)
    shares = (4 / 6, 2 / 6)
    assert training_task(TASK).guessing_loss(split_of(masks)) == pytest.approx(
        -sum(share * math.log(share) for share in shares)
    )


@pytest.mark.parametrize("told", [0, 1])
def test_one_class_for_every_pixel_is_no_better_than_a_constant_prediction(told: int) -> None:
    masks = torch.tensor([[[0, 0, 0, 1]], [[255, 255, 0, 1]]], dtype=torch.uint8)
    constant = training_task(TASK).constant_prediction(split_of(masks))
    assert constant.accuracy == pytest.approx(4 / 6 / 2)
    scores = torch.zeros(2, TASK.outputs, 1, 4)
    scores[:, told] = 1
    found = scored(scores, masks)
    assert constant.explains(found.accuracy)
    assert (found.accuracy == pytest.approx(constant.accuracy)) is (told == 0)
    right = functional.one_hot(masks.clamp(max=1).long(), TASK.outputs).movedim(3, 1).float()
    assert not constant.explains(scored(right, masks).accuracy)


def test_large_images_are_judged_a_few_at_a_time() -> None:
    _, masks = cases()
    assert training_task(TASK).judged_at_once(split_of(masks)) == 64
    large = torch.zeros(1, 1, 1, dtype=torch.uint8).expand(2, 1024, 2048)
    split = Split(torch.zeros(2, 1, 1, 3), torch.zeros(2), large)
    assert training_task(Task.of("segmentation", 19)).judged_at_once(split) == 1


def squares(count: int) -> Split:
    """Bright squares of two brightnesses on a dark ground, with the class of each pixel."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 40, (count, 16, 24, 3)).astype(np.uint8)
    masks = np.zeros((count, 16, 24), dtype=np.uint8)
    for row in range(count):
        top, left = generator.integers(0, 8), generator.integers(0, 16)
        part = (row, slice(top, top + 8), slice(left, left + 8))
        masks[part] = 1 + row % 2
        images[part] += np.uint8(70 + 90 * (row % 2))
    return Split(torch.from_numpy(images), torch.arange(count) % 2, torch.from_numpy(masks))


@pytest.fixture(scope="module")
def data() -> Dataset:
    return Dataset(
        squares(40), squares(20), ("ground", "dim", "bright"), (60.0,) * 3, (60.0,) * 3,
        mirror=True, source="squares", annotated="masks",
    )  # fmt: skip


def begun(data: Dataset, length: int = 60) -> Training:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 3, 3, padding=1)
    network = nn.Sequential(*layers)
    return Training(
        network, data, Task.of("segmentation", 3), Recipe(length, 8, 0.1),
        parameters=network.parameters(), seed=1, device=CPU,
    )  # fmt: skip


def test_a_training_learns_goes_on_and_repeats_exactly(data: Dataset) -> None:
    whole, first, second = begun(data), begun(data), begun(data)
    before = evaluate(whole.network, data, Task.of("segmentation", 3), device=CPU)
    whole.run()
    after = evaluate(whole.network, data, Task.of("segmentation", 3), device=CPU)
    whole.check(after)
    assert after.accuracy > max(before.accuracy, 0.33) + 0.2
    first.run(17)
    torch.manual_seed(99)
    second.load(first.state())
    second.run()
    for name, value in whole.network.state_dict().items():
        assert torch.equal(second.network.state_dict()[name], value), name


def test_recipes_that_mix_labels_are_refused() -> None:
    modern = Retrain(recipe="modern").resolved(100)
    modern.check(Task())
    for task in (TASK, Task.of("retrieval", 5)):
        with pytest.raises(SpecError, match="label_smoothing, mixup, cutmix, rand_augment"):
            modern.check(task)
        replace(modern, label_smoothing=0, mixup=0, cutmix=0, rand_augment=0).check(task)
        Retrain().resolved(100).check(task)
