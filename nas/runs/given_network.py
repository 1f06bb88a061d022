"""A network that a search is given in memory: its name, its weights, and who may train it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import nn

from nas.backbones import check_backbone, plain_network
from nas.backbones.held_networks import hold
from nas.base.errors import SpecError
from nas.models.candidates import given_space
from nas.models.fitting_sites import with_fitting_sites
from nas.runs.check_network import CLASSES
from nas.runs.reading import settle_task
from nas.runs.run import Run
from nas.runs.run_file import RunFile
from nas.spec.own_backbone import is_held
from nas.spec.runner import Runner, given_runner, with_overrides
from nas.spec.space import SearchSpace, with_backbones
from nas.spec.task import Task
from nas.training.checkpoint import save_weights

__all__ = ["GivenNetwork", "check_held", "check_runs_in_process", "given_network"]

WEIGHTS = "given.safetensors"
"""The file of its weights in a run folder."""


@dataclass(frozen=True, slots=True)
class GivenNetwork:
    """The space and the runner that a search is given, with its backbone in them.

    weights: a file of those of a network in memory, as long as it is there; None: it has a name.
    notes: what a space's own words on sites no longer say, in sentences.
    """

    space: SearchSpace
    runner: Runner
    weights: Path | None = None
    notes: tuple[str, ...] = ()

    def keep(self, file: RunFile, out: Path) -> RunFile:
        """Return the file of a run that finds the weights in its folder, where `put` puts them."""
        if self.weights is None:
            return file
        backbone = file.proxy.backbone.model_copy(update={"weights": str(out.resolve() / WEIGHTS)})
        return file.model_copy(
            update={"proxy": file.proxy.model_copy(update={"backbone": backbone})}
        )

    def put(self, folder: Path) -> None:
        """Put the weights into a run folder."""
        if self.weights is not None:
            shutil.copyfile(self.weights, folder / WEIGHTS)


@contextmanager
def given_network(
    space: SearchSpace | str | Path,
    runner: Runner | str | Path | None,
    backbone: str | nn.Module | None,
    data: str,
) -> Iterator[GivenNetwork]:
    """Yield what is searched, where a backbone takes the place of the space's.

    backbone: a name; or a network, which is copied, and whose weights the search starts from.
    Raises SpecError for one that is neither, and a runner that it does not go with.
    """
    if not isinstance(backbone, nn.Module):
        space, runner = given_space(space), given_runner(runner)
        if backbone is not None:
            replaced = with_backbones(space, [_checked_name(backbone)])
            space, notes = with_fitting_sites(replaced, _task(runner, data))
            yield GivenNetwork(space, runner, notes=tuple(notes))
            return
        yield GivenNetwork(space, runner)
        return
    runner = given_runner(runner)
    check_runs_in_process(runner)
    name = hold(backbone)
    with TemporaryDirectory() as folder:
        weights = Path(folder) / WEIGHTS
        save_weights(weights, plain_network(name).state_dict())  # of the copy: not wrapped
        replaced = with_backbones(given_space(space), [name])
        fitting, notes = with_fitting_sites(replaced, _task(runner, data))
        yield GivenNetwork(fitting, _starting_from(runner, weights), weights, tuple(notes))


def _task(runner: Runner, data: str) -> Task:
    return settle_task(runner, data).task_on(CLASSES)


def _checked_name(backbone: object) -> str:
    if not isinstance(backbone, str):
        what = f"the class {backbone.__name__}" if isinstance(backbone, type) else repr(backbone)
        raise SpecError(
            f"backbone: found {what[:80]}; allowed: a name, such as mobilenetv2_100, "
            "module:name or path/to/file.py:name, or a torch.nn.Module"
        )
    check_backbone(backbone)
    return backbone


def _starting_from(runner: Runner, weights: Path) -> Runner:
    """Return a runner that starts from these weights, and trains the backbone no further.

    Raises SpecError where it starts from others.
    """
    backbone = runner.proxy.backbone
    if backbone.weights != "train":
        raise SpecError(
            f"proxy.backbone.weights {backbone.weights}: the network that is given brings its own; "
            "leave it out, or name the network and its file: module:name and --weights"
        )
    if "regime" in runner.model_fields_set and runner.regime != "finetune":
        raise SpecError(
            f"regime {runner.regime}: a network that is given is a trained one, which the search "
            "starts from; leave it out, or name the network: module:name"
        )
    settings = ["regime=finetune", f"proxy.backbone.weights={json.dumps(str(weights))}"]
    if "epochs" not in backbone.model_fields_set:
        settings.append("proxy.backbone.epochs=0")
    return with_overrides(runner, tuple(settings))


def check_runs_in_process(runner: Runner) -> None:
    """Raise SpecError for a runner that would train a network given in memory elsewhere."""
    wanted = None
    if runner.executor != "local":
        wanted = f"executor {runner.executor}"
    elif isinstance(runner.workers, int) and runner.workers > 1:
        wanted = f"workers {runner.workers}"
    elif runner.side_by_side == "streams":
        wanted = "side_by_side streams"
    if wanted is not None:
        raise SpecError(
            f"{wanted}: a network that is given in memory is trained in this process alone; for "
            "others name what makes it, module:name or path/to/file.py:name, with backbone_args, "
            "and its weights with --weights"
        )


def check_held(run: Run) -> None:
    """Raise SpecError where the network of a run was given in memory, and not to this process."""
    for backbone in run.space.backbones:
        if is_held(backbone):
            check_backbone(backbone)
