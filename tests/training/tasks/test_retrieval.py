from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.retrieval import RetrievalMAP

from nas.base.errors import SpecError
from nas.data import Dataset, Split
from nas.spec.task import Task
from nas.training.loop import Training, evaluate
from nas.training.recipe import Recipe
from nas.training.tasks import Score, retrieval, training_task

CPU = torch.device("cpu")
TASK = Task.of("retrieval", 5)


def split_of(identities: list[int], cameras: list[int], queries: list[int]) -> Split:
    annotations = torch.tensor([cameras, queries]).T
    images = torch.zeros(len(identities), 4, 4, 3, dtype=torch.uint8)
    return Split(images, torch.tensor(identities), annotations)


def at_random(seed: int, cameras: int) -> Split:
    """Sixty images, a third of them queries, the gallery with distractors numbered -1 and 9."""
    rng = np.random.default_rng(seed)
    queries = np.arange(60) % 3 == 0
    identities = np.where(queries, rng.integers(0, 6, 60), rng.integers(-1, 7, 60))
    identities[identities == 6] = 9
    seen = rng.integers(0, cameras, 60) if cameras else np.full(60, -1)
    return split_of(identities.tolist(), seen.tolist(), queries.astype(int).tolist())


def scored(vectors: Tensor, split: Split, at_once: int = 7) -> Score:
    scorer = training_task(TASK).scorer(split)
    for part in vectors.split(at_once):
        scorer.add(part)
    return scorer.score()


def slowly(vectors: Tensor, split: Split) -> list[tuple[float, float, float, float]]:
    """Return loss, average precision, rank-1 and rank-5 of each query that counts."""
    assert split.annotations is not None
    table = vectors.double().numpy()
    cameras, roles = split.annotations.T.tolist()
    identities, rows = split.labels.tolist(), []
    for query in range(len(table)):
        if roles[query] == 0:
            continue
        entries = []
        for entry in range(len(table)):
            same = identities[entry] == identities[query]
            known = cameras[entry] == cameras[query] and cameras[query] != -1
            if roles[entry] == 1 or (same and known):
                continue
            lengths = math.sqrt((table[query] ** 2).sum()) * math.sqrt((table[entry] ** 2).sum())
            entries.append((float(table[query] @ table[entry]) / lengths, same))
        if not any(same for _, same in entries):
            continue
        entries.sort(key=lambda one: (-one[0], one[1]))
        hits, precisions = 0, []
        for place, (_, same) in enumerate(entries, start=1):
            if same:
                hits += 1
                precisions.append(hits / place)
        mass = sum(math.exp(10 * similar) for similar, _ in entries)
        right = sum(math.exp(10 * similar) for similar, same in entries if same)
        rows.append(
            (
                -math.log(right / mass),
                sum(precisions) / hits,
                float(entries[0][1]),
                float(any(same for _, same in entries[:5])),
            )
        )
    return rows


@pytest.mark.parametrize("cameras", [0, 2, 3])
def test_figures_are_those_of_a_slow_twin(cameras: int, monkeypatch: pytest.MonkeyPatch) -> None:
    split = at_random(cameras, cameras)
    vectors = torch.randn(60, 5, generator=torch.Generator().manual_seed(cameras))
    rows = np.array(slowly(vectors, split))
    for at_once in (1 << 22, 100):
        monkeypatch.setattr(retrieval, "_AT_ONCE", at_once)
        found = scored(vectors, split)
        np.testing.assert_allclose(found.losses.numpy(), rows[:, 0], atol=1e-6)
        np.testing.assert_allclose(found.marks, rows[:, 1:], atol=1e-6)
        assert list(found.figures) == ["rank1", "map", "rank5"]
        expected = rows[:, [2, 1, 3]].mean(axis=0)
        np.testing.assert_allclose(list(found.figures.values()), expected, atol=1e-6)


def test_without_cameras_the_mean_average_precision_is_that_of_torchmetrics() -> None:
    split = at_random(0, 0)
    assert split.annotations is not None
    vectors = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
    similar = functional.cosine_similarity(vectors[:, None], vectors, dim=2)
    asks = split.annotations[:, 1] == 1
    similar, same = (
        table[asks][:, ~asks] for table in (similar, split.labels[:, None] == split.labels)
    )
    queries = torch.arange(len(similar))[:, None].expand(similar.shape)
    # What has a score of 0 or less counts as not found there.
    measure = RetrievalMAP(empty_target_action="skip")
    expected = measure(1 + similar.flatten(), same.flatten(), indexes=queries.flatten())
    assert scored(vectors, split).figures["map"] == pytest.approx(float(expected), abs=1e-6)


def test_the_own_camera_does_not_count_and_queries_with_nothing_to_find_are_left_out() -> None:
    """By hand: the query finds another (wrong), then its own by another camera."""
    split = split_of([1, 1, 1, 2, 3, 3], [0, 0, 1, 0, 0, 0], [1, 0, 0, 0, 1, 0])
    angles = torch.tensor([0.0, 0.0, 0.3, 0.2, 2.0, 2.0])
    found = scored(torch.stack([angles.cos(), angles.sin()], dim=1), split)
    assert found.marks.tolist() == [[0.5, 0.0, 1.0]]
    assert found.figures == {"rank1": 0.0, "map": 0.5, "rank5": 1.0}


def test_vectors_that_are_all_alike_earn_nothing_by_the_order_of_the_gallery() -> None:
    split = split_of([0, 0, 0, *range(1, 9)], [-1] * 11, [1] + [0] * 10)
    found = scored(torch.ones(11, 512) / 3, split)
    assert found.figures["rank1"] == found.figures["rank5"] == 0.0
    assert found.figures["map"] == pytest.approx((1 / 9 + 2 / 10) / 2)
    assert found.loss == pytest.approx(math.log(10 / 2))


def test_a_split_without_anything_to_find_is_refused() -> None:
    with pytest.raises(SpecError, match="no query has an image of its identity in the gallery"):
        training_task(TASK).scorer(split_of([0, 0, 1], [2, 2, 3], [1, 0, 0]))
    with pytest.raises(SpecError, match="no query"):
        training_task(TASK).scorer(split_of([0, 0], [1, 1], [0, 0]))


def test_guessing_has_the_share_of_an_identity_among_the_others() -> None:
    split = split_of([0, 0, 0, 1, 1, 2], [-1] * 6, [0] * 6)
    expected = -(3 * math.log(2 / 5) + 2 * math.log(1 / 5)) / 5
    assert training_task(TASK).guessing_loss(split) == pytest.approx(expected)


def test_vectors_that_say_nothing_are_no_better_than_a_constant_prediction() -> None:
    """Alike to the last bit, alike but for rounding, or at random."""
    split = at_random(0, cameras=3)
    constant = training_task(TASK).constant_prediction(split)
    alike = scored(torch.ones(60, 8), split)
    assert constant.explains(alike.accuracy)
    assert alike.loss == pytest.approx(constant.loss)
    for seed in range(8):
        noise = torch.randn(60, 8, generator=torch.Generator().manual_seed(seed))
        assert constant.explains(scored(torch.ones(60, 8) + 1e-4 * noise, split).accuracy)
    told = functional.one_hot(split.labels.clamp(min=0), 10).float()
    assert not constant.explains(scored(told, split).accuracy)


def test_a_missing_package_is_one_line_that_names_its_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning", None)
    with pytest.raises(SpecError, match=r'pip install "attention-nas\[retrieval\]"'):
        training_task(TASK)
    training_task(Task())
    training_task(Task.of("segmentation", 3))


def persons(first: int, count: int) -> Split:
    """Eight images of each identity, half of them queries.

    They are weak patterns below strong ones that come and go and tell nothing.
    """
    rng = np.random.default_rng(first)
    light = np.random.default_rng(0).normal(size=(3, 8, 8, 3))
    patterns = rng.normal(size=(count, 1, 8, 8, 3))
    images = 128 + 8 * patterns + 20 * np.tensordot(rng.normal(size=(count, 8, 3)), light, axes=1)
    images = images.clip(0, 255)
    roles = torch.arange(8 * count) % 2
    return Split(
        torch.from_numpy(images.astype(np.uint8).reshape(-1, 8, 8, 3)),
        torch.arange(count).repeat_interleave(8) + first,
        torch.stack([torch.full_like(roles, -1), roles], dim=1),
    )


def test_a_training_learns_goes_on_and_repeats_exactly() -> None:
    data = Dataset(
        persons(0, 12), persons(100, 12), tuple(map(str, range(12))), (128.0,) * 3, (60.0,) * 3,
        mirror=False, source="patterns", annotated="identities",
    )  # fmt: skip
    task = Task.of("retrieval", 12)

    def begun() -> Training:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(192, 16))
        return Training(
            network, data, task, Recipe(60, 16, 0.01), parameters=network.parameters(), seed=1,
            device=CPU,
        )  # fmt: skip

    whole, first, second = begun(), begun(), begun()
    before = evaluate(whole.network, data, task, device=CPU)
    whole.run()
    after = evaluate(whole.network, data, task, device=CPU)
    whole.check(after)
    assert whole.epoch_losses[-1] < whole.epoch_losses[0]
    assert after.loss < before.loss
    first.run(17)
    torch.manual_seed(99)
    second.load(first.state())
    second.run()
    for name, value in whole.network.state_dict().items():
        assert torch.equal(second.network.state_dict()[name], value), name
