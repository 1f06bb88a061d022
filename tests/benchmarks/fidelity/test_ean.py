from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.fidelity.ean import KINDS, Rival, Supernet, rival_of
from benchmarks.fidelity.ean_policy import Policy, Scheme
from benchmarks.fidelity.landscapes import LANDSCAPES
from benchmarks.fidelity.trainings import rows_of
from nas.data import Dataset, Split
from nas.models.build import build

PLANTED = 2
L1 = LANDSCAPES["L1"]


def worth(scheme: Scheme) -> float:
    """The third of seven sites pays four points; every other costs a quarter of one."""
    return 60 + 4 * scheme[PLANTED] - 0.25 * (sum(scheme) - scheme[PLANTED])


def test_the_policy_finds_the_site_that_pays() -> None:
    policy = Policy(7, seed=0)
    assert all(0.3 < share < 0.7 for share in policy.probabilities)
    for _ in range(300):
        policy.learn(worth)
    assert policy.most_probable == (0, 0, 1, 0, 0, 0, 0)


def test_rewards_are_accuracy_and_two_points_for_a_network_without_blocks() -> None:
    for draw in Policy(7, seed=1).learn(worth):
        empty = 1 - sum(draw.scheme) / 7
        assert draw.accuracy == worth(draw.scheme)
        assert draw.reward == pytest.approx(draw.accuracy + 2 * empty, abs=1e-4)
        assert draw.novelty > 0


def test_what_is_seen_again_and_again_is_no_longer_new() -> None:
    policy = Policy(7, seed=0)
    first = np.mean([draw.novelty for draw in policy.learn(lambda scheme: 60.0)])
    for _ in range(100):
        last = np.mean([draw.novelty for draw in policy.learn(lambda scheme: 60.0)])
    assert last < 0.5 * first


def test_a_policy_that_was_stopped_goes_on_as_if_it_had_not_been() -> None:
    whole, begun = Policy(5, seed=3), Policy(5, seed=3)
    accuracy = lambda scheme: 50.0 + scheme[0]  # noqa: E731
    for _ in range(20):
        drawn = whole.learn(accuracy)
    for _ in range(14):
        begun.learn(accuracy)
    again = Policy(5, seed=3)
    again.load({name: tensor.clone() for name, tensor in begun.state().items()})
    for _ in range(6):
        drawn_again = again.learn(accuracy)
    assert again.step == whole.step and drawn == drawn_again
    assert again.probabilities == whole.probabilities


def images(count: int, seed: int) -> Split:
    """Dark and bright ones."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    pixels = 60 + 120 * labels[:, None, None, None] + rng.normal(0, 30, (count, 16, 16, 3))
    return Split(torch.from_numpy(pixels.clip(0, 255).astype(np.uint8)), torch.from_numpy(labels))


def tiny() -> Dataset:
    channels = (120.0, 120.0, 120.0), (60.0, 60.0, 60.0)
    return Dataset(images(64, 0), images(48, 1), ("dark", "bright"), *channels, True, "made up")


def planted(supernet: Supernet) -> None:
    """Without the block at one site, the network says nothing."""

    def silenced(module: torch.nn.Module, given: object, scores: torch.Tensor) -> torch.Tensor:
        return scores if supernet.switches[PLANTED].on else 0 * scores

    supernet.network.register_forward_hook(silenced)


def small(kind: str = "se", steps: int = 60, length: int = 6) -> Rival:
    rival = rival_of(L1, tiny(), kind, epochs=20, steps=steps, seed=0)
    recipe = replace(rival.recipe, length=length, batch_size=32, warm_up=0.2)
    return replace(rival, recipe=recipe, prepared=planted)


@pytest.mark.parametrize("kind", KINDS)
def test_it_prefers_the_site_that_is_planted_to_pay(kind: str, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    probable, rewarded = small(kind, length=40).run(rows, tmp_path)
    assert probable["scheme"][PLANTED] == rewarded["scheme"][PLANTED] == "1"
    assert rewarded["shared_accuracy"] > 80
    shares = probable["probabilities"]
    assert shares[PLANTED] == max(shares) > 0.8
    assert probable["seconds"] > 0 and probable["schemes_judged"] <= 128
    steps = [row["step"] for row in rows_of(rows) if "step" in row]
    assert steps == list(range(60))


def test_what_is_stopped_goes_on_and_repeats_nothing(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.jsonl", tmp_path / "parts.jsonl"
    expected = small(steps=15).run(whole, tmp_path / "one")
    assert small(steps=15).run(parts, tmp_path / "two", until=4) == []
    # Killed between a row and the state: that step is done again, and its row is not.
    (kept,) = (tmp_path / "two").glob("*.policy.safetensors")
    before = kept.read_bytes()
    small(steps=15).run(parts, tmp_path / "two", until=6)
    kept.write_bytes(before)
    found = small(steps=15).run(parts, tmp_path / "two")
    assert [row | {"seconds": 0} for row in found] == [row | {"seconds": 0} for row in expected]
    assert small(steps=15).run(parts, tmp_path / "two") == found
    one, two = ([row | {"seconds": 0} for row in rows_of(path)] for path in (whole, parts))
    assert one == two


def test_rows_of_other_images_are_not_taken_up(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    small(steps=2).run(rows, tmp_path)
    other = small(steps=2)
    replace(other, data=replace(other.data, validation=images(64, 5))).run(rows, tmp_path)
    assert len([row for row in rows_of(rows) if "step" in row]) == 4


def test_networks_of_one_kind_are_read_once_with_the_weights_that_were_shared(
    tmp_path: Path,
) -> None:
    rows, rival = tmp_path / "rows.jsonl", small(steps=2)
    rival.run(rows, tmp_path)
    for _ in range(2):
        rival.read(L1.networks, rows, tmp_path)
    read = {row["network"]: row for row in rows_of(rows) if "network" in row}
    assert len(read) == len([row for row in rows_of(rows) if "network" in row])
    assert set(read) == {"plain", "se everywhere", "se early", "se late", "se at 0"}
    assert read["se early"]["scheme"] == "1110000"
    drawn = {d["scheme"]: d["accuracy"] for r in rows_of(rows) for d in r.get("draws", ())}
    for row in read.values():
        assert row["shared_accuracy"] == drawn.get(row["scheme"], row["shared_accuracy"])


def test_the_sites_of_a_scheme_are_in_the_order_of_the_forward_pass() -> None:
    supernet = Supernet(L1.networks["se everywhere"], 2, seed=0)
    early = supernet.architecture((1, 1, 1, 0, 0, 0, 0))
    assert early == L1.networks["se early"]
    assert supernet.architecture((0,) * 7) == L1.networks["plain"]


def test_a_scheme_is_the_network_of_its_blocks() -> None:
    supernet = Supernet(L1.networks["coord everywhere"], 2, seed=4)
    scheme = (0, 1, 0, 0, 1, 0, 1)
    supernet.choose(scheme)
    alone = build(supernet.architecture(scheme), num_classes=2, start="identity", seed=4)
    some = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(supernet.network(some), alone(some))


def test_connections_are_drawn_by_the_step_each_with_half() -> None:
    supernet = Supernet(L1.networks["se everywhere"], 2, seed=0)
    drawn = []
    for step in range(400):
        supernet.choose_by_chance(step)
        drawn.append([switch.on for switch in supernet.switches])
    share = np.mean(drawn, axis=0)
    assert (abs(share - 0.5) < 0.1).all()
    supernet.choose_by_chance(7)
    assert [switch.on for switch in supernet.switches] == drawn[7]
