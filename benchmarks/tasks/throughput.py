"""How fast trainings of other tasks than classification are, against the libraries' bare loops.

Segmentation: a network of segmentation-models-pytorch; retrieval: one of timm under a loss of
pytorch-metric-learning; detection: SSDLite of ours, within torchvision's SSD and with its loss
outside of our loop. The contestants train the same network with the same optimiser, on one
thread, channels_last:

- bare: batches that lie ready as normalised floats, nothing augmented. The upper limit.
- ours: `nas.training.loop.Training`, which cuts, mirrors and normalises from uint8 images.
- loader: torch's DataLoader in the process, as the libraries' own examples train: torchvision's
  transforms image by image (another size and a crop of it for segmentation, whose mask goes
  along; a crop with a padding for retrieval; flip, to float, normalise), and for retrieval batches
  of the library's `MPerClassSampler`. Of detection that is torchvision's reference: crops by the
  overlap with boxes, images of any size in lists, which its detector resizes and normalises.

They take turns in rounds, in random order, and each is compared with the bare loop of the same
round; shown are medians. Images are random.

Run: python -m benchmarks.tasks.throughput
"""

# The libraries have no types.
# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import Any

import segmentation_models_pytorch as smp
import timm
import torch
from pytorch_metric_learning.losses import SupConLoss
from pytorch_metric_learning.samplers import MPerClassSampler
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler, Sampler
from torch.utils.data import Dataset as Images
from torchvision.transforms import v2
from torchvision.tv_tensors import Image, Mask

from benchmarks.shared.report import print_machine, print_table
from benchmarks.tasks import torchvision_ssd as twin
from benchmarks.training.throughput import BARE, OURS, Contestant, rows_of, take_turns
from nas.data import Annotated, Dataset, Split
from nas.models.build import build
from nas.spec.architecture import Architecture
from nas.spec.task import Task
from nas.training.batches import Batches
from nas.training.loop import Training
from nas.training.recipe import Recipe

CPU = torch.device("cpu")
CLASSES, PICTURES, OBJECTS = 21, 4, 5

Loss = Callable[[Tensor, Tensor], Tensor]


class Augmented(Images[tuple[Tensor, Tensor]]):
    """The training images one by one, with the mask or the identity of each."""

    def __init__(self, data: Dataset) -> None:
        self.split, size = data.train, data.size
        masked = data.annotated == "masks"
        fill = {Image: [round(value) for value in data.mean], Mask: 255}
        moved = [
            v2.RandomResize(size.height * 3 // 4, size.height * 4 // 3),
            v2.RandomCrop((size.height, size.width), pad_if_needed=True, fill=fill),
        ]
        cut = [v2.RandomCrop((size.height, size.width), padding=size.height // 8)]
        floats = {Image: torch.float32, Mask: torch.int64, "others": None}
        self.transform = v2.Compose(
            [
                *(moved if masked else cut),
                v2.RandomHorizontalFlip(),
                v2.ToDtype(floats, scale=True),
                v2.Normalize([mean / 255 for mean in data.mean], [std / 255 for std in data.std]),
            ]
        )
        self.masked = masked

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        image = Image(self.split.images[row].permute(2, 0, 1))
        if not self.masked:
            return self.transform(image), self.split.labels[row]
        assert self.split.annotations is not None
        changed: tuple[Tensor, Tensor] = self.transform(image, Mask(self.split.annotations[row]))
        return changed


def fit(network: nn.Module, loss: Loss, recipe: Recipe, batches: Iterator[list[Tensor]]) -> None:
    """The plainest loop there is."""

    def of_batch(images: Tensor, targets: Tensor) -> Tensor:
        return loss(network(images.contiguous(memory_format=torch.channels_last)), targets)

    descend(network, of_batch, recipe, batches)


def descend(
    network: nn.Module,
    loss: Callable[..., Tensor],
    recipe: Recipe,
    batches: Iterator[Sequence[Any]],
) -> None:
    """Go a recipe's steps down a loss of batches."""
    network.train()
    optimiser = torch.optim.SGD(
        network.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=True,
    )
    for _ in range(int(recipe.length)):
        value = loss(*next(batches))
        optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def contestants(
    data: Dataset, task: Task, plain: nn.Module, loss: Loss, batch_size: int
) -> dict[str, Contestant]:
    networks = [copy.deepcopy(plain).to(memory_format=torch.channels_last) for _ in range(3)]
    split = data.train
    starts = range(0, len(split) - batch_size + 1, batch_size)[:8]
    slices = [slice(start, start + batch_size) for start in starts]
    targets = split.labels if task.name == "retrieval" else split.targets.long()
    ready = [[Batches(data, CPU).plain(split, rows), targets[rows]] for rows in slices]

    def again() -> Iterator[list[Tensor]]:
        while True:
            yield from ready

    def ours(recipe: Recipe) -> None:
        parameters = networks[1].parameters()
        Training(networks[1], data, task, recipe, parameters=parameters, seed=0, device=CPU).run()

    def loader(recipe: Recipe) -> None:
        images, count = Augmented(data), int(recipe.length) * batch_size
        sampler: Sampler[int] = RandomSampler(images, num_samples=count)
        if task.name == "retrieval":
            sampler = MPerClassSampler(split.labels, PICTURES, batch_size, count)
        fit(networks[2], loss, recipe, iter(DataLoader(images, batch_size, sampler=sampler)))

    return {
        BARE: lambda recipe: fit(networks[0], loss, recipe, again()),
        OURS: ours,
        "loader": loader,
    }


def segmentation(size: int, batch_size: int) -> dict[str, Contestant]:
    data, network = random_data(size, "masks"), smp.DeepLabV3Plus(
        "timm-mobilenetv3_small_100", encoder_weights=None, classes=CLASSES
    )  # fmt: skip
    loss = nn.CrossEntropyLoss(ignore_index=255)
    return contestants(data, Task.of("segmentation", CLASSES), network, loss, batch_size)


def retrieval(size: int, batch_size: int) -> dict[str, Contestant]:
    task = Task.of("retrieval", CLASSES)
    network = timm.create_model("mobilenetv2_035", num_classes=task.outputs)
    data = random_data(size, "identities")
    return contestants(data, task, network, SupConLoss(temperature=0.1), batch_size)


def detection(size: int, batch_size: int) -> dict[str, Contestant]:
    data, task = random_data(size, "boxes"), Task.of("detection", CLASSES)
    architecture = Architecture("mobilenetv2_035", str(size))
    networks = [build(architecture, task=task) for _ in range(3)]
    bare, ours, reference = (one.to(memory_format=torch.channels_last) for one in networks)
    detectors = [twin.torchvision_ssd(one, data) for one in (bare, reference)]
    split = data.train
    starts = range(0, len(split) - batch_size + 1, batch_size)[:8]
    slices = [slice(start, start + batch_size) for start in starts]
    ready = [
        (Batches(data, CPU).plain(split, rows), twin.targets_of(split, rows)) for rows in slices
    ]

    def of_ready(images: Tensor, targets: list[twin.Target]) -> Tensor:
        return twin.loss_of(detectors[0], images, targets)

    def of_lists(images: list[Tensor], targets: list[twin.Target]) -> Tensor:
        return torch.stack(list(detectors[1](images, targets).values())).sum()

    def train_ours(recipe: Recipe) -> None:
        Training(ours, data, task, recipe, parameters=ours.parameters(), seed=0, device=CPU).run()

    def loader(recipe: Recipe) -> None:
        lists = twin.batches(data, batch_size, int(recipe.length) * batch_size)
        descend(detectors[1], of_lists, recipe, lists)

    return {
        BARE: lambda recipe: descend(detectors[0], of_ready, recipe, cycle(ready)),
        OURS: train_ours,
        "loader": loader,
    }


def random_data(size: int, annotated: Annotated) -> Dataset:
    """Noise: training on it takes as long as on photographs."""
    generator, count = torch.Generator().manual_seed(0), 512
    images = torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, generator=generator)
    labels, annotations = torch.arange(count) // 8, None
    if annotated == "masks":
        annotations = torch.randint(0, CLASSES, (count, size, size), generator=generator)
        annotations = annotations.to(torch.uint8)
    if annotated == "boxes":
        corners = size * torch.rand(count, OBJECTS, 2, 2, generator=generator)
        first, last = corners.amin(2), corners.amax(2) + 1
        numbers = torch.randint(0, CLASSES, (count, OBJECTS, 1), generator=generator)
        annotations = torch.cat([first, last, numbers, torch.zeros_like(numbers)], dim=2)
    split = Split(images, labels, annotations)
    return Dataset(
        split, split, tuple(map(str, range(CLASSES))), (127.5,) * 3, (73.9,) * 3, mirror=True,
        source="random images", annotated=annotated,
    )  # fmt: skip


TASKS = {"segmentation": segmentation, "retrieval": retrieval, "detection": detection}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--sizes", type=int, nargs="+", default=[96, 128])
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=12, help="of a contestant in a round")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print_machine("torch", "torchvision", "segmentation-models-pytorch", "pytorch-metric-learning")
    print(f"{given.rounds} rounds of {given.steps} steps, one thread, random images\n")
    rows = []
    for name in given.tasks:
        for size in given.sizes:
            recipe = Recipe(given.steps, given.batch_size, learning_rate=0.01)
            found = take_turns(TASKS[name](size, given.batch_size), recipe, given.rounds)
            rows += [[f"{name} at {size} px", *row] for row in rows_of(found, given.batch_size)]
    headings = ("task", "loop", "batch", "images/CPU s", "of bare", "range", "images/s wall")
    print_table((*headings, "of bare"), rows)


if __name__ == "__main__":
    main()
