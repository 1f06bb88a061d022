"""What a calibration found: a proxy beside the full training that it stands for.

Kept free of scipy and torch, since every front that rests on a calibration shows it.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from nas.base.files import parse, read_json, write_model
from nas.spec.task import ACCURACY

__all__ = ["FILE", "Calibration", "Estimate", "Trust", "load_calibration"]

FILE = "calibration.json"
_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True)
_MIDDLING, _GOOD = 0.5, 0.8


class Estimate(BaseModel):
    """A value with its 95 % interval; None where the networks say nothing."""

    model_config = _STRICT

    value: float | None
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.value is None:
            return "?"
        interval = "" if self.low is None else f" [{self.low:.2f}, {self.high:.2f}]"
        return f"{self.value:.2f}{interval}"


class Trust(BaseModel):
    """The trust in one proxy at one budget: how it orders networks, against full training.

    cost: share of the training time of full training.
    seeds: of the proxy.
    spearman, kendall: against its accuracy, over all networks.
    best_kendall: against its accuracy, among the best quarter.
    loss_spearman: against its loss, which seeds change less than its accuracy.
    bias: mean rank error by kind and number of blocks, in shares of all networks, positive where
        it ranks them too high.
    apart: points of accuracy above which it orders two networks rightly in 9 cases of 10; None:
        never.
    seeds_needed: of it, to order two that differ by half a point; None: no number is enough.
    """

    model_config = _STRICT

    name: str
    budget: str
    cost: float
    seeds: Annotated[int, Field(ge=1)]
    spearman: Estimate
    kendall: Estimate
    best_kendall: Estimate
    loss_spearman: Estimate | None = None
    bias: dict[str, Estimate] = {}
    apart: float | None = None
    seeds_needed: int | None = None


class Calibration(BaseModel):
    """A proxy beside the full training that it stands for.

    full: the full training in words.
    full_seconds: what one of it takes.
    figure: what networks are judged by, in words: `AP`; within it goes by the name of accuracy.
    accuracy, spread: their mean over networks and the standard deviation between them.
    seed_noise: of full training, in points.
    ceiling, best_ceiling: Spearman over all and Kendall in the best quarter that a perfect proxy
        would reach, since full training of a few seeds does not know the true order either.
    loss_ceiling: the former by loss.
    ceiling_interval, best_ceiling_interval, loss_ceiling_interval: the same with what so few
        networks and seeds leave unknown of them; None in results of earlier versions.
    judging: whether `other images` judge the proxy than full training, or the `same images` both,
        which favours networks in the one as in the other; None in results of earlier versions,
        where they were the same.
    image_noise: standard deviation of a network's accuracy beside the others, by the choice of
        validation images, in points; None where it is not known.
    full_seeds_needed: of full training, to order two networks that differ by half a point.
    proxies: the search's own last, at each of its budgets.
    scores: those that need no training, and of supernets.
    """

    model_config = _STRICT

    version: Literal[1] = 1
    space: str
    data: str
    figure: str = ACCURACY.title
    networks: int
    seeds: int
    full: str
    full_seconds: float
    accuracy: float
    spread: float
    seed_noise: float
    ceiling: float
    best_ceiling: float
    loss_ceiling: float | None = None
    ceiling_interval: Estimate | None = None
    best_ceiling_interval: Estimate | None = None
    loss_ceiling_interval: Estimate | None = None
    judging: Literal["other images", "same images"] | None = None
    image_noise: float | None = None
    full_seeds_needed: int
    proxies: list[Trust]
    scores: list[Trust] = []

    @property
    def searched(self) -> Trust:
        """The proxy at the budget that a search ranks by."""
        return self.proxies[-1]

    @property
    def trusted(self) -> bool:
        """True where its order is one of full training, beyond what chance makes."""
        trust = self.searched
        agrees = (trust.spearman.low or 0.0) > 0 and trust.apart is not None
        return agrees and math.isfinite(self.ceiling)

    @property
    def verdict(self) -> str:
        """The verdict in words, for wherever a front that rests on this proxy is shown."""
        trust = self.searched
        spearman = trust.spearman.value
        against = (
            f"against full training of {self.networks} networks ({self.seeds} seeds): Spearman "
            f"{trust.spearman}, at best {self.best_possible}"
        )
        if not math.isfinite(self.ceiling):
            return (
                f"The proxy is NOT TRUSTWORTHY here, {against}: full training itself tells these "
                "networks apart by no more than its noise."
            )
        if spearman is None or trust.apart is None or not self.trusted:
            return f"The proxy is NOT TRUSTWORTHY here, {against}: it may order networks at random."
        share = spearman / max(self.ceiling, 1e-9)
        word = "Trustworthy" if share >= _GOOD else "Rough" if share >= _MIDDLING else "Weak"
        below = "below that, train the candidates fully"
        if trust.seeds_needed is not None and trust.seeds_needed > trust.seeds:
            below = f"below that use proxy.seeds={trust.seeds_needed}"
        return f"{word} above {trust.apart:.1f} points of {self.figure}, {against}; {below}."

    @property
    def best_possible(self) -> Estimate:
        """The ceiling, with its interval where that is known."""
        ceiling = self.ceiling if math.isfinite(self.ceiling) else None
        return self.ceiling_interval or Estimate(value=ceiling, low=None, high=None)

    @property
    def warnings(self) -> list[str]:
        """Sentences against its figures, and on the groups that the search's proxy favours."""
        biases = []
        for name, error in self.searched.bias.items():
            if error.low is not None and error.high is not None and error.low * error.high > 0:
                word = "favours" if error.low > 0 else "punishes"
                biases.append(f"{word} {name} ({error.value:+.0%} of the ranks)")
        sentences = [f"It {', '.join(biases)}."] if biases else []
        if self.judging != "other images":
            sentences.append(
                "The same validation images judged both, so that it looks better than it is; "
                "nas calibrate on the same folder judges apart what it trained."
            )
        return sentences

    def write(self, path: Path) -> None:
        """Write it as JSON, whole. Raises StorageError."""
        write_model(path, self)


def load_calibration(path: str | Path) -> Calibration:
    """Read a calibration, or the one in a folder.

    Raises SpecError where there is none.
    """
    path = Path(path)
    path = path / FILE if path.is_dir() else path
    data = read_json(path, "the calibration", "make one: nas calibrate SPACE --out DIR")
    return parse(Calibration, data, str(path))
