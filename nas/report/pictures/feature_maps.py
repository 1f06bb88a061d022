"""Feature maps of networks side by side, as in Fig. 4 of arXiv:2103.02907.

They are of Grad-CAM (arXiv:1610.02391), by Captum and not by the package grad-cam: it takes any
function of what a network gives as the target, returns maps as they are (grad-cam stretches each
from its own least to its own most, so that a map of nothing looks like one), is imported in a tenth
of a second where grad-cam takes seconds, and brings no OpenCV, of which there can be one build.
"""

# The package is optional.
# mypy: disable-error-code="import-untyped, import-not-found"

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from nas.backbones import FeatureMap, find_maps
from nas.base.errors import SpecError
from nas.base.optional_package import import_optional
from nas.models.task_network import TaskNetwork, backbone_of, task_of
from nas.models.task_sites import fine_map
from nas.report.pictures.choose_images import choose_images
from nas.report.pictures.networks import ShownNetwork
from nas.report.pictures.tasks import Picture, TaskPictures, task_pictures
from nas.report.report_file import MARK, write_report_file
from nas.runs.own_backbones import check_own_backbones
from nas.runs.run import RunState
from nas.spec.architecture import PLAIN, Architecture
from nas.spec.width import is_widened
from nas.study.record import COMPLETE

__all__ = ["draw_feature_maps", "grad_cam"]

_IMAGES = 4
_COLOURS = "inferno"  # dark to light evenly, so that it is read by all and on paper without colour
_LETTERS = 27  # of a line that is as wide as a picture
_WIDTH, _ABOVE, _BELOW, _LINE = 1.75, 0.95, 0.75, 0.32  # inches: of a cell, and what is around


def draw_feature_maps(state: RunState, trial: int, path: Path) -> None:
    """Draw Grad-CAM maps of some validation images side by side into a PNG.

    They are of the plain network, the best hand-placed one and a trial.
    Raises SpecError where the trial has no network, the images or Captum are not there, or another
    file has that name; StorageError.
    """
    if path.suffix.lower() != ".png":
        raise SpecError(
            f"--picture {path}: found {path.suffix or 'no suffix'!r}; allowed: .svg (its blocks), "
            ".png (feature maps)"
        )
    _captum()
    check_own_backbones(state.run)
    images = state.images
    networks = [ShownNetwork.of(state, row, images.open) for row in columns(state, trial)]
    last = networks[-1]
    pictures, split = task_pictures(state.task), last.data.validation
    chosen = choose_images(*pictures.choices(split), _IMAGES)
    if not len(chosen):
        raise SpecError(f"no validation image of {state.run.file.data} shows what maps are towards")
    rows = torch.from_numpy(chosen)
    figure = _draw(state, networks, pictures, rows)
    with warnings.catch_warnings():  # of names of classes in letters that the font has not
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        write_report_file(path, lambda part: figure.savefig(part, metadata={"Software": MARK}))


def columns(state: RunState, trial: int) -> list[int]:
    """Return which trials stand beside each other, the one that was asked for last.

    The plain network and the best of those placed by hand, of its backbone.
    """
    row = state.row(trial)
    if row["state"] != COMPLETE:
        cause = f": {row['failure']}" if row["failure"] else ""
        raise SpecError(
            f"trial {trial} is {row['state']}{cause}; only COMPLETE trials have a network"
        )
    trials, backbone = state.trials, Architecture.from_json(row["architecture"]).backbone
    placed = (trials["reference"] != None) & (trials["repeat"] == 0)  # noqa: E711
    references = [
        other
        for other in map(state.row, np.flatnonzero(placed & trials.complete).tolist())
        if Architecture.from_json(other["architecture"]).backbone == backbone
    ]
    plain = [other["trial"] for other in references if other["reference"] == PLAIN]
    by_hand = [
        other
        for other in references
        if other["reference"] != PLAIN and not is_widened(other["reference"])
    ]
    best = sorted(by_hand, key=lambda other: (-other["accuracy"], other["loss"]))
    names = [*plain[:1], *(other["trial"] for other in best[:1])]
    return [*(name for name in names if name != trial), trial]


def shown_map(shown: ShownNetwork, pictures: TaskPictures) -> FeatureMap:
    """Return the map of a network's backbone behind which feature maps are made.

    Raises SpecError where it gives no maps.
    """
    plain, task = shown.architecture.plain, task_of(shown.network)
    if task.is_whole and pictures.layer == "finest":
        return fine_map(plain, task)
    found = find_maps(plain.backbone, plain.resolution, plain.total_stride, plain.output_stride)
    if pictures.layer == "last":
        return found.all[-1]
    assert isinstance(shown.network, TaskNetwork)
    finest = shown.network.reads[0]
    either = (version for one in found.all for version in (one, one.widest))
    return next(version for version in either if version.path == finest)


def grad_cam(shown: ShownNetwork, pictures: TaskPictures, rows: Tensor) -> NDArray[np.float64]:
    """Return the maps of a network for validation images, at their size: (B, H, W).

    0 where nothing speaks for what maps are towards, 1 where most does; all 0 where nothing in an
    image does. Raises SpecError where Captum is not here, or the backbone gives no maps.
    """
    network, images = shown.network, shown.batch(rows)
    target = pictures.cam_target(shown, rows)
    layer = backbone_of(network).get_submodule(shown_map(shown, pictures).path)
    found: Tensor = (
        _captum()
        .LayerGradCam(lambda batch: target(network(batch)), layer)
        .attribute(images, relu_attributions=True)
    )
    maps = functional.interpolate(found.detach(), images.shape[2:], mode="bilinear")[:, 0].double()
    most = maps.amax(dim=(1, 2), keepdim=True)
    scaled: NDArray[np.float64] = torch.where(most > 0, maps / most, 0.0).numpy()
    return scaled


def _draw(
    state: RunState, networks: Sequence[ShownNetwork], pictures: TaskPictures, rows: Tensor
) -> Figure:
    title = state.task.figure.title
    truths = pictures.truths(networks[-1].data, rows)
    count, wide = len(rows), len(truths[0]) + len(networks)
    size, layer = networks[-1].data.size, shown_map(networks[-1], pictures)
    high = _WIDTH * size.height / size.width
    height = _ABOVE + _BELOW + count * (high + _LINE)
    figure = Figure(figsize=(max(wide * (_WIDTH + 0.1), 5.6), height), dpi=150)
    FigureCanvasAgg(figure)
    cells: NDArray[Any] = figure.subplots(count, wide, squeeze=False)
    figure.subplots_adjust(
        left=0.015,
        right=0.985,
        top=1 - _ABOVE / height,
        bottom=(_BELOW + _LINE) / height,
        wspace=0.06,
        hspace=_LINE / high,
    )
    for line, known in zip(cells, truths, strict=True):
        for axes, picture in zip(line, known, strict=False):
            axes.imshow(picture.pixels, interpolation="nearest")
            _caption(axes, picture.caption)
    for column, shown in enumerate(networks, start=len(truths[0])):
        maps = grad_cam(shown, pictures, rows)
        predictions = pictures.predictions(shown, rows)
        images = pictures.truths(shown.data, rows)
        in_rows = zip(cells[:, column], images, maps, predictions, strict=True)
        for axes, (image, *_), one, predicted in in_rows:
            _lay(axes, image, one)
            _caption(axes, predicted.text)
        cells[0, column].set_title(
            f"{_brief(shown.name)}\n{title} {100 * shown.figure:.1f} %",
            fontsize=9,
            parse_math=False,
        )
    figure.text(
        0.015,
        1 - 0.1 / height,
        f"Grad-CAM behind {layer.path} ({layer.height}x{layer.width}), towards\n{pictures.towards}",
        fontsize=9,
        va="top",
        parse_math=False,
    )
    _scale(figure, height)
    return figure


def _lay(axes: Axes, picture: Picture, one: NDArray[np.float64]) -> None:
    """Draw a map over its image in grey: where the map is dark, the image is, too."""
    grey = picture.pixels.mean(axis=2) / 255
    axes.imshow(grey, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.imshow(one, cmap=_COLOURS, vmin=0, vmax=1, alpha=0.65, interpolation="bilinear")
    if not one.any():
        axes.text(
            0.5, 0.5, "nothing speaks\nfor it", color="white", fontsize=8, ha="center", va="center",
            transform=axes.transAxes,
        )  # fmt: skip


def _caption(axes: Axes, text: str) -> None:
    axes.set_xlabel(_brief(text), fontsize=8, labelpad=3, parse_math=False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _brief(text: str) -> str:
    """Return a text that fits under a picture."""
    return text if len(text) <= _LETTERS else f"{text[: _LETTERS - 1]}…"


def _scale(figure: Figure, height: float) -> None:
    """Draw what the colours say below the pictures."""
    axes = figure.add_axes((0.3, 0.38 / height, 0.4, 0.12 / height))
    axes.imshow(np.linspace(0, 1, 256)[None], cmap=_COLOURS, aspect="auto")
    axes.set_yticks([])
    axes.set_xticks([0, 255], ["nothing", "most of the image"], fontsize=8)
    axes.tick_params(length=0)


def _captum() -> Any:
    return import_optional(
        "captum.attr", "LayerGradCam", "pictures", "feature maps are found by the package captum"
    )
