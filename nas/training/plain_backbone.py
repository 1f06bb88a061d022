"""The trained plain network that proxies stand on: trained once, and kept for every run.

Or a user's own, from a file of weights: taken as it stands, or trained on first.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from nas.backbones import plain_network
from nas.base.errors import StorageError
from nas.base.freed_memory import return_freed_memory
from nas.base.machine import cache_root, version
from nas.base.size import Resolution, Size
from nas.data import Dataset
from nas.models.build import build
from nas.models.match_weights import MatchedWeights, match_weights
from nas.models.own_network import has_loss
from nas.models.task_network import task_network
from nas.models.weights_file import read_weights
from nas.spec.architecture import Architecture
from nas.spec.precision import FP32, Precision
from nas.spec.runner import Backbone, Proxy
from nas.spec.task import Task
from nas.training.checkpoint import load_weights, save_weights
from nas.training.fine_tuning import fine_tuned
from nas.training.loop import Training, evaluate
from nas.training.placement import placed
from nas.training.recipe import Recipe, steps_in
from nas.training.schedule import scale_rate
from nas.training.tasks import Score

__all__ = ["fingerprint", "given_network", "judge_emptied", "prepare_backbone"]

Progress = Callable[[int, int], None]


def prepare_backbone(
    plain: Architecture,
    data: Dataset,
    data_key: str,
    task: Task,
    proxy: Proxy,
    path: Path,
    *,
    seed: int,
    threads: int,
    device: torch.device,
    progress: Progress | None = None,
) -> Score:
    """Train (or fetch) the plain network, keep it at `path`, and return its validation score.

    What was trained before from the same images and settings, by whichever run, is taken from
    the user's cache instead of being trained again.

    data_key: names the images.
    task: what the network is for.
    threads: of torch, while this goes on.
    Raises SpecError when weights cannot be had.
    Raises TrainingError when the training diverges.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        data = placed(data, device)
        network = _trained_network(plain, data, data_key, task, proxy, seed, device, progress)
        score = evaluate(network, data, task, device=device, precision=proxy.computed_in)
    finally:
        torch.set_num_threads(before)
        return_freed_memory()  # processes that train beside this one need it
    save_weights(path, network.state_dict())
    return score


def judge_emptied(
    emptied: Architecture,
    data: Dataset,
    task: Task,
    path: Path,
    *,
    threads: int,
    device: torch.device,
    precision: Precision = FP32,
) -> Score:
    """Return the validation score of a trained plain network without what its slots came with.

    path: of the weights that `prepare_backbone` kept.
    threads: of torch, while this goes on.
    precision: that the plain network was trained in.
    Raises StorageError when they cannot be read.
    """
    network = build(emptied, task=task, weights=load_weights(path))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return evaluate(network, data, task, device=device, precision=precision)
    finally:
        torch.set_num_threads(before)


def _trained_network(
    plain: Architecture,
    data: Dataset,
    data_key: str,
    task: Task,
    proxy: Proxy,
    seed: int,
    device: torch.device,
    progress: Progress | None,
) -> nn.Module:
    """Return the trained plain network, from the cache, or trained now and kept there."""
    if proxy.backbone.file is not None and not proxy.backbone.epochs:
        return given_network(plain, proxy.backbone, task, seed)[0]

    def fresh() -> nn.Module:
        if proxy.backbone.file is not None:
            return given_network(plain, proxy.backbone, task, seed)[0]
        pretrained = proxy.backbone.weights == "pretrained"
        return build(plain, task=task, pretrained=pretrained, seed=seed)

    parts = [plain.digest, data_key, *_beside(task), proxy.backbone.key, proxy.batch_size, seed]
    parts += [*map(version, ("torch", "torchvision", "timm")), device.type]
    parts += [] if proxy.computed_in == FP32 else [proxy.computed_in]
    cacheable = True
    if ":" in plain.backbone:  # a user's own network can change without changing its name
        first = fresh()
        # What a loss of its own computes is not seen there.
        program = None if has_loss(first) else fingerprint(first, plain.resolution)
        cacheable = program is not None
        parts.append(program)
    name = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    cached = cache_root() / "backbones" / f"{name}.safetensors"
    if cacheable and cached.exists():
        try:
            weights = load_weights(cached)
            return build(plain, task=task, weights=weights)
        except (StorageError, RuntimeError):
            cached.unlink(missing_ok=True)  # cut short: made again below
    network = fresh()
    _train(network, plain, data, task, proxy, seed, device, progress)
    if cacheable:
        save_weights(cached, network.state_dict())
    return network


def given_network(
    plain: Architecture, backbone: Backbone, task: Task, seed: int = 0
) -> tuple[nn.Module, MatchedWeights]:
    """Build a plain network with the weights of the user's file, and say how they were matched.

    They are of a classifier, whatever the task; of a network of one's own, of all of it.

    seed: of a head that the file has none of for so many classes.
    Raises SpecError where the file cannot be read or does not fit.
    """
    assert backbone.file is not None
    own = plain_network(
        plain.backbone,
        num_classes=task.outputs,
        total_stride=plain.total_stride,
        output_stride=plain.output_stride,
        seed=seed,
    )
    given = read_weights(backbone.file)
    matched = match_weights(own, given, backbone.match, num_classes=task.outputs)
    own.load_state_dict(dict(matched.state))
    return task_network(own, plain, task, seed=seed).eval(), matched


def _beside(task: Task) -> list[str]:
    """Return what tells a task's networks from a classifier, which is known by its images."""
    return [] if task.is_classification else [task.key]


def fingerprint(network: nn.Module, resolution: Resolution) -> str | None:
    """Return a digest of all that a network computes in training and of its weights.

    None means that it cannot be told, as of a network that branches on what it sees.
    """
    before = network.training
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            images = torch.zeros(2, *Size.of(resolution).shape)
            # The strict way, which older torch takes unasked, refuses networks with hooks.
            program = torch.export.export(network.train(), (images,), strict=False)
    except Exception:  # whatever an operator provokes
        return None
    finally:
        network.train(before)
    digest = hashlib.sha256(program.graph_module.code.encode())
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _train(
    network: nn.Module,
    plain: Architecture,
    data: Dataset,
    task: Task,
    proxy: Proxy,
    seed: int,
    device: torch.device,
    progress: Progress | None,
) -> None:
    trained = proxy.backbone.weights != "train"
    groups, set_mode = fine_tuned(
        network,
        plain,
        task,
        rate_share=proxy.backbone.rate_share if trained else 1.0,
        freeze_norms=trained and proxy.backbone.freeze_norms,
    )
    training = Training(
        network,
        data,
        task,
        Recipe(
            length=steps_in(proxy.backbone.epochs, len(data.train), proxy.batch_size),
            batch_size=proxy.batch_size,
            learning_rate=proxy.backbone.learning_rate
            or scale_rate(0.01 if trained else 0.1, proxy.batch_size),
        ),
        parameters=groups,
        seed=seed,
        device=device,
        set_mode=set_mode,
        precision=proxy.computed_in,
    )
    training.run(progress=progress)
    training.check(evaluate(network, data, task, device=device, precision=proxy.computed_in))
