"""The training loop, which every training goes through: one straight story."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from nas.base.errors import TrainingError
from nas.base.freed_memory import keep_freed_memory
from nas.base.seeds import derive
from nas.data import Dataset
from nas.spec.launch import Launch
from nas.spec.precision import FP32, Precision
from nas.spec.task import Task
from nas.training.ahead import Ahead
from nas.training.augmentation import Augmentation
from nas.training.batches import Batches
from nas.training.device import forget_memory, out_of_memory, random_streams
from nas.training.launch import Loss, launched
from nas.training.layout import lay_out, memory_format
from nas.training.objective import Objective, guessing_loss, judge_of
from nas.training.optimiser import Group, in_groups, optimiser_of
from nas.training.placement import sent
from nas.training.precision import backend_flags
from nas.training.recipe import Recipe
from nas.training.tasks import Score, training_task

__all__ = ["Training", "evaluate"]

# What the names of tensors in the state of a training begin with.
_NETWORK, _OPTIMISER, _MEAN = "network.", "optimiser.", "mean."
_SCALER = "scaler"
_LOOK_EVERY = 20
"""Steps between two looks at the loss on a GPU, which waits for each of them."""

_BESIDE_A_CPU = 4  # times as many images at once, where networks are judged

_BEYOND_GUESSING = 20.0
"""How much more than guessing a training loses that has diverged, in nats: the right class has a
billionth of the probability that guessing gives it. Of 36 honest trainings of 4 to 40 steps the
latest epoch lost up to 10 more (warm-up included; a single step 43 more), of those at 100 times the
rate and more 39 to 13 million more."""


class Training:
    """A training that can stop after any step and go on, on a CPU bit for bit as if it never had.

    Everything random is derived from the seed and the number of the step, so that weights,
    the optimiser's state and that number are all there is to keep.
    Where torch.distributed is initialised, its processes share each batch and go the same
    steps; batch norms and mixup see the share of their process.

    parameters: those to train, or groups of them; with none, the network is left as it is.
    seed: of the order of images and their augmentation. Equal seeds give equal batches to every
        network, which pairs comparisons.
    set_mode: says which modules train and which stay as they are.
    before_step: called with the number of each step before it.
    augmentation: beyond crops and mirrors.
    precision: of the arithmetic; the network is to be judged in the same (see `evaluate`).
    halves: whether batches come in two from where memory runs out; else that is raised.
    launch: how steps are launched; where processes share batches, eagerly.
    """

    def __init__(
        self,
        network: nn.Module,
        data: Dataset,
        task: Task,
        recipe: Recipe,
        *,
        parameters: Iterable[nn.Parameter] | Sequence[Group],
        seed: int,
        device: torch.device,
        set_mode: Callable[[nn.Module], object] = nn.Module.train,
        before_step: Callable[[int], object] | None = None,
        augmentation: Augmentation | None = None,
        precision: Precision = FP32,
        halves: bool = True,
        launch: Launch = "eager",
    ) -> None:
        self.network = network
        self.recipe = recipe
        self.step = 0
        self.spent = 0.0
        self.parts = 1
        """The pieces that batches are computed in: two since memory ran out, else one."""
        self._data, self._seed, self._device = data, seed, device
        self.precision, self._halves = precision, halves
        self._task, self._purpose = training_task(task), task
        self._set_mode, self._before_step = set_mode, before_step
        groups = in_groups(parameters)
        self._layout = memory_format(network, device)
        lay_out(network.to(device), self._layout)
        self._optimiser = optimiser_of(groups, recipe, device) if groups else None
        self._scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        self._batches = Batches(data, device, augmentation)
        self._augmentation = augmentation
        self._ema = _running_mean(network, recipe)
        self._rank, self._ranks = 0, 1
        self._objective: nn.Module = Objective(network, task, precision)
        self._launch = launch
        self._launched: Loss | None = None
        if dist.is_initialized():
            self._launch = "eager"
            self._rank, self._ranks = dist.get_rank(), dist.get_world_size()
            self._objective = DistributedDataParallel(self._objective)
        self._order: tuple[int, Tensor] | None = None
        # RandAugment draws from torch's global stream, which no other thread may touch.
        beside = device.type == "cuda" and not (augmentation and augmentation.changes_pixels)
        self._batch_of = Ahead(self._batch, device) if beside else self._batch
        self._epoch_losses: list[Tensor] = []
        self._loss_sum = torch.zeros((), device=device)

    @property
    def epoch_losses(self) -> list[float]:
        """The mean training loss of each whole epoch so far, before each step's change.

        It costs nothing, and tells networks apart early (training speed estimation,
        arXiv:2006.04492).
        """
        return [float(loss) for loss in self._epoch_losses]

    @property
    def recent_loss(self) -> float:
        """The mean training loss since the last whole epoch began; NaN before the first step."""
        steps = self.step % self._epoch
        total = self._loss_sum
        if self._epoch_losses:
            steps += self._epoch
            total = total + self._epoch * self._epoch_losses[-1]
        return float(total) / steps if steps else math.nan

    def check(self, score: Score, beyond: float = _BEYOND_GUESSING) -> None:
        """Check that the training has not diverged to where it loses far more than guessing.

        Both on the images that it saw last and on those that it is judged by. The latter alone
        tell nothing of a short training: running means of batch norm lag behind, and a dozen steps
        of EfficientNet-B0 that learn well are judged with a loss of 90,000.

        score: of the trained network.
        beyond: how much more than guessing is too much, in nats.
        Raises TrainingError when it has.
        """
        recent, guessing = self.recent_loss, self.loss_of_guessing
        if min(recent, score.loss) > guessing + beyond:
            raise TrainingError(
                f"training diverged: its loss is {recent:.4g} in training and {score.loss:.4g} on "
                f"validation, where guessing has {guessing:.2f}; a smaller learning rate may help"
            )

    @property
    def loss_of_guessing(self) -> float:
        """The loss of whoever knows how often each answer is right in training, and no more."""
        return guessing_loss(self.network, self._purpose, self._data.train)

    @property
    def images_seen(self) -> int:
        """The training images so far, one that came again counted again."""
        return self.step * min(self.recipe.batch_size, len(self._data.train))

    @property
    def trained(self) -> nn.Module:
        """The network to judge and keep: with the mean of its weights where that is kept."""
        return self.network if self._ema is None else self._ema.module

    def run(
        self, until: float | None = None, progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Train, and leave the network in evaluation mode.

        until: how much of the recipe's length is spent then; None means all of it.
        progress: called with (done, of), in steps or whole seconds.
        Raises TrainingError when the loss is not finite.
        """
        until = self.recipe.length if until is None else until
        if self._optimiser is None:
            return
        self._set_mode(self.network)
        keep_freed_memory()
        # Every step seeds torch's global stream, which belongs to whoever called this.
        with (
            torch.random.fork_rng(**random_streams(self._device)),
            backend_flags(self.precision, self._device),
        ):
            while self.spent < until:
                self._one_step(self._optimiser)
                if progress is not None:
                    progress(int(self.spent), int(until))
        self.network.eval()

    def state(self) -> dict[str, Tensor]:
        """Return what `load` goes on from.

        It holds `network.*`, `optimiser.*`, `mean.*`, how a loss is scaled, and where the training
        stands.
        """
        tensors = {f"{_NETWORK}{name}": value for name, value in self.network.state_dict().items()}
        if self._optimiser is not None:
            for index, slots in self._optimiser.state_dict()["state"].items():
                for name, value in slots.items():
                    if isinstance(value, Tensor):
                        tensors[f"{_OPTIMISER}{index}.{name}"] = value
        if self._ema is not None:
            mean = self._ema.module.state_dict()
            tensors |= {f"{_MEAN}{name}": value for name, value in mean.items()}
        if self._scaler.is_enabled():
            scaled = self._scaler.state_dict()
            numbers = [scaled["scale"], scaled["_growth_tracker"]]
            tensors[_SCALER] = torch.tensor(numbers, dtype=torch.float64)
        stands = torch.tensor([self.step, self.spent, self.parts], dtype=torch.float64)
        losses = torch.stack([*self._epoch_losses, self._loss_sum])
        return tensors | {"stands": stands, "losses": losses}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take up a state of a training with the same arguments.

        Weights that are not in it stay.
        Raises KeyError, RuntimeError when it is of another network.
        """
        step, self.spent, parts = state["stands"].tolist()
        self.step, self.parts = int(step), int(parts)
        # Trainings of earlier versions kept no losses: their epochs until now are missing.
        if "losses" in state:
            *self._epoch_losses, self._loss_sum = state["losses"].to(self._device).unbind()
        if self._scaler.is_enabled():
            scale, since = state[_SCALER].tolist()
            known = {"scale": scale, "_growth_tracker": int(since)}
            self._scaler.load_state_dict(self._scaler.state_dict() | known)
        weights = _below(_NETWORK, state)
        unexpected = self.network.load_state_dict(weights, strict=False).unexpected_keys
        if unexpected:
            raise KeyError(unexpected[0])
        if self._ema is not None:
            self._ema.module.load_state_dict(_below(_MEAN, state))
        if self._optimiser is not None:
            slots: dict[int, dict[str, Tensor]] = {}
            for key, value in _below(_OPTIMISER, state).items():
                index, name = key.split(".")
                slots.setdefault(int(index), {})[name] = value
            groups = self._optimiser.state_dict()["param_groups"]
            self._optimiser.load_state_dict({"state": slots, "param_groups": groups})

    def _one_step(self, optimiser: torch.optim.Optimizer) -> None:
        started = self._seconds()
        for group in optimiser.param_groups:
            group["lr"] = group["share"] * self.recipe.rate(self.spent)
        if self._before_step is not None:
            self._before_step(self.step)
        loss: Tensor | None = None
        try:
            loss = self._gradients(optimiser)
        except RuntimeError as error:
            # Halves need about half of the memory. One process of several cannot decide alone:
            # the others would wait for the gradients of a batch in one piece.
            may_halve = self._halves and self.parts == 1 and self._ranks == 1
            if not may_halve or not out_of_memory(error):
                raise
        if loss is None:  # behind the handler, whose error holds all that was computed
            self.parts = 2
            optimiser.zero_grad(set_to_none=True)
            forget_memory(self._device)
            loss = self._gradients(optimiser)
        self._scaler.step(optimiser)  # without a scale, the optimiser's own step
        self._scaler.update()
        if self._ema is not None:
            self._ema.update(self.network, self.step + 1)
        if self._ranks > 1:
            dist.all_reduce(loss)  # all of them give up, or none
        due = self._device.type == "cpu" or self.step % _LOOK_EVERY == 0
        if due and not loss.isfinite():
            raise TrainingError(f"training diverged: the loss is {loss.item()} at step {self.step}")
        self.step += 1
        self._note(loss)
        self.spent += self._seconds() - started if self.recipe.unit == "seconds" else 1

    def _note(self, loss: Tensor) -> None:
        """Count a step's loss to its epoch; on a GPU nothing waits for it."""
        self._loss_sum += loss / self._ranks
        if self.step % self._epoch == 0:
            self._epoch_losses.append(self._loss_sum / self._epoch)
            self._loss_sum = torch.zeros_like(self._loss_sum)

    def _gradients(self, optimiser: torch.optim.Optimizer) -> Tensor:
        """Return the mean loss of this step's batch; its gradients are with the parameters."""
        # Two streams: that of the images is the same for every network and every process, that
        # of the network (dropout, mixup) is the process's own. The first process has the stream
        # of a training by itself.
        others = (self._rank,) if self._rank else ()
        torch.manual_seed(derive(self._seed, "network", self.step, *others))
        images, wanted = self._batch_of(self.step)
        if self._augmentation is not None:
            images, wanted = self._augmentation.mixed(images, wanted)
        images = images.contiguous(memory_format=self._layout)
        optimiser.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self._device)
        objective = self._objective_for(images, wanted)
        # Each piece counts by its share of the images, so that gradients add up to the batch's.
        for part, target in zip(images.chunk(self.parts), wanted.chunk(self.parts), strict=True):
            loss = objective(part, target) * (len(part) / len(images))
            self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def _objective_for(self, images: Tensor, wanted: Tensor) -> Loss:
        """Return what computes the loss of a batch, as it is launched; of halves, eagerly."""
        if self.parts > 1:
            return self._objective
        if self._launched is None:
            self._launched = launched(self._objective, self._launch, images, wanted)
        return self._launched

    def _batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return this process's images of a step, augmented, and what the loss is told of them."""
        generator = torch.Generator().manual_seed(derive(self._seed, "images", step))
        share = slice(self._rank, None, self._ranks)
        images, wanted = self._task.augmented(
            self._batches, self._data.train, self._rows(step), generator, share
        )
        return images, sent(wanted, self._device)

    def _rows(self, step: int) -> Tensor:
        """Return the rows of a step's images: full batches, epoch after epoch."""
        count = len(self._data.train)
        size = min(self.recipe.batch_size, count)
        epoch, batch = divmod(step, self._epoch)
        if self._order is None or self._order[0] != epoch:
            generator = torch.Generator().manual_seed(derive(self._seed, "order", epoch))
            self._order = epoch, self._task.order(self._data.train, size, generator)
        return self._order[1][batch * size : (batch + 1) * size]

    @property
    def _epoch(self) -> int:
        """The steps of an epoch: of full batches alone."""
        count = len(self._data.train)
        return count // min(self.recipe.batch_size, count)

    def _seconds(self) -> float:
        alone = self._device.type == "cpu" and torch.get_num_threads() == 1
        return time.thread_time() if alone else time.perf_counter()


def _below(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix, by the rest of their names."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in state.items()
        if name.startswith(prefix)
    }


def _running_mean(network: nn.Module, recipe: Recipe) -> ModelEmaV3 | None:
    if recipe.ema is None:
        return None
    return ModelEmaV3(network, decay=recipe.ema, use_warmup=True)


def evaluate(
    network: nn.Module,
    data: Dataset,
    task: Task,
    *,
    device: torch.device,
    batch_size: int | None = None,
    precision: Precision = FP32,
) -> Score:
    """Judge a network on all of data.validation.

    batch_size: None: as many images at once as the task says; on a GPU four times as many.
    precision: that the network was trained in.
    Raises TrainingError when scores are not finite.
    """
    lay_out(network.eval().to(device), memory_format(network, device))
    batches = Batches(data, device)
    split = data.validation
    judge = judge_of(network, task, split, precision)
    size = batch_size or judge.at_once * (1 if device.type == "cpu" else _BESIDE_A_CPU)
    # Not inference mode: what somebody's own network keeps meanwhile is trained with later.
    with torch.no_grad(), backend_flags(precision, device):
        for start in range(0, len(split), size):
            judge.add(batches.plain(split, slice(start, start + size)))
        return judge.score()
