"""Predictions of the winners beside the truth, for the page: pictures as compressed data URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from PIL import Image

from nas.base.errors import NasError, SpecError
from nas.report.pictures.choose_images import choose_images
from nas.report.pictures.networks import ShownNetwork
from nas.report.pictures.tasks import LegendEntry, Picture, Prediction, task_pictures
from nas.runs.run import RunState
from nas.study.front.front import Front

__all__ = ["Example", "Predictions", "Shown", "find_predictions", "winners"]

_IMAGES = 6
_WINNERS = 3
_MOST = 210_000
"""Bytes of all pictures at most, before they become a third more as text."""

_SIZES = ((160, 80), (128, 75), (96, 70), (72, 60), (56, 50), (40, 40))
"""The longest side of a picture in pixels and its quality, tried until all pictures fit."""

_SMALL = 64  # pixels: what is no larger keeps every one of them


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture as the page has it."""

    uri: str
    width: int
    height: int
    caption: str
    right: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """The prediction of one network for an image."""

    network: str
    text: str
    right: bool | None
    pictures: tuple[Shown, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """A validation image with what is true of it, and what each network predicts."""

    number: int
    truth: tuple[Shown, ...]
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Predictions:
    """Some validation images as the winners see them.

    missing: why networks that were to be shown are not, a sentence each.
    """

    examples: tuple[Example, ...]
    legend: tuple[LegendEntry, ...]
    explained: str
    missing: tuple[str, ...]


def winners(front: Front) -> list[int]:
    """Return the trials whose predictions are shown.

    These are the plain network and, by latency, the three of the front's recommended members that
    lose least.
    """
    plain = [point.trial for point in front.references if point.is_plain]
    members = [point for point in front.recommended if not point.is_plain]
    best = sorted(members, key=lambda point: point.loss)[:_WINNERS]
    return [*plain[:1], *(point.trial for point in members if point in best)]


def find_predictions(state: RunState, front: Front) -> Predictions:
    """Show six validation images to the winners.

    Nothing is decoded for it, and no code of a user's is called, as anywhere in a report.
    Raises SpecError where there are no images, or no network can be built.
    """
    if any(":" in name for name in state.run.space.backbones):
        raise SpecError(
            "a backbone of one's own is not called for a report; nas show RUN TRIAL --picture does"
        )
    if not isinstance(state.data().get("key"), str):
        raise SpecError("environment.json does not say which images they were")
    networks, missing = [], []
    for trial in winners(front):
        try:
            networks.append(ShownNetwork.of(state, trial, state.images.open_decoded))
        except NasError as error:
            missing.append(f"trial {trial}: {error}")
    if not networks:
        raise SpecError(missing[0] if missing else "no network is on the front yet")
    data, pictures = networks[0].data, task_pictures(state.task)
    chosen = choose_images(*pictures.choices(data.validation), _IMAGES)
    if not len(chosen):
        raise SpecError("no validation image has anything to be told of it")
    rows = torch.from_numpy(chosen)
    truths = pictures.truths(data, rows)
    predictions = [pictures.predictions(shown, rows) for shown in networks]
    drawn = _all(truths, predictions)
    show = _encoder(drawn)
    examples = tuple(
        Example(
            int(row),
            tuple(map(show, truth)),
            tuple(
                Answer(shown.name, said.text, said.right, tuple(map(show, said.pictures)))
                for shown, said in zip(networks, answers, strict=True)
            ),
        )
        for row, truth, *answers in zip(chosen.tolist(), truths, *predictions, strict=True)
    )
    classes = frozenset(number for picture in drawn for number in picture.classes)
    legend = pictures.legend(data, classes)
    return Predictions(examples, legend, pictures.explain(data.validation), tuple(missing))


def _all(
    truths: Sequence[tuple[Picture, ...]], predictions: Sequence[Sequence[Prediction]]
) -> list[Picture]:
    predicted = [picture for each in predictions for one in each for picture in one.pictures]
    return [picture for truth in truths for picture in truth] + predicted


def _encoder(pictures: Sequence[Picture]) -> Callable[[Picture], Shown]:
    """Return what encodes pictures so that all of these fit."""
    for side, quality in _SIZES:
        if sum(len(_encode(picture, side, quality)[0]) for picture in pictures) <= _MOST:
            break

    def show(picture: Picture) -> Shown:
        coded, (width, height) = _encode(picture, side, quality)
        uri = f"data:image/webp;base64,{base64.b64encode(coded).decode()}"
        return Shown(uri, width, height, picture.caption, picture.right)

    return show


def _encode(picture: Picture, side: int, quality: int) -> tuple[bytes, tuple[int, int]]:
    image = Image.fromarray(picture.pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    coded = io.BytesIO()
    small = max(image.size) <= min(_SMALL, side) and image.size == picture.pixels.shape[1::-1]
    image.save(coded, "WEBP", lossless=small, quality=100 if small else quality, method=4)
    return coded.getvalue(), image.size
