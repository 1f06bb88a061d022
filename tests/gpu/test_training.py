"""What only a GPU can tell of trainings: make test-gpu. None of it has been run on one yet."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support import task_networks, tiny_network

from nas.blocks import BLOCKS, make_block
from nas.data import Dataset
from nas.execution.device_share import DeviceShare
from nas.models.build import build
from nas.spec.architecture import Architecture
from nas.spec.precision import Precision
from nas.spec.task import Task
from nas.training.batches import Batches
from nas.training.loop import Training, evaluate
from nas.training.placement import placed
from nas.training.precision import usual_precision
from nas.training.recipe import Recipe

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU"),
]

CPU, GPU, SIDE = torch.device("cpu"), torch.device("cuda"), 32
TINY = Task(outputs=len(tiny_network.CLASSES))
TASKS = [
    (TINY, tiny_network.data),
    (
        Task("segmentation", len(task_networks.CLASSES), "lraspp"),
        lambda: task_networks.scenes(SIDE),
    ),
    (Task("retrieval", 16, "embedding"), lambda: task_networks.people(SIDE)),
    (Task("detection", 2, "ssdlite"), lambda: task_networks.things(SIDE)),
    (Task("detection", 2, "fcos"), lambda: task_networks.things(SIDE)),
]


def begin(
    data: Dataset, precision: Precision = "fp32", steps: int = 30, **options: object
) -> Training:
    torch.manual_seed(0)
    network = tiny_network.Tiny("coord")
    return Training(
        network,
        data,
        TINY,
        Recipe(steps, batch_size=16, learning_rate=0.05, ema=0.9),
        parameters=network.parameters(),
        seed=3,
        device=GPU,
        precision=precision,
        **options,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_a_training_learns_about_what_it_learns_on_a_cpu(precision: Precision) -> None:
    if precision in ("tf32", "bf16") and usual_precision(GPU) != "bf16":
        pytest.skip(f"this GPU has no {precision}")
    data = tiny_network.data()
    training = begin(placed(data, GPU), precision)
    training.run()
    found = evaluate(training.trained, data, TINY, device=GPU, precision=precision)
    torch.manual_seed(0)
    network = tiny_network.Tiny("coord")
    on_cpu = Training(
        network,
        data,
        TINY,
        Recipe(30, batch_size=16, learning_rate=0.05, ema=0.9),
        parameters=network.parameters(),
        seed=3,
        device=CPU,
    )
    on_cpu.run()
    assert found.loss == pytest.approx(
        evaluate(on_cpu.trained, data, TINY, device=CPU).loss, rel=0.1
    )


@pytest.mark.parametrize("task, data", TASKS, ids=lambda item: getattr(item, "head", ""))
def test_every_task_is_trained_and_judged(task: Task, data: object) -> None:
    images: Dataset = data()  # type: ignore[operator]
    precision = usual_precision(GPU)
    network = build(Architecture("mobilenetv2_035", images.resolution), task=task, seed=0)
    training = Training(
        network,
        placed(images, GPU),
        task,
        Recipe(4, batch_size=8, learning_rate=0.01),
        parameters=network.parameters(),
        seed=3,
        device=GPU,
        precision=precision,
    )
    training.run()
    score = evaluate(network, images, task, device=GPU, precision=precision)
    assert score.losses.isfinite().all() and score.losses.device == CPU


@pytest.mark.parametrize("resident", [True, False])
def test_batches_are_those_of_a_cpu(resident: bool) -> None:
    data = replace(tiny_network.data(), mirror=True)
    there = placed(data, GPU) if resident else data
    assert (there.train.images.device.type == "cuda") == resident
    rows = torch.arange(40)
    batches = [
        Batches(data, device).augmented(images.train, rows, torch.Generator().manual_seed(1))
        for images, device in ((data, CPU), (there, GPU))
    ]
    torch.testing.assert_close(batches[0], batches[1].cpu())
    assert batches[1].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("resident", [True, False])
def test_a_step_waits_for_nothing(resident: bool) -> None:
    """Torch raises at whatever would wait; the loss is looked at every 20 steps alone."""
    data = tiny_network.data()
    training = begin(placed(data, GPU) if resident else data, usual_precision(GPU), 60)
    training.run(21)
    torch.cuda.set_sync_debug_mode("error")
    try:
        training.run(39)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_training_goes_on_from_its_state(precision: Precision) -> None:
    data = placed(tiny_network.data(), GPU)
    whole, first, second = (begin(data, precision) for _ in range(3))
    whole.run()
    first.run(11)
    second.load({name: value.cpu() for name, value in first.state().items()})
    second.run()
    assert second.step == whole.step
    torch.testing.assert_close(
        second.network.head.weight, whole.network.head.weight, rtol=0.05, atol=0.01
    )


def test_memory_that_runs_out_comes_in_halves_and_is_given_back() -> None:
    data = tiny_network.data()
    training, tries = begin(data), []

    def limited(_layer: object, images: tuple[torch.Tensor]) -> None:
        tries.append(len(images[0]))
        if len(images[0]) > 8:
            torch.empty(2**50, dtype=torch.uint8, device=GPU)

    training.network.register_forward_pre_hook(limited)
    training.run(2)
    assert tries == [16, 8, 8, 8, 8] and training.parts == 2
    with pytest.raises(torch.OutOfMemoryError):
        refused = begin(data, halves=False)
        refused.network.register_forward_pre_hook(limited)
        refused.run(1)
    assert DeviceShare.of(GPU) is not None


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_trains_in_what_is_usual(name: str) -> None:
    torch.manual_seed(0)
    block = make_block(name, channels=32, height=8, width=8).to(GPU).train()
    images = torch.randn(2, 32, 8, 8, device=GPU).to(memory_format=torch.channels_last)
    images.requires_grad_()  # some blocks have no weights
    with torch.autocast("cuda", dtype=torch.bfloat16):
        found = block(images)
    found.float().square().mean().backward()
    assert found.isfinite().all()
    for weight in block.parameters():
        assert weight.grad is None or weight.grad.isfinite().all()


@pytest.mark.parametrize("launch", ["graphs", "compile"])
def test_steps_that_are_launched_otherwise_come_to_about_the_same(launch: str) -> None:
    data, losses = placed(tiny_network.data(), GPU), []
    for way in ("eager", launch):
        training = begin(data, usual_precision(GPU), launch=way)
        training.run()
        losses.append(evaluate(training.trained, data, TINY, device=GPU).loss)
    assert losses[0] == pytest.approx(losses[1], rel=0.1)
