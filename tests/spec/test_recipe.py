from __future__ import annotations

import pytest

from nas.base.errors import SpecError
from nas.spec.proxy import Backbone
from nas.spec.recipe import Retrain
from nas.spec.runner import load_runner


def test_the_paper_is_the_default() -> None:
    recipe = Retrain().resolved(1_281_167)
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate) == (200, 256, 0.05)
    assert (recipe.momentum, recipe.weight_decay, recipe.schedule) == (0.9, 4e-5, "cosine")
    assert recipe.mixup == recipe.cutmix == recipe.rand_augment == recipe.label_smoothing == 0
    assert recipe.ema is None and recipe.warm_up == 0


@pytest.mark.parametrize(
    ("images", "batch"), [(100, 32), (1150, 32), (6400, 128), (12_800, 256), (40_000, 256)]
)
def test_small_sets_get_small_batches_and_a_rate_in_proportion(images: int, batch: int) -> None:
    recipe = Retrain().resolved(images)
    assert recipe.batch_size == batch
    assert recipe.learning_rate == pytest.approx(0.05 * batch / 256)


def test_what_is_given_overrides_the_recipe_and_zero_turns_off() -> None:
    modern = Retrain(recipe="modern").resolved(50_000)
    assert modern.epochs == 300 and modern.ema == 0.9999 and modern.cutmix > 0
    assert "EMA 0.9999" in str(modern) and "EMA" not in str(Retrain().resolved(50_000))
    mine = Retrain(recipe="modern", epochs=10, ema=0.0, mixup=0.0, learning_rate=0.3)
    recipe = mine.resolved(50_000)
    assert (recipe.epochs, recipe.ema, recipe.mixup, recipe.learning_rate) == (10, None, 0, 0.3)
    assert recipe.label_smoothing == modern.label_smoothing


def test_a_key_names_the_recipe_and_the_images() -> None:
    recipe = Retrain().resolved(50_000)
    assert recipe.key("a") == Retrain(seeds=9, threads=4).resolved(50_000).key("a")
    assert recipe.key("a") != recipe.key("b")
    assert recipe.key("a") != Retrain(epochs=201).resolved(50_000).key("a")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("retrain.epoch=3", "unknown key 'epoch'; allowed in retrain: batch_size, cutmix, ema"),
        ("retrain.epochs=0", r"retrain\.epochs: found 0; allowed: above 0"),
        ("retrain.recipe=old", r"retrain\.recipe: found 'old'; allowed: 'paper' or 'modern'"),
        ("retrain.ema=1", r"retrain\.ema: found 1; allowed: below 1"),
        ("search.objectives=[retrained_accuracy, loss]", "known after a search only"),
    ],
)
def test_wrong_keys_are_one_line(override: str, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        load_runner(None, (override,))
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_given_are_those_of_the_regime() -> None:
    assert Retrain().resolved(50_000).weights == "random"
    assert Retrain().resolved(50_000, "finetune").weights == "backbone"
    assert Retrain(weights="pretrained").resolved(50_000, "finetune").weights == "pretrained"
    given = Retrain(weights="random").resolved(50_000, "finetune")  # of an earlier version
    assert given == Retrain().resolved(50_000)


def test_weights_that_were_trained_elsewhere_get_a_fifth_of_the_rate() -> None:
    usual = Retrain().resolved(50_000, "finetune")
    given = Backbone(weights="w.safetensors")
    own = Retrain().resolved(50_000, "finetune", backbone=given)
    assert own.learning_rate == pytest.approx(usual.learning_rate / 5)
    pretrained = Retrain(weights="pretrained").resolved(50_000, "finetune")
    assert own.learning_rate == pretrained.learning_rate
    asked = Retrain(learning_rate=0.3).resolved(50_000, "finetune", backbone=given)
    assert asked.learning_rate == 0.3


def test_what_the_backbone_came_with_is_trained_as_the_runner_says() -> None:
    usual = Retrain().resolved(50_000, "finetune")
    slow = Backbone(rate_share=0.1, freeze_norms=True)
    recipe = Retrain().resolved(50_000, "finetune", backbone=slow)
    assert (recipe.rate_share, recipe.freeze_norms) == (0.1, True)
    assert recipe.key("a") != usual.key("a") == "68d49930"
    assert "of it the backbone 0.1" in str(recipe) and "batch norms kept" in str(recipe)
    assert Retrain().resolved(50_000, backbone=slow) == Retrain().resolved(50_000)
    assert slow.key.keys() - Backbone().key.keys() == {"rate_share", "freeze_norms"}
    for wrong in ("0", "1.5", "-1"):
        with pytest.raises(SpecError, match="proxy.backbone.rate_share: found"):
            load_runner(None, (f"proxy.backbone.rate_share={wrong}",))


def test_blocks_start_as_the_proxy_started_them_and_trained_weights_keep_identities() -> None:
    paper, identity = (
        Retrain().resolved(50_000, "scratch", start) for start in ("paper", "identity")
    )
    assert (paper.block_start, identity.block_start) == ("paper", "identity")
    assert paper == Retrain().resolved(50_000) and "start" not in str(paper)
    assert identity.key("a") != paper.key("a") and "identity start" in str(identity)
    assert Retrain().resolved(50_000, "finetune").block_start == "identity"


def test_a_recipe_keeps_the_name_that_it_had_before_starts_were_told_apart() -> None:
    assert Retrain().resolved(50_000).key("a") == "4f1c87f9"


def test_a_precision_is_part_of_a_recipe_and_of_its_name() -> None:
    usual, half = (Retrain().resolved(50_000, precision=given) for given in ("fp32", "bf16"))
    assert usual == Retrain().resolved(50_000) and "fp32" not in str(usual)
    assert half.key("a") != usual.key("a") and "bf16" in str(half)
    with pytest.raises(SpecError, match="unknown key 'precision'"):  # a front has one
        load_runner(None, ("retrain.precision=bf16",))
