"""How fast the training loop is: images per second against a bare PyTorch loop.

The contestants train the same network with the same optimiser, on one thread, channels_last:

- bare: batches that lie ready as normalised floats, nothing augmented. The upper limit.
- ours: `nas.training.loop.train`, which cuts, mirrors and normalises from uint8 images.
- loader, 0 or 1 workers: torch's DataLoader over the same uint8 images, with torchvision's
  transforms (crop with a padding, flip, to float, normalise), image by image.

They take turns in rounds, in random order. Each round compares a contestant with the bare loop
of the same round, so what a busy machine does to all of them cancels out; shown are medians.
CPU time counts worker processes too: it is what training costs; wall time says what one waits,
and means something on an idle machine only. Images are random unless --data names a folder.

Run: python -m benchmarks.training.throughput
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler
from torch.utils.data import Dataset as Images
from torchvision.transforms import v2

from benchmarks.shared.report import print_machine, print_table
from nas.data import Dataset, Split, load_data
from nas.models.build import build
from nas.spec.architecture import Architecture
from nas.spec.task import Task
from nas.training.batches import Batches
from nas.training.loop import Training
from nas.training.recipe import Recipe

BACKBONE, RESOLUTION, TOTAL_STRIDE = "mobilenetv2_035", 32, 16
CPU = torch.device("cpu")
BARE, OURS = "bare", "ours"

Contestant = Callable[[Recipe], None]


@dataclass(frozen=True, slots=True)
class Rate:
    """Images per second of CPU time, and by the clock on the wall."""

    cpu: float
    wall: float


class Augmented(Images[tuple[Tensor, int]]):
    """The training images one by one, as a DataLoader is usually fed."""

    def __init__(self, data: Dataset) -> None:
        self.split = data.train
        self.transform = v2.Compose(
            [
                v2.RandomCrop(data.size.height, padding=data.size.height // 8),
                v2.RandomHorizontalFlip(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([mean / 255 for mean in data.mean], [std / 255 for std in data.std]),
            ]
        )

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return self.transform(self.split.images[row].permute(2, 0, 1)), int(self.split.labels[row])


def random_data(count: int) -> Dataset:
    """Noise with labels: training on it takes as long as on photographs."""
    generator = torch.Generator().manual_seed(0)
    shape = (count, RESOLUTION, RESOLUTION, 3)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    split = Split(images, torch.randint(0, 10, (count,), generator=generator))
    classes = tuple("0123456789")
    middle, spread = (127.5, 127.5, 127.5), (73.9, 73.9, 73.9)
    return Dataset(split, split, classes, middle, spread, mirror=True, source="random images")


def network_for(data: Dataset) -> nn.Module:
    plain = Architecture(BACKBONE, RESOLUTION, total_stride=TOTAL_STRIDE)
    network = build(plain, num_classes=len(data.classes))
    return network.to(memory_format=torch.channels_last)


# The contestants: each makes its network once, and trains it on for every recipe it is given.


def ours(data: Dataset) -> Contestant:
    network, task = network_for(data), Task(outputs=len(data.classes))

    def run(recipe: Recipe) -> None:
        parameters = network.parameters()
        Training(network, data, task, recipe, parameters=parameters, seed=0, device=CPU).run()

    return run


def bare(data: Dataset, batch_size: int) -> Contestant:
    network, trainer = network_for(data), Batches(data, CPU)
    starts = range(0, len(data.train) - batch_size + 1, batch_size)[:8]
    slices = [slice(start, start + batch_size) for start in starts]
    ready = [(trainer.plain(data.train, rows), data.train.labels[rows]) for rows in slices]

    def run(recipe: Recipe) -> None:
        fit(network, recipe, (ready[step % len(ready)] for step in range(int(recipe.length))))

    return run


def loader(data: Dataset, workers: int) -> Contestant:
    network, images = network_for(data), Augmented(data)

    def run(recipe: Recipe) -> None:
        sampler = RandomSampler(images, num_samples=int(recipe.length) * recipe.batch_size)
        batches = DataLoader(images, recipe.batch_size, sampler=sampler, num_workers=workers)
        fit(network, recipe, iter(batches))

    return run


def fit(network: nn.Module, recipe: Recipe, batches: Iterator[tuple[Tensor, Tensor]]) -> None:
    """The plainest loop there is."""
    network.train()
    optimiser = torch.optim.SGD(
        network.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=True,
    )
    for images, labels in batches:
        scores = network(images.contiguous(memory_format=torch.channels_last))
        loss = nn.functional.cross_entropy(scores, labels)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


# Measuring.


def rate(contestant: Contestant, recipe: Recipe) -> Rate:
    cpu, wall = cpu_seconds(), time.perf_counter()
    contestant(recipe)
    images = int(recipe.length) * recipe.batch_size
    return Rate(images / (cpu_seconds() - cpu), images / (time.perf_counter() - wall))


def cpu_seconds() -> float:
    """Of this process and of those children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def take_turns(
    contestants: dict[str, Contestant], recipe: Recipe, rounds: int
) -> dict[str, list[Rate]]:
    rng = random.Random(0)
    found: dict[str, list[Rate]] = {name: [] for name in contestants}
    for contestant in contestants.values():
        contestant(Recipe(3, recipe.batch_size, recipe.learning_rate))  # warms up
    for _ in range(rounds):
        for name in rng.sample(list(contestants), len(contestants)):
            found[name].append(rate(contestants[name], recipe))
    return found


def rows_of(found: dict[str, list[Rate]], batch_size: int) -> list[list[str]]:
    rows = []
    for name, rates in found.items():
        pairs = list(zip(rates, found[BARE], strict=True))
        shares = [one.cpu / beside.cpu for one, beside in pairs]
        rows.append(
            [
                name,
                str(batch_size),
                f"{median(one.cpu for one in rates):.0f}",
                f"{median(shares):.1%}",
                f"{min(shares):.1%} to {max(shares):.1%}",
                f"{median(one.wall for one in rates):.0f}",
                f"{median(one.wall / beside.wall for one, beside in pairs):.1%}",
            ]
        )
    return rows


# Where our loop spends what the bare one does not.


def parts(data: Dataset, batch_size: int) -> list[list[str]]:
    trainer, generator = Batches(data, CPU), torch.Generator().manual_seed(0)
    rows = torch.randperm(len(data.train), generator=generator)[:batch_size]
    loss = torch.tensor(1.0)
    timed: dict[str, Callable[[], object]] = {
        "augmented batch": lambda: trainer.augmented(data.train, rows, generator),
        "  of it: normalisation": lambda: trainer.plain(data.train, slice(0, batch_size)),
        "labels": lambda: data.train.labels[rows],
        "is the loss finite": lambda: loss.isfinite().item(),
    }
    return [[name, str(batch_size), f"{milliseconds(part):.3f}"] for name, part in timed.items()]


def milliseconds(part: Callable[[], object], repeats: int = 50) -> float:
    """Thread CPU time, median."""
    part()
    times = []
    for _ in range(repeats):
        start = time.thread_time_ns()
        part()
        times.append((time.thread_time_ns() - start) / 1e6)
    return median(times)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="folder:PATH, cifar10 or digits; default: random images")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[128, 64])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40, help="of a contestant in a round")
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = (
        load_data(given.data, RESOLUTION, validation=0.2, seed=0)
        if given.data
        else random_data(10_000)
    )
    print_machine("torch", "torchvision")
    print(
        f"{BACKBONE} at {RESOLUTION} px, total stride {TOTAL_STRIDE}; {data.source}; "
        f"{given.rounds} rounds of {given.steps} steps, one thread\n"
    )
    rows = []
    for size in given.batch_sizes:
        contestants = {
            BARE: bare(data, size),
            OURS: ours(data),
            "loader, 0 workers": loader(data, 0),
            "loader, 1 worker": loader(data, 1),
        }
        recipe = Recipe(given.steps, size, learning_rate=0.01)
        rows += rows_of(take_turns(contestants, recipe, given.rounds), size)
    headings = ("loop", "batch", "images/CPU s", "of bare", "range", "images/s wall", "of bare")
    print_table(headings, rows)
    print()
    table = [row for size in given.batch_sizes for row in parts(data, size)]
    print_table(("part of our step", "batch", "CPU ms"), table)


if __name__ == "__main__":
    main()
