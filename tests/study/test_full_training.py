from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.samples import make_record

from nas.spec.objective import objectives_named
from nas.study.front.front import Front
from nas.study.front.full_training_findings import full_training_findings
from nas.study.front.prose import sentences
from nas.study.full_training import (
    FullTraining,
    average_full_trainings,
    losses_by_image,
    marks_by_training,
    pack_flags,
    pack_losses,
    read_full_trainings,
    select_main_recipe,
    unpack_flags,
    unpack_losses,
)
from nas.study.record import Record
from nas.study.trials import Trials

IMAGES = 1000


def trained(digest: str, seed: int, tested: float | None, **more: object) -> FullTraining:
    """tested: share of the test images that are right, the first ones; on validation 0.01 less."""
    known = {} if tested is None else {"accuracy": tested - 0.01}
    found = FullTraining(
        trial=0,
        digest=digest,
        reference=None,
        seed=seed,
        key="paper",
        recipe={},
        description="200 epochs",
        resolution=32,
        images=IMAGES,
        test_accuracy=tested,
        test_images=None if tested is None else IMAGES,
        test_correct=None if tested is None else pack_flags(np.arange(IMAGES) < tested * IMAGES),
    )
    return replace(found, **(known | more))  # type: ignore[arg-type]


def texts(*found: FullTraining) -> str:
    return json.dumps([item.to_dict() for item in found])


@given(st.lists(st.booleans(), min_size=1, max_size=100))
def test_flags_survive_being_packed(flags: list[bool]) -> None:
    assert unpack_flags(pack_flags(np.array(flags)), len(flags)).tolist() == flags


def test_a_record_survives_json_and_keys_of_later_versions() -> None:
    one = trained("a", 1, 0.5, curve=[(1.0, 2.0, 0.5, 3.0)])
    data = json.loads(texts(one))
    data[0]["later"] = 1
    back = read_full_trainings(json.dumps(data))[0]
    assert back.to_dict() == json.loads(json.dumps(one.to_dict())) | {"curve": back.curve}
    assert back.name == "a:1:paper"
    assert read_full_trainings(None) == ()


def test_the_recipe_of_most_networks_is_shown_and_never_a_mixture() -> None:
    paper = [trained("a", 0, 0.5), trained("b", 0, 0.5)]
    other = [trained("a", seed, 0.9, key="modern") for seed in range(3)]
    failed = trained("c", 0, None, key="modern", failure="diverged")
    assert select_main_recipe([*other, *paper, failed]) == paper
    assert select_main_recipe([*other, failed]) == other
    assert select_main_recipe([failed]) == []
    later = trained("a", 0, 0.7, key="later", finished="2026-11-21")
    assert select_main_recipe([trained("a", 0, 0.5, finished="2026-11-20"), later]) == [later]


def test_recipes_that_nothing_tells_apart_are_chosen_alike_in_every_process() -> None:
    keys = [f"recipe {number}" for number in range(20)]
    of_each = [trained("a", 0, 0.5, key=key) for key in keys]
    assert select_main_recipe(of_each) == [of_each[keys.index(max(keys))]]


def test_columns_hold_means_and_spreads_over_seeds() -> None:
    found = average_full_trainings([texts(trained("a", 0, 0.5), trained("a", 1, 0.7)), None,
                        texts(trained("b", 0, 0.4))])  # fmt: skip
    assert found["retrained_seeds"].tolist() == [2, 0, 1]
    assert found["retrained_accuracy"][[0, 2]].tolist() == pytest.approx([0.59, 0.39])
    assert found["retrained_test_accuracy"][0] == pytest.approx(0.6)
    assert found["retrained_test_spread"][0] == pytest.approx(math.sqrt(0.02))
    assert math.isnan(found["retrained_spread"][2]) and math.isnan(found["retrained_accuracy"][1])
    untested = replace(trained("a", 0, None), accuracy=0.3)
    alone = average_full_trainings([texts(untested)])
    assert alone["retrained_accuracy"][0] == 0.3
    assert math.isnan(alone["retrained_test_accuracy"][0])


def judge_retrained(front: Front) -> list[str]:
    return list(sentences(full_training_findings(front)))


REFERENCES = {"plain": "plain", "hand": "se/r24"}


def front_of(
    networks: dict[str, list[float]],
    *,
    objectives: tuple[str, ...] = ("loss", "latency_ms"),
    latency_ms: dict[str, float] | None = None,
    losses: dict[str, float] | None = None,
    validation: dict[str, float] | None = None,
    without: tuple[str, ...] = (),
) -> Front:
    """networks: name -> test accuracy of each seed."""
    records: list[Record] = []
    for number, name in enumerate([*networks, *without]):
        record = make_record(
            number,
            name=name,
            loss=(losses or {}).get(name, 1.0 - 0.01 * number),
            latency_ms=(latency_ms or {}).get(name, 1.0 + 0.1 * number),
            reference=REFERENCES.get(name),
        )
        mine = [
            trained(
                record.digest,
                seed,
                accuracy,
                trial=number,
                reference=record.reference,
                accuracy=(validation or {}).get(name, accuracy - 0.01),
            )
            for seed, accuracy in enumerate(networks.get(name, []))
            if not math.isnan(accuracy)
        ]
        records.append(replace(record, full_trainings=tuple(mine)) if mine else record)
    return Front.of(Trials.of(records), objectives_named(list(objectives)))


CLEAR = {
    "plain": [0.800, 0.810, 0.805],
    "a": [0.901, 0.910, 0.906],
    "hand": [0.850, 0.861, 0.855],
}


def test_a_front_shows_what_full_training_found() -> None:
    points = {point.reference or "a": point for point in front_of(CLEAR)}
    assert points["a"].retrained_test_accuracy == pytest.approx(0.90567, abs=1e-4)
    assert points["a"].retrained_seeds == 3
    assert json.loads(front_of(CLEAR).to_json())[0]["retrained_seeds"] == 3
    nothing = front_of({}, without=("plain", "a"))
    assert all(math.isnan(point.retrained_accuracy) for point in nothing)
    assert judge_retrained(nothing) == []


def test_search_beats_hand_placement_only_beyond_the_noise() -> None:
    said = " ".join(judge_retrained(front_of(CLEAR)))
    assert "3 networks, 3 seeds each) is judged on 1,000 test images, looked at once" in said
    # The mean of each difference by seed, however much seeds move both: 0.051, 0.049, 0.051.
    assert "trial 1, no slower than se/r24: +5.03 points" in said
    assert "beyond the noise" in said
    assert "At equal training the search beats 1 of 1 hand-placed network" in said
    assert "trial 1, against the plain network at +10% latency: +10.07 points" in said


def test_a_difference_inside_the_noise_of_seeds_is_no_win() -> None:
    noisy = CLEAR | {"a": [0.80, 0.99, 0.84]}
    said = " ".join(judge_retrained(front_of(noisy)))
    assert "inside the noise" in said
    assert "beats NONE of 1 hand-placed network" in said


def test_a_difference_inside_the_noise_of_images_is_no_win() -> None:
    """Each seed by itself says the same, of ten images in a thousand."""
    close = {"plain": [0.800] * 3, "a": [0.853, 0.8531, 0.853], "hand": [0.850] * 3}
    said = " ".join(judge_retrained(front_of(close)))
    assert "trial 1, no slower than se/r24: +0.30 points" in said
    assert "beats NONE" in said


def test_a_slower_network_is_not_compared_and_a_worse_one_is_named() -> None:
    slower = judge_retrained(front_of(CLEAR, latency_ms={"a": 9.0}))
    assert "No retrained network of the search is as fast as se/r24." in slower
    worse = judge_retrained(front_of(CLEAR | {"a": [0.701, 0.710, 0.706]}))
    assert worse[-1].endswith("beats NONE of 1 hand-placed network beyond the noise, "
                              "and is worse than se/r24.")  # fmt: skip


def test_the_searched_network_is_chosen_by_validation_not_by_test() -> None:
    """`b` is the best by test images; by validation images it is `a`."""
    networks = CLEAR | {"b": [0.95, 0.96, 0.955]}
    front = front_of(networks, latency_ms={"b": 1.0}, validation={"b": 0.1})
    said = " ".join(judge_retrained(front))
    assert "trial 1, no slower than se/r24" in said and "trial 3" not in said


def test_one_seed_claims_nothing() -> None:
    said = judge_retrained(front_of({name: values[:1] for name, values in CLEAR.items()}))
    assert "no difference is claimed" in said[-1]
    alone = judge_retrained(front_of({"a": [0.9, 0.9]}))
    assert "No hand-placed network was retrained" in alone[-1]


def test_networks_without_a_common_seed_are_not_compared() -> None:
    apart = {"plain": [0.8], "a": [math.nan, 0.9], "hand": [math.nan, math.nan, 0.85]}
    assert (
        "have no seed in common, so they are not compared" in judge_retrained(front_of(apart))[-1]
    )


@pytest.mark.parametrize("short", [[0.95], [0.95, math.nan, 0.95], [math.nan] * 3 + [0.9, 0.9]])
def test_a_network_that_lacks_a_seed_takes_the_word_from_itself_alone(short: list[float]) -> None:
    whole = judge_retrained(front_of(CLEAR))
    said = judge_retrained(front_of(CLEAR | {"b": short}))
    assert (
        "Not compared, since the others' seeds are missing or failed: trial 3 (nas retrain "
        in (said[1])
    )
    assert said[2:] == whole[1:]


def test_the_proxys_order_against_full_training() -> None:
    names = ["plain", "a", "hand", "b", "c", "d"]
    rising = {name: [0.5 + 0.05 * n, 0.51 + 0.05 * n] for n, name in enumerate(names)}
    said = " ".join(judge_retrained(front_of(rising)))
    assert "these 6 networks against full training: rank correlation 1.00" in said
    assert "better than chance would have it" in said
    losses = {name: 0.5 + 0.1 * n for n, name in enumerate(names)}
    assert "is the reverse" in " ".join(judge_retrained(front_of(rising, losses=losses)))
    mixed = dict(zip(names, [0.9, 0.5, 0.8, 0.6, 0.85, 0.55], strict=True))
    assert "cannot be told" in " ".join(judge_retrained(front_of(rising, losses=mixed)))
    few = {name: rising[name] for name in names[:3]}
    assert "rank correlation" not in " ".join(judge_retrained(front_of(few)))


def test_a_front_by_retrained_accuracy_is_without_the_others() -> None:
    front = front_of(CLEAR, objectives=("retrained_accuracy", "latency_ms"), without=("fast",),
                     latency_ms={"fast": 0.1})  # fmt: skip
    assert {point.trial for point in front.members} == {0, 1}
    assert "1 network was not retrained: this front is without it." in judge_retrained(front)
    assert len(front.where(retrained_accuracy=(">=", 0.85)).members) == 1


def test_several_recipes_are_told() -> None:
    record = make_record(0, name="a")
    two = [trained(record.digest, 0, 0.5), trained(record.digest, 0, 0.6, key="other")]
    front = Front.of(
        Trials.of([replace(record, full_trainings=tuple(two))]),
        objectives_named(["loss", "latency_ms"]),
    )
    assert "2 recipes were tried" in judge_retrained(front)[1]


def test_losses_of_images_come_back_to_three_digits() -> None:
    losses = np.random.default_rng(0).exponential(0.5, size=9_999)
    losses[:3] = 0.0, 1e-3, 1e6
    text = pack_losses(losses)
    found = unpack_losses(text)
    np.testing.assert_allclose(found[3:], losses[3:], rtol=5e-4, atol=1e-7)
    assert found[0] == 0.0 and found[2] == np.finfo(np.float16).max
    assert abs(found[3:].mean() - losses[3:].mean()) < 1e-5
    assert len(text) < 27_000
    assert unpack_losses(pack_losses(np.zeros(0))).shape == (0,)


def test_of_many_images_the_same_ones_are_kept_for_all_networks() -> None:
    losses = np.linspace(0, 8, 50_000)
    found = unpack_losses(pack_losses(losses))
    np.testing.assert_allclose(found, losses[::5], rtol=5e-4, atol=1e-7)


def test_a_full_training_of_an_earlier_version_is_read_without_losses() -> None:
    now = FullTraining(
        3, "d1", None, 0, "paper", {}, "200 epochs", 32, losses="x", epoch_losses=[1.0]
    )
    assert FullTraining.from_dict(json.loads(json.dumps(now.to_dict()))) == now
    earlier = replace(now, losses=None, epoch_losses=None)
    old = earlier.to_dict()
    assert not set(old) & {"losses", "test_losses", "images_seen", "epoch_losses"}
    assert FullTraining.from_dict(old) == earlier


def test_what_is_known_of_images_is_what_some_trainings_have_kept() -> None:
    old, first, second, fewer = (
        trained(
            "a",
            seed,
            0.5,
            test_losses=losses and pack_losses(np.array(losses)),
            test_correct=losses and pack_flags(np.array(losses) > 1),
            test_images=losses and len(losses),
        )
        for seed, losses in enumerate([None, [1.0, 2.0, 4.0], [3.0, 2.0, 0.0], [1.0, 2.0]])
    )
    means = losses_by_image([old, first, second], tested=True)
    assert means is not None and means.tolist() == [2.0, 2.0, 2.0]
    marks = marks_by_training([old, first, second], tested=True)
    assert [each.tolist() for each in marks] == [[False, True, True], [True, True, False]]
    for some in ([], [old], [first, fewer]):  # of other images nothing is known together
        assert losses_by_image(some, tested=True) is None
        assert marks_by_training(some, tested=True) == ()
    assert losses_by_image([first]) is None, "of validation images"


def test_a_full_training_of_another_task_keeps_its_figures_in_their_order() -> None:
    one = FullTraining(
        3, "d1", None, 0, "paper", {}, "200 epochs", 32, task="retrieval",
        figures={"rank1": 0.5, "map": 0.25, "rank5": 0.75}, marks="x",
    )  # fmt: skip
    back = FullTraining.from_dict(json.loads(json.dumps(one.to_dict())))
    assert back == one and list(back.figures or {}) == ["rank1", "map", "rank5"]
    assert back.task_name == "retrieval"
    plain = FullTraining(3, "d1", None, 0, "paper", {}, "200 epochs", 32)
    assert plain.task_name == "classification"
    assert not set(plain.to_dict()) & {"task", "figures", "marks", "test_figures", "test_marks"}
