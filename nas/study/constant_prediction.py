"""What a network has that tells every image the same: a training that collapsed comes to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["ConstantPrediction", "describe_collapse"]

_ROUNDING = 1e-9  # of figures that are made from the same counts


@dataclass(frozen=True, slots=True)
class ConstantPrediction:
    """The best figures, on the validation images of a run, of one and the same answer to all.

    Such a network is no failure to leave out: its loss is finite and its own, another seed of it
    may learn, and how often a block comes to that belongs to what it is worth. So it is told.

    loss: as of who knows how often each answer is right, and nothing else; None: not known, as
        where networks bring a loss of their own.
    accuracy: the figure that stands for the task, from 0 to 1; of retrieval, the most that chance
        gives.
    """

    loss: float | None
    accuracy: float

    def explains(self, accuracy: float) -> bool:
        """Return whether a network's figure is no better. NaN: there is none to explain."""
        return accuracy <= self.accuracy + _ROUNDING

    def describe(self) -> str:
        """Say of a network that this explains what it is."""
        return (
            f"no better than one answer to all images, which has {self.accuracy:.1%}: its training "
            "collapsed, or was too short to begin"
        )

    def to_dict(self) -> dict[str, float | None]:
        """Return plain values for JSON."""
        return {"loss": self.loss, "accuracy": self.accuracy}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ConstantPrediction:
        """Read what `to_dict` returned."""
        loss = data["loss"]
        return cls(None if loss is None else float(loss), float(data["accuracy"]))


def describe_collapse(constant: ConstantPrediction | None, accuracy: float | None) -> str | None:
    """Say of a network of a figure that one answer to all images explains it, where it does.

    constant, accuracy: None where they are not known, and nothing is said.
    """
    if constant is None or accuracy is None or not constant.explains(accuracy):
        return None
    return constant.describe()
