"""Detectors as somebody wrote them: that of docs/your-network.md, small ones of torchvision's
kinds, and some that are wrong.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections import OrderedDict
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.fcos import FCOS
from torchvision.models.detection.retinanet import RetinaNet
from torchvision.models.detection.ssd import SSD, SSDHead

PAGE = Path(__file__).resolve().parents[2] / "docs" / "your-network.md"


def shown(title: str) -> str:
    """The file of this name that the page shows."""
    # By itself: workers know the folder of this file alone.
    found = re.search(rf'^```\w+ title="{title}"\n(.*?)^```$', PAGE.read_text(), re.M | re.S)
    assert found, title
    return found[1]


def written(folder: Path, *titles: str) -> Path:
    """Files of the page in a folder."""
    for title in titles:
        (folder / title).write_text(shown(title))
    return folder


def space_of(folder: Path, name: str = "Small") -> Path:
    """Write a space file of a detector of this file, blocks in its backbone and neck."""
    path = folder / "own.yaml"
    path.write_text(
        f"name: own\nbackbones: ['{Path(__file__).resolve()}:{name}']\nresolutions: [32]\n"
        "sites: {part: [backbone, neck], position: after_projection, granularity: stage}\n"
        "blocks: {se: {reduction: [8]}, eca: {}}\n"
    )
    return path


def _yolo() -> Any:
    folder = tempfile.mkdtemp()
    (Path(folder) / "page_yolo.py").write_text(shown("yolo.py"))
    sys.path.insert(0, folder)
    try:
        return import_module("page_yolo").Yolo
    finally:
        sys.path.remove(folder)


Yolo = _yolo()


class Small(Yolo):  # type: ignore[misc, valid-type]
    """That of the page with few channels."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, width=8)


class MeanLoss(Small):
    """One loss for a batch, which is the mean of those of images."""

    def loss(self, batch: Any) -> Tensor:
        return super().loss(batch).mean()  # type: ignore[no-any-return]


class Backbone(nn.Module):
    """Two maps, of strides 8 and 16."""

    out_channels = 32

    def __init__(self) -> None:
        super().__init__()
        layers = [_layer(3, 8, 4), _layer(8, 32, 2), _layer(32, 32, 2)]
        self.body = nn.ModuleList(layers)

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        fine = self.body[1](self.body[0](images))
        return OrderedDict([("0", fine), ("1", self.body[2](fine))])


def _layer(wide: int, channels: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(wide, channels, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU())


SIZE = 64
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
_TRANSFORM: dict[str, Any] = {"image_mean": MEAN, "image_std": STD}


def ssd(num_classes: int) -> nn.Module:
    boxes = DefaultBoxGenerator([[2], [2, 3]])
    head = SSDHead([32, 32], boxes.num_anchors_per_location(), num_classes + 1)
    size = (SIZE, SIZE)
    return SSD(Backbone(), boxes, size, num_classes + 1, head=head, score_thresh=0.08, **_TRANSFORM)


def fcos(num_classes: int) -> nn.Module:
    boxes = AnchorGenerator(((8,), (16,)), ((1.0,),) * 2)
    return FCOS(Backbone(), num_classes, min_size=SIZE, max_size=SIZE, anchor_generator=boxes,
                score_thresh=0.01, **_TRANSFORM)  # fmt: skip


def retinanet(num_classes: int) -> nn.Module:
    boxes = AnchorGenerator(((16, 24), (32, 48)), ((0.5, 1.0, 2.0),) * 2)
    return RetinaNet(Backbone(), num_classes + 1, min_size=SIZE, max_size=SIZE,
                     anchor_generator=boxes, score_thresh=0.001, **_TRANSFORM)  # fmt: skip


def rcnn(num_classes: int) -> nn.Module:
    from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn

    return fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None, weights_backbone=None, num_classes=num_classes + 1
    )


# What is wrong, each in one way.


class NoMethods(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.head = nn.Conv2d(32, 4 + num_classes, 1)

    def forward(self, images: Tensor) -> Any:
        return self.head(self.backbone(images)["1"]).flatten(2).transpose(1, 2)


class OtherLoss(NoMethods):
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.sum()

    def predict(self, images: Tensor) -> Any:
        return [_nothing() for _ in self(images)]


class Right(NoMethods):
    """As little as is right: it finds one box in each image, of the middle."""

    def loss(self, batch: Any) -> Any:
        images, _ = batch
        return self(images).square().mean(dim=(1, 2))

    def predict(self, images: Tensor) -> Any:
        found = []
        for given in self(images):
            score = given[:1, 4].sigmoid()
            box = torch.tensor([[8.0, 8.0, 24.0, 24.0]])
            found.append(
                {"boxes": box, "scores": score, "labels": torch.zeros(1, dtype=torch.long)}
            )
        return found


class Queries(Right):
    """Without anchors: queries of a transformer, as DETR has them."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        layer = nn.TransformerEncoderLayer(32, 2, 48, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.queries = nn.Parameter(torch.randn(5, 32))
        self.read = nn.MultiheadAttention(32, 2, batch_first=True)
        self.head = nn.Linear(32, 4 + num_classes)  # type: ignore[assignment]

    def forward(self, images: Tensor) -> Any:
        seen = self.encoder(self.backbone(images)["1"].flatten(2).transpose(1, 2))
        asked = self.queries.expand(images.shape[0], -1, -1)
        return self.head(self.read(asked, seen, seen, need_weights=False)[0])


def _nothing() -> dict[str, Tensor]:
    return {
        "boxes": torch.zeros(0, 4),
        "scores": torch.zeros(0),
        "labels": torch.zeros(0, dtype=torch.long),
    }


class GivesDict(Right):
    def forward(self, images: Tensor) -> Any:
        given = super().forward(images)
        return {"logits": given[..., 4:], "boxes": given[..., :4]}


class GivesList(Right):
    def forward(self, images: Tensor) -> Any:
        return [super().forward(images)]


class LossDict(Right):
    def loss(self, batch: Any) -> Any:
        return {"box": super().loss(batch).mean()}


class LossNumber(Right):
    def loss(self, batch: Any) -> Any:
        return float(super().loss(batch).mean())


class LossOfPlaces(Right):
    def loss(self, batch: Any) -> Any:
        return self(batch[0]).flatten()


class LossNaN(Right):
    def loss(self, batch: Any) -> Any:
        return super().loss(batch) / 0 * 0


class LossWithoutGradient(Right):
    def loss(self, batch: Any) -> Any:
        return super().loss(batch).detach()


class LossSum(Right):
    def loss(self, batch: Any) -> Any:
        return super().loss(batch).sum()


class LossRandom(Right):
    def loss(self, batch: Any) -> Any:
        return super().loss(batch).mean() + torch.rand(())


class LossesRandom(Right):
    def loss(self, batch: Any) -> Any:
        return super().loss(batch) + torch.rand(2)[: len(batch[0])]


class LossOfOthers(Right):
    def loss(self, batch: Any) -> Any:
        each = super().loss(batch)
        return each + each.sum()


class LossTrains(Right):
    def loss(self, batch: Any) -> Any:
        self.train()
        return super().loss(batch)


class LossMovesNorms(Right):
    def loss(self, batch: Any) -> Any:
        norm = self.backbone.body[0][1]
        was = norm.training
        norm.train()
        given = super().loss(batch)
        norm.train(was)
        return given


class LossInTrainingAlone(Right):
    def loss(self, batch: Any) -> Any:
        if not self.training:
            raise RuntimeError("losses are of training mode")
        return super().loss(batch)


class LossWantsObjects(Right):
    def loss(self, batch: Any) -> Any:
        images, targets = batch
        return super().loss(batch) + torch.stack([one["boxes"].max() for one in targets])


class PredictsOne(Right):
    def predict(self, images: Tensor) -> Any:
        return super().predict(images)[0]


class PredictsTensor(Right):
    def predict(self, images: Tensor) -> Any:
        return self(images)


class PredictsTooFew(Right):
    def predict(self, images: Tensor) -> Any:
        return super().predict(images)[:1]


class PredictsOthers(Right):
    """Each object is changed by `change`."""

    def change(self, one: dict[str, Tensor]) -> Any:
        raise NotImplementedError

    def predict(self, images: Tensor) -> Any:
        return [self.change(one) for one in super().predict(images)]


class PredictsOtherKeys(PredictsOthers):
    def change(self, one: dict[str, Tensor]) -> Any:
        return {"bbox": one["boxes"], "scores": one["scores"], "classes": one["labels"]}


class PredictsTurned(PredictsOthers):
    def change(self, one: dict[str, Tensor]) -> Any:
        return one | {"boxes": one["boxes"].flip(1)}


class PredictsNaN(PredictsOthers):
    def change(self, one: dict[str, Tensor]) -> Any:
        return one | {"boxes": one["boxes"] * torch.nan}


class PredictsBeyond(PredictsOthers):
    def change(self, one: dict[str, Tensor]) -> Any:
        return one | {"labels": one["labels"] + 99}


class PredictsBelow(PredictsOthers):
    def change(self, one: dict[str, Tensor]) -> Any:
        return one | {"labels": one["labels"] - 1}


class PredictsFloats(PredictsOthers):
    def change(self, one: dict[str, Tensor]) -> Any:
        return one | {"labels": one["labels"].float()}


class PredictsLogits(PredictsOthers):
    def change(self, one: dict[str, Tensor]) -> Any:
        return one | {"scores": one["scores"] + 3}


class PredictsUnequal(PredictsOthers):
    def change(self, one: dict[str, Tensor]) -> Any:
        return one | {"scores": torch.cat([one["scores"], one["scores"]])}


class PredictsArrays(PredictsOthers):
    def change(self, one: dict[str, Tensor]) -> Any:
        return one | {"boxes": one["boxes"].tolist()}


class PredictsElsewhere(Right):
    def predict(self, images: Tensor) -> Any:
        return [_nothing() for _ in images]


class PredictsOneByOne(Right):
    def predict(self, images: Tensor) -> Any:
        return [found for image in images for found in super(type(self), self).predict(image[None])]


class PredictsMoves(Right):
    def predict(self, images: Tensor) -> Any:
        self.train()
        return super().predict(images)
