from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support import task_networks, tiny_network
from torch import nn

from nas.base.errors import SpecError, TrainingError
from nas.data import Dataset
from nas.models.build import build
from nas.spec.architecture import Architecture
from nas.spec.precision import PRECISIONS, Precision
from nas.spec.proxy import Proxy
from nas.spec.task import Task
from nas.training import precision as module
from nas.training.checkpoint import load_weights, save_weights
from nas.training.loop import Training, evaluate
from nas.training.precision import (
    backend_flags,
    check_precision,
    settle_precision,
    usual_precision,
)
from nas.training.recipe import Recipe

CPU, GPU, MPS = (torch.device(name) for name in ("cpu", "cuda", "mps"))
SIDE = 32
TINY = Task(outputs=len(tiny_network.CLASSES))
SEGMENTATION = Task("segmentation", len(task_networks.CLASSES), "lraspp")
TASKS = [
    (Task(outputs=3), tiny_network.data),
    (SEGMENTATION, lambda: task_networks.scenes(SIDE)),
    (Task("retrieval", 16, "embedding"), lambda: task_networks.people(SIDE)),
    (Task("detection", 2, "ssdlite"), lambda: task_networks.things(SIDE)),
    (Task("detection", 2, "fcos"), lambda: task_networks.things(SIDE)),
]


def begin(network: nn.Module, data: Dataset, task: Task, precision: Precision) -> Training:
    return Training(
        network,
        data,
        task,
        Recipe(4, batch_size=8, learning_rate=0.01, ema=0.9),
        parameters=network.parameters(),
        seed=3,
        device=CPU,
        precision=precision,
    )


@pytest.mark.parametrize("task, data", TASKS, ids=lambda item: getattr(item, "head", ""))
def test_every_task_is_trained_and_judged_in_bf16(task: Task, data: object) -> None:
    """Products are of bf16, also of the mean that is judged; weights and losses are not."""
    images: Dataset = data()  # type: ignore[operator]
    network = build(Architecture("mobilenetv2_035", images.resolution), task=task, seed=0)
    training = begin(network, images, task, "bf16")
    kinds: list[torch.dtype] = []
    for seen in (network, training.trained):
        first = next(layer for layer in seen.modules() if isinstance(layer, nn.Conv2d))
        first.register_forward_hook(lambda layer, given, output: kinds.append(output.dtype))
    training.run()
    assert kinds == 4 * [torch.bfloat16]
    score = evaluate(training.trained, images, task, device=CPU, precision="bf16")
    assert set(kinds) == {torch.bfloat16} and len(kinds) > 4
    assert score.losses.dtype == torch.float64 and score.losses.isfinite().all()
    assert all(weight.dtype == torch.float32 for weight in network.parameters())
    assert training.recent_loss > 0 and all(map(torch.isfinite, training.state()["losses"]))


def test_halves_are_judged_about_as_all_bits_are() -> None:
    images = tiny_network.data()
    losses = []
    for precision in ("fp32", "bf16"):
        torch.manual_seed(0)
        network = tiny_network.Tiny("coord")
        begin(network, images, TINY, precision).run()
        losses.append(evaluate(network, images, TINY, device=CPU, precision=precision).loss)
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_stopping_and_going_on_changes_not_one_bit(precision: Precision, tmp_path: Path) -> None:
    """The scale of fp16 is kept, too, through a file."""

    def begun() -> Training:
        torch.manual_seed(0)
        return begin(tiny_network.Tiny("se"), tiny_network.data(), TINY, precision)

    whole, first, second = begun(), begun(), begun()
    whole.run()
    first.run(2)
    assert ("scaler" in first.state()) == (precision == "fp16")
    save_weights(tmp_path / "state", first.state())
    second.load(load_weights(tmp_path / "state"))
    second.run()
    for name, value in whole.state().items():
        assert torch.equal(second.state()[name], value), name


def test_a_step_that_overflows_in_fp16_is_left_out_and_the_scale_falls() -> None:
    training = begin(tiny_network.Tiny(), tiny_network.data(), TINY, "fp16")
    before = {name: weight.clone() for name, weight in training.network.named_parameters()}
    with torch.no_grad():
        scale = training.state()["scaler"][0]
        training._scaler._init_scale = float(scale) * 2.0**40  # beyond what fp16 can hold
        training._scaler.load_state_dict(
            training._scaler.state_dict() | {"scale": float(scale) * 2.0**40}
        )
    training.run(1)
    assert training.state()["scaler"][0] == scale * 2.0**39
    for name, weight in training.network.named_parameters():
        assert torch.equal(weight, before[name]), name


def test_what_is_not_finite_has_diverged_in_bf16_too() -> None:
    network = tiny_network.Tiny()
    with torch.no_grad():
        network.head.weight.fill_(float("inf"))
    with pytest.raises(TrainingError, match="at step 0"):
        begin(network, tiny_network.data(), TINY, "bf16").run()
    with pytest.raises(TrainingError, match="scores on validation are not finite"):
        evaluate(network, tiny_network.data(), TINY, device=CPU, precision="bf16")


def pretend(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "Some GPU")


@pytest.mark.parametrize(
    "capability, usual, allowed",
    [((7, 5), "fp16", {"fp32", "fp16"}), ((8, 0), "bf16", set(PRECISIONS))],
)
def test_a_gpu_has_what_its_hardware_has(
    capability: tuple[int, int], usual: str, allowed: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, capability)
    assert usual_precision(GPU) == usual
    for precision in PRECISIONS:
        if precision in allowed:
            check_precision(precision, GPU)
        else:
            with pytest.raises(SpecError, match="8.0, and Some GPU has less; use fp16 or fp32"):
                check_precision(precision, GPU)


def test_elsewhere_all_bits_are_usual() -> None:
    assert usual_precision(CPU) == usual_precision(MPS) == "fp32"
    for precision in ("fp32", "bf16"):
        check_precision(precision, CPU)
    for precision in ("tf32", "fp16"):
        with pytest.raises(SpecError, match=f"{precision} needs a GPU, and trainings run on the C"):
            check_precision(precision, CPU)
    with pytest.raises(SpecError, match="tf32 is of CUDA, and trainings run on mps here"):
        check_precision("tf32", MPS)


def test_a_search_writes_down_its_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Proxy().computed_in == "fp32"  # as in runs of earlier versions
    assert settle_precision(Proxy(), CPU).precision == "fp32"
    assert settle_precision(Proxy(precision="bf16"), CPU).precision == "bf16"
    monkeypatch.setattr(module, "usual_precision", lambda device: "bf16")
    assert settle_precision(Proxy(), GPU).precision == "bf16"
    with pytest.raises(SpecError, match="precision fp16 needs a GPU"):
        settle_precision(Proxy(precision="fp16"), CPU)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_products_are_rounded_where_a_precision_says_so_and_as_before_after(
    precision: Precision,
) -> None:
    def flags() -> tuple[object, ...]:
        cudnn = torch.backends.cudnn
        return torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.benchmark

    before = flags()
    with backend_flags(precision, GPU):
        rounded = precision == "tf32"
        assert flags() == ("high" if rounded else "highest", rounded, True)
    assert flags() == before
    with backend_flags(precision, CPU):
        assert flags() == before
