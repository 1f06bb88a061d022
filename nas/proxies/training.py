"""The training loop: batches cut from uint8 images in memory, one straight story."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nas.data import Dataset, Split
from nas.errors import TrainingError
from nas.task import Classification, Score

__all__ = ["Recipe", "Trainer", "evaluate", "train"]

_SHIFT = 8  # a random crop moves an image by at most 1/8 of its side, as 4 of 32 pixels


@dataclass(frozen=True, slots=True)
class Recipe:
    """One cycle: the learning rate rises linearly, then falls as a cosine to zero at the last
    step. optimiser: `sgd` (with Nesterov's momentum) or `adamw`.
    """

    steps: int
    batch_size: int
    learning_rate: float
    optimiser: str = "sgd"
    weight_decay: float = 4e-5
    momentum: float = 0.9
    warm_up: float = 0.2


class Trainer:
    """Turns rows of a split into normalised, augmented batches.

    One gather reads crop and mirror at once from the uint8 images; borders are reflected.
    The result is NCHW in channels_last memory, float32.
    """

    def __init__(self, data: Dataset, device: torch.device) -> None:
        std = torch.tensor(data.std, device=device)
        self.scale = 1.0 / std
        self.offset = -torch.tensor(data.mean, device=device) / std
        self.mirror = data.mirror
        self.device = device

    def augmented(self, split: Split, rows: Tensor, generator: torch.Generator) -> Tensor:
        """rows: (B,) -> (B, 3, H, W), each image shifted and perhaps mirrored at random."""
        count, side = len(rows), split.images.shape[1]
        reach = max(1, side // _SHIFT)
        down, right = torch.randint(-reach, reach + 1, (2, count, 1), generator=generator)
        line = torch.arange(side)
        columns = line.expand(count, side)
        if self.mirror:
            mirrored = torch.rand(count, 1, generator=generator) < 0.5
            columns = torch.where(mirrored, line.flip(0), columns)
        pixels = split.images[
            rows[:, None, None],
            _reflect(line + down, side)[:, :, None],
            _reflect(columns + right, side)[:, None, :],
        ]
        return self._normalised(pixels)

    def plain(self, split: Split, rows: slice) -> Tensor:
        return self._normalised(split.images[rows])

    def _normalised(self, pixels: Tensor) -> Tensor:
        floats = pixels.to(self.device, torch.float32).mul_(self.scale).add_(self.offset)
        return floats.permute(0, 3, 1, 2)


def _reflect(index: Tensor, side: int) -> Tensor:
    index = index.abs()
    return torch.where(index >= side, 2 * (side - 1) - index, index)


def train(
    network: nn.Module,
    data: Dataset,
    task: Classification,
    recipe: Recipe,
    *,
    parameters: Iterable[nn.Parameter],
    seed: int,
    device: torch.device,
    set_mode: Callable[[nn.Module], object] = nn.Module.train,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Train `parameters` of a network in place on data.train.

    seed: of the order of images and their augmentation: equal seeds give equal batches to
    every network, which pairs comparisons. set_mode: which modules train and which stay as
    they are. progress: called with (step, steps). Raises TrainingError when the loss is not
    finite.
    """
    trained = list(parameters)
    if not trained or recipe.steps < 1:
        return
    set_mode(network)
    network.to(device).to(memory_format=torch.channels_last)
    optimiser = _optimiser(trained, recipe)
    trainer = Trainer(data, device)
    generator = torch.Generator().manual_seed(seed)
    order = _epochs(len(data.train), recipe.batch_size, generator)
    for step in range(recipe.steps):
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * _cycle(step / recipe.steps, recipe.warm_up)
        rows = next(order)
        scores = network(trainer.augmented(data.train, rows, generator))
        loss = task.loss(scores, data.train.labels[rows].to(device))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        # Reading the loss stalls a GPU, so not at every step there.
        if (device.type == "cpu" or step % 20 == 0) and not loss.isfinite():
            raise TrainingError(f"training diverged: the loss is {loss.item()} at step {step}")
        if progress is not None:
            progress(step + 1, recipe.steps)
    network.eval()


def _optimiser(parameters: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(
            parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
    assert recipe.optimiser == "sgd", recipe.optimiser
    return torch.optim.SGD(
        parameters,
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=True,
    )


def _cycle(done: float, warm_up: float) -> float:
    """Share of the top learning rate: linear up to it, then a cosine down to zero."""
    if done < warm_up:
        return 0.1 + 0.9 * done / warm_up
    return 0.5 * (1 + math.cos(math.pi * (done - warm_up) / (1 - warm_up)))


def _epochs(count: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Rows of full batches, epoch after epoch, without end."""
    size = min(batch_size, count)
    while True:
        order = torch.randperm(count, generator=generator)
        for start in range(0, count - size + 1, size):
            yield order[start : start + size]


def evaluate(
    network: nn.Module,
    data: Dataset,
    task: Classification,
    *,
    device: torch.device,
    batch_size: int = 64,
) -> Score:
    """Judge a network on all of data.validation. Raises TrainingError when scores are not
    finite.
    """
    network.eval().to(device).to(memory_format=torch.channels_last)
    trainer = Trainer(data, device)
    split = data.validation
    with torch.inference_mode():
        scores = torch.cat(
            [
                network(trainer.plain(split, slice(start, start + batch_size))).cpu()
                for start in range(0, len(split), batch_size)
            ]
        )
        if not torch.isfinite(scores).all():
            raise TrainingError("training diverged: some scores on validation are not finite")
        return task.score(scores, split.labels)
