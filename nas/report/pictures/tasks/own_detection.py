"""Detection by a network of one's own: what its own code finds."""

from __future__ import annotations

import torch
from torch import Tensor

from nas.base.errors import SpecError
from nas.models.own_network import answering
from nas.report.pictures.networks import ShownNetwork
from nas.report.pictures.tasks.detection import DetectionPictures, largest, objects_of
from nas.report.pictures.tasks.task import CamTarget
from nas.study.detection_marks import box_overlaps

__all__ = ["OwnDetectionPictures"]


class OwnDetectionPictures(DetectionPictures):
    """Pictures of objects in boxes that a network's own `predict` finds."""

    towards = "the score of the box that meets the largest object of the class named below most"

    def cam_target(self, shown: ShownNetwork, rows: Tensor) -> CamTarget:
        """Return the score of the box of the label's class that meets its largest object most."""
        split = shown.data.validation
        labels = split.labels[rows]
        wanted = largest(objects_of(split)[rows], labels)[:, 0, :4].double().numpy()
        images, network = shown.batch(rows), shown.network

        def best_score(outputs: Tensor) -> Tensor:
            with answering(network, outputs):
                found = network.predict(images)  # type: ignore[operator]
            scores = []
            for one, label, box in zip(found, labels.tolist(), wanted, strict=True):
                mine = one["labels"] == label
                there = one["boxes"].detach()[mine].double().numpy()
                meets = torch.from_numpy(box_overlaps(there, box[None])[:, 0])
                own = one["scores"][mine]
                best = meets.argmax() if len(own) and meets.max() > 0 else None
                scores.append(own.sum() * 0 if best is None else own[best])
            given = torch.stack(scores)
            if not given.requires_grad:
                raise SpecError(
                    f"{type(network).__name__}.predict gives scores without gradients, so that "
                    "nothing tells what in an image speaks for them; leave out no_grad, detach and "
                    "inference_mode there"
                )
            return given

        return best_score
