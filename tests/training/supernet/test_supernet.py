from __future__ import annotations

import json
import math
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import typer
from torch import nn

from nas.base.errors import SpecError, StorageError, TrainingError
from nas.base.seeds import derive
from nas.cli.supernet import supernet as command
from nas.data import Dataset, Split
from nas.models.build import build, inserted_modules, uniform
from nas.models.candidates import Candidates
from nas.spec.architecture import Architecture, Insertion
from nas.spec.space import SearchSpace
from nas.spec.task import Task
from nas.training.checkpoint import load_weights, save_weights
from nas.training.loop import Training, evaluate
from nas.training.recipe import Recipe
from nas.training.supernet import train as supernet_training
from nas.training.supernet import weights as supernet_weights
from nas.training.supernet.folder import SupernetFolder
from nas.training.supernet.supernet import Paths, Supernet
from nas.training.supernet.train import load_supernet, train_supernet
from nas.training.supernet.weights import inherit, recalibrate, score

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
TASK = Task(outputs=4)
RECIPE = Recipe(length=4, batch_size=8, learning_rate=0.01, optimiser="adamw")


def candidates_of(backbone: str = "mobilenetv2_035", **more: object) -> Candidates:
    rule = {"granularity": "stage", "exclude": ["blocks.0.*", "blocks.1.*"]}
    space = {
        "name": "small",
        "backbones": [backbone],
        "resolutions": [32],
        "total_stride": 16,
        "sites": rule,
        "blocks": {"se": {"reduction": [8, 16]}, "coord": {"reduction": [8]}, "eca": {}},
    }
    return Candidates(SearchSpace.model_validate(space | more))


SMALL = candidates_of()
PLAIN = SMALL.plains()[0][0]
COORD = uniform("mobilenetv2_035", "coord", reduction=8, resolution=32, total_stride=16,
                exclude=["blocks.0.*", "blocks.1.*"])  # fmt: skip


@pytest.fixture(scope="module")
def data() -> Dataset:
    def split(count: int, seed: int) -> Split:
        generator = torch.Generator().manual_seed(seed)
        images = torch.randint(0, 256, (count, 32, 32, 3), generator=generator, dtype=torch.uint8)
        return Split(images, torch.arange(count) % 4)

    return Dataset(
        split(40, 0), split(16, 1), tuple("abcd"), (127.0,) * 3, (74.0,) * 3, True, "noise"
    )


@pytest.fixture(scope="module")
def weights(data: Dataset) -> dict[str, torch.Tensor]:
    """A plain network whose batch norm has seen data."""
    network = build(PLAIN, num_classes=4, seed=1)
    recalibrate(network, data, device=CPU)
    return network.state_dict()


def small(weights: dict[str, torch.Tensor], *, frozen: bool = True, seed: int = 5) -> Supernet:
    return Supernet(SMALL, PLAIN, task=Task(outputs=4), weights=weights, seed=seed, frozen=frozen)


def images(count: int = 4) -> torch.Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(2))


def snapshot(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def changed(network: nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    now = network.state_dict()
    return {name for name, tensor in before.items() if not torch.equal(now[name], tensor)}


@pytest.mark.parametrize(
    ("backbone", "rule"),
    [
        ("mobilenetv2_035", {}),
        ("mobilenetv2_035", {"position": ["after_projection", "after_residual"]}),
        ("torchvision/shufflenet_v2_x0_5", {}),
        ("mobilenetv3_small_050", {}),  # comes with blocks of its own at most sites
    ],
)
def test_a_path_is_the_network_by_itself_bit_for_bit(
    backbone: str, rule: dict[str, object]
) -> None:
    candidates = candidates_of(backbone, sites={"granularity": "stage"} | rule)
    plain = candidates.plains()[0][0]
    weights = build(plain, num_classes=4, seed=1).state_dict()
    supernet = Supernet(candidates, plain, task=Task(outputs=4), weights=weights, seed=5).eval()
    drawn = [supernet.draw(random.Random(number))[0] for number in range(3)]
    for architecture in {plain, *candidates.leanest(), *drawn}:
        alone = build(architecture, num_classes=4, start="identity", weights=weights, seed=5)
        supernet.choose(architecture)
        assert torch.equal(supernet(images()), alone(images()))
        heir = inherit(supernet, architecture).state_dict()
        assert all(torch.equal(heir[name], it) for name, it in alone.state_dict().items())


def test_the_active_path_alone_is_computed(weights: dict[str, torch.Tensor]) -> None:
    supernet = small(weights)
    called: list[nn.Module] = []
    for block in supernet.blocks():
        block.register_forward_hook(lambda block, *_: called.append(block))
    (architecture,) = supernet.draw(random.Random(0))
    supernet.choose(architecture)
    supernet(images())
    assert len(called) == 14  # one at each site
    assert sum(not isinstance(block, nn.Identity) for block in called) == len(architecture.blocks)


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_a_step_moves_its_own_path_and_nothing_else(
    data: Dataset, weights: dict[str, torch.Tensor], optimiser: str
) -> None:
    """Momentum and weight decay would move what an earlier step trained."""
    supernet = small(weights)
    before = snapshot(supernet)
    steps = []

    def look(done: int, of: int) -> None:
        nonlocal before
        (path,) = supernet.draw(random.Random(derive(3, "paths", done - 1)))
        own = {tensor.data_ptr() for tensor in supernet.weights_of(path).values()}
        moved = changed(supernet, before)
        assert moved and all(supernet.state_dict()[name].data_ptr() in own for name in moved)
        before = snapshot(supernet)
        steps.append((done, of))

    recipe = replace(RECIPE, optimiser=optimiser)
    train_supernet(supernet, data, TASK, recipe, seed=3, device=CPU, progress=look)
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_frozen_backbone_stays_and_another_is_trained(
    data: Dataset, weights: dict[str, torch.Tensor]
) -> None:
    for frozen in (True, False):
        supernet = small(weights, frozen=frozen)
        train_supernet(supernet, data, TASK, RECIPE, seed=0, device=CPU)
        now = supernet.weights_of(PLAIN)
        same = [name for name in weights if torch.equal(now[name], weights[name])]
        assert len(same) == (len(weights) if frozen else 0)
        assert not any(module.training for module in supernet.modules())


def test_a_backbone_that_came_with_blocks_keeps_them_frozen(data: Dataset) -> None:
    candidates = candidates_of("mobilenetv3_small_050", sites={})
    plain = candidates.plains()[0][0]
    supernet = Supernet(candidates, plain, task=Task(outputs=4))
    before = supernet.weights_of(plain)
    before = {name: tensor.clone() for name, tensor in before.items()}
    train_supernet(supernet, data, TASK, RECIPE, seed=0, device=CPU)
    assert all(torch.equal(supernet.weights_of(plain)[name], before[name]) for name in before)
    filled = {site.name for site in candidates.plains()[0][1] if site.filled}
    assert filled and "blocks.0.0.se.conv_reduce.weight" in before
    (emptied,) = candidates.leanest()
    assert "blocks.0.0.se.conv_reduce.weight" not in supernet.weights_of(emptied)


def test_one_interrupted_training_equals_another(
    data: Dataset, weights: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supernet_training, "_EVERY", 2)
    whole, halves = small(weights), small(weights)
    train_supernet(whole, data, TASK, RECIPE, seed=0, device=CPU)
    keep = tmp_path / "supernet.safetensors"

    def stop(done: int, _of: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_supernet(halves, data, TASK, RECIPE, seed=0, device=CPU, keep=keep, progress=stop)
    assert any(name.startswith("optimiser.") for name in load_weights(keep))
    halves = small(weights)
    train_supernet(halves, data, TASK, RECIPE, seed=0, device=CPU, keep=keep)
    assert not changed(whole, halves.state_dict())
    assert not any(name.startswith("optimiser.") for name in load_weights(keep))
    read, again = small(weights), small(weights)
    load_supernet(read, keep)
    train_supernet(again, data, TASK, RECIPE, seed=0, device=CPU, keep=keep, progress=stop)
    assert not changed(whole, read.state_dict()) and not changed(whole, again.state_dict())


def test_weights_of_something_else_are_refused(
    weights: dict[str, torch.Tensor], data: Dataset, tmp_path: Path
) -> None:
    path = tmp_path / "supernet.safetensors"
    save_weights(path, weights)
    with pytest.raises(StorageError, match="another supernet"):
        load_supernet(small(weights), path)
    with pytest.raises(StorageError, match="another supernet"):
        train_supernet(small(weights), data, TASK, RECIPE, seed=0, device=CPU, keep=path)


def test_recalibration_is_the_mean_over_batches(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four images of one colour each: 1, 2, 3 and 4, in all 16 pixels."""
    values = torch.tensor([1, 2, 3, 4], dtype=torch.uint8)
    pixels = values[:, None, None, None].expand(4, 4, 4, 3).contiguous()
    split = Split(pixels, torch.zeros(4, dtype=torch.long))
    colours = Dataset(split, split, ("a",), (0.0,) * 3, (1.0,) * 3, False, "colours")
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    with torch.no_grad():
        network(images())  # statistics to forget
        network[0].weight.fill_(2.0)
    before = snapshot(network)
    recalibrate(network, colours, device=CPU, within=[network[0]])
    torch.testing.assert_close(network[0].running_mean, torch.full((3,), 2.5))
    torch.testing.assert_close(network[0].running_var, torch.full((3,), 1.25 * 64 / 63))
    assert changed(network, before) == {f"0.running_{name}" for name in ("mean", "var")}
    assert network[0].momentum == 0.1 and not network.training
    monkeypatch.setattr(supernet_weights, "_BATCH", 1)
    recalibrate(network, colours, device=CPU, within=[network[0]])
    torch.testing.assert_close(network[0].running_mean, torch.full((3,), 2.5))
    torch.testing.assert_close(network[0].running_var, torch.zeros(3))


def test_blocks_with_weights_of_five_dimensions_are_recalibrated_too(data: Dataset) -> None:
    """Which no layout for images holds."""
    placed = uniform("mobilenetv2_035", "lambda", kernel_size=3, resolution=32, total_stride=16,
                     exclude=["blocks.[0-5].*"])  # fmt: skip
    network = build(placed, num_classes=4, start="identity", seed=1)
    before = snapshot(network)
    recalibrate(network, data, device=CPU)
    moved = {name for name in changed(network, before) if "attention" in name}
    assert any(before[name].dim() == 5 for name in before)
    assert moved and all("running" in name or "batches" in name for name in moved)


def test_scores_are_of_inherited_weights_with_statistics_of_their_own(
    data: Dataset, weights: dict[str, torch.Tensor]
) -> None:
    supernet = small(weights)
    train_supernet(supernet, data, TASK, RECIPE, seed=0, device=CPU)
    before = snapshot(supernet)
    plain = build(PLAIN, num_classes=4, weights=weights)
    losses = evaluate(plain, data, TASK, device=CPU).losses
    assert torch.equal(score(supernet, PLAIN, data, TASK, device=CPU).losses, losses)
    found = score(supernet, COORD, data, TASK, device=CPU)
    assert torch.equal(score(supernet, COORD, data, TASK, device=CPU).losses, found.losses)
    heir = inherit(supernet, COORD)
    assert not torch.equal(evaluate(heir, data, TASK, device=CPU).losses, found.losses)
    recalibrate(heir, data, device=CPU, within=inserted_modules(heir, COORD))
    assert torch.equal(evaluate(heir, data, TASK, device=CPU).losses, found.losses)
    assert not changed(supernet, before)


def test_drawn_paths_are_spread_over_choices_and_numbers_of_blocks(
    weights: dict[str, torch.Tensor],
) -> None:
    supernet = small(weights)
    drawn = [supernet.draw(random.Random(seed))[0] for seed in range(400)]
    labels = Counter(item.label for path in drawn for item in path.blocks)
    assert set(labels) == {"se/r8", "se/r16", "coord/r8", "eca"}
    assert max(labels.values()) < 1.5 * min(labels.values())
    full = Counter(len(path.blocks) // 5 for path in drawn)  # of 14 sites in 5 stages
    assert min(full[third] for third in range(3)) > 80


def test_a_sandwich_shares_the_batch_out(weights: dict[str, torch.Tensor]) -> None:
    supernet = small(weights, frozen=False).eval()
    paths = supernet.draw(random.Random(0), Paths(sandwich=2))
    plain, dense, *drawn = paths
    assert plain == PLAIN and len(drawn) == 2
    assert len(dense.blocks) == 14 and len({item.block for item in dense.blocks}) == 1
    supernet.choose(*paths)
    together = supernet(images(8))
    for architecture, share, found in zip(
        paths, images(8).chunk(4), together.chunk(4), strict=True
    ):
        supernet.choose(architecture)
        assert torch.equal(supernet(share), found)
    supernet.choose(*paths)
    assert len(supernet(images(3))) == 3  # one path has none of them
    assert PLAIN not in small(weights).draw(random.Random(0), Paths(sandwich=2))
    always = [supernet.draw(random.Random(seed), Paths(plain=0.9)) for seed in range(20)]
    assert always.count((PLAIN,)) > 10


def test_a_frozen_supernet_draws_what_it_can_train(weights: dict[str, torch.Tensor]) -> None:
    """Every block has a parameter to start as an identity with, be it SimAM."""
    candidates = candidates_of(blocks={"simam": {}, "eca": {}, "triplet": {}}, max_insertions=2)
    supernet = Supernet(candidates, PLAIN, task=Task(outputs=4), weights=weights)
    blocks = [block for block in supernet.blocks() if not isinstance(block, nn.Identity)]
    assert all(list(block.parameters()) for block in blocks)
    for seed in range(20):
        for paths in (Paths(), Paths(sandwich=1)):
            for architecture in supernet.draw(random.Random(seed), paths):
                assert 1 <= len(architecture.blocks) <= 2


def test_each_resolution_has_a_supernet_of_its_own() -> None:
    candidates = candidates_of(resolutions=[32, 48])
    (small, _), (large, _) = candidates.plains()
    supernet = Supernet(candidates, large, task=Task(outputs=4))
    assert {supernet.draw(random.Random(seed))[0].plain for seed in range(8)} == {large}
    with pytest.raises(SpecError, match="at 32 is no path of a supernet of mobilenetv2_035 at 48"):
        supernet.choose(small)
    assert not supernet.holds(small)


def test_ratios_that_build_one_network_are_one_path(weights: dict[str, torch.Tensor]) -> None:
    """At 96 channels and below, hidden widths are 8 from r/16 on."""
    supernet = small(weights)
    site = "blocks.2.0/after_depthwise"

    def path(label: str, at: str = site) -> Architecture:
        return Architecture("mobilenetv2_035", 32, (Insertion.of(at, label),), 16)

    one, two = (supernet.weights_of(path(label)) for label in ("se/r16", "se/r32"))
    assert one.keys() == two.keys() > weights.keys()
    with pytest.raises(SpecError, match=r"no 'se/r2' at blocks.2.0/after_depthwise; it has: none"):
        supernet.choose(path("se/r2"))
    with pytest.raises(SpecError, match=r"no site 'blocks.0.0/after_depthwise'"):
        supernet.choose(path("eca", "blocks.0.0/after_depthwise"))


@pytest.fixture(scope="module")
def told_by_brightness() -> Dataset:
    """Classes that a backbone soon tells apart."""

    def split(count: int, seed: int) -> Split:
        generator = torch.Generator().manual_seed(seed)
        labels = torch.arange(count) % 4
        noise = torch.randint(0, 60, (count, 32, 32, 3), generator=generator)
        return Split((noise + 60 * labels[:, None, None, None]).to(torch.uint8), labels)

    return Dataset(
        split(64, 0), split(32, 1), tuple("abcd"), (127.0,) * 3, (74.0,) * 3, True, "brightness"
    )


@pytest.fixture(scope="module")
def trained(told_by_brightness: Dataset) -> dict[str, torch.Tensor]:
    network = build(PLAIN, num_classes=4, seed=1)
    training = Training(
        network, told_by_brightness, TASK, Recipe(length=30, batch_size=16, learning_rate=0.05),
        parameters=network.parameters(), seed=0, device=CPU,
    )  # fmt: skip
    training.run()
    recalibrate(network, told_by_brightness, device=CPU)
    assert evaluate(network, told_by_brightness, TASK, device=CPU).loss < math.log(4)
    return network.state_dict()


@pytest.mark.parametrize(("frozen", "rate"), [(True, 10.0), (False, 100.0)])
def test_a_supernet_worse_than_guessing_has_diverged(
    told_by_brightness: Dataset, trained: dict[str, torch.Tensor],
    frozen: bool, rate: float, tmp_path: Path,
) -> None:  # fmt: skip
    """Finite throughout; and it stays refused, however often it is read again."""
    recipe = replace(RECIPE, length=12, learning_rate=rate)
    keep = tmp_path / "supernet.safetensors"
    for _ in range(2):
        with pytest.raises(
            TrainingError, match=r"diverged: .* where guessing has 1\.39; a smaller"
        ):
            train_supernet(
                small(trained, frozen=frozen), told_by_brightness, TASK, recipe,
                seed=0, device=CPU, keep=keep,
            )  # fmt: skip
    assert all(tensor.isfinite().all() for tensor in load_weights(keep).values())


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("start", ["trained", "random"])
def test_a_supernet_that_learnt_little_has_not(
    told_by_brightness: Dataset, trained: dict[str, torch.Tensor],
    weights: dict[str, torch.Tensor], frozen: bool, start: str,
) -> None:  # fmt: skip
    """One that begins with a backbone worse than guessing may stay so."""
    given = trained if start == "trained" else weights
    recipe = replace(RECIPE, learning_rate=0.001)
    train_supernet(
        small(given, frozen=frozen), told_by_brightness, TASK, recipe, seed=0, device=CPU
    )


def test_a_frozen_backbone_learns_nothing_on_its_plain_path(
    data: Dataset, weights: dict[str, torch.Tensor]
) -> None:
    with pytest.raises(SpecError, match="learns nothing on them"):
        train_supernet(
            small(weights), data, TASK, RECIPE, seed=0, device=CPU, paths=Paths(plain=0.5)
        )


def test_a_site_inside_another_is_refused() -> None:
    rule = {"position": "after_depthwise", "modules": ["blocks.0.0.se.conv_reduce"]}
    candidates = candidates_of("mobilenetv3_small_050", sites=rule)
    with pytest.raises(SpecError, match="lies inside blocks.0.0/after_depthwise"):
        Supernet(candidates, candidates.plains()[0][0], task=Task(outputs=4))


@pytest.mark.parametrize(
    "values", [{"plain": 1.0}, {"sandwich": -1}, {"plain": 0.1, "sandwich": 1}]
)
def test_wrong_paths_are_said(values: dict[str, float]) -> None:
    with pytest.raises(SpecError):
        Paths(**values)  # type: ignore[arg-type]


def test_the_command_trains_scores_and_goes_on(
    small_space: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nas.runs.supernets.usable_cores", lambda: 1)
    out = tmp_path / "supernet"
    quick = ["proxy.backbone.epochs=0.1"]
    command(small_space, out=out, epochs=0.2, set_=quick)
    assert "trained" in capsys.readouterr().out
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    assert {path.name for path in kept} == {"backbone.safetensors", "supernet.safetensors"}
    command(small_space, out=out, epochs=0.2, set_=quick, score=1, json_=True)
    rows = json.loads(capsys.readouterr().out)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert [row["loss"] for row in rows] == sorted(row["loss"] for row in rows)
    assert {row["reference"] for row in rows} == {"plain", "se/r24", "eca", None}
    folder = SupernetFolder.open(out)
    (plain, _) = folder.candidates.plains()[0]
    assert folder.supernet(plain).holds(plain)
    with pytest.raises(SpecError, match=r"proxy.rungs \[0.2\], and \[0.3\] is asked for"):
        command(small_space, out=out, epochs=0.3, set_=quick)
    with pytest.raises(SpecError, match="holds no supernet"):
        command(small_space, out=tmp_path)
    with pytest.raises(SpecError, match="learns nothing on them"):
        command(small_space, out=tmp_path / "new", plain=0.5)
    assert not (tmp_path / "new").exists()
    with pytest.raises(SpecError, match="train one with"):
        SupernetFolder.open(tmp_path)


def test_the_command_stops_as_asked(
    small_space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nas.runs.supernets.prepare_backbone", interrupted)
    with pytest.raises(typer.Exit) as stop:
        command(small_space, out=tmp_path / "supernet")
    assert stop.value.exit_code == 130
    assert "goes on" in capsys.readouterr().err


def test_a_supernet_of_blocks_that_share_weights_is_refused() -> None:
    shared = candidates_of(share="stage")
    with pytest.raises(SpecError, match="share: stage, and a supernet gives each site blocks of"):
        Supernet(shared, shared.plains()[0][0], task=TASK)
