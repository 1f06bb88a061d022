"""The curves of gain over budget of a calibration, as values and in words.

Kept free of scipy and torch, like `calibration.py`: whoever shows a search may show these.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from nas.base.files import parse, read_json, write_model

__all__ = [
    "CURVES_FILE",
    "Advice",
    "Curve",
    "CurvePoint",
    "CurvesFound",
    "half_of",
    "kind_of",
    "load_curves",
]

CURVES_FILE = "curves.json"
_HALVES = ("early", "late")
_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True)

Verdict = Literal["ahead", "behind", "crossed", "too short to tell"]


class CurvePoint(BaseModel):
    """The gain of a network by trainings of one length.

    images: that each has seen.
    gain: validation loss of the plain network minus that of this one.
    deviation: its standard deviation; None where no training was repeated.
    margin: what it must be beyond to be told from chance, corrected for the number of networks.
    points: difference of accuracy, in points.
    trainings: of this network.
    """

    model_config = _STRICT

    epochs: float
    images: int
    gain: float
    deviation: float | None
    margin: float | None
    points: float
    trainings: int


class Curve(BaseModel):
    """The gains of one network, and what they allow to say.

    crossings: images at which it crossed the plain network, both sides beyond the noise; negative
        where it fell behind.
    failed: trainings that diverged.
    """

    model_config = _STRICT

    network: str
    architecture: str
    verdict: Verdict
    gains: list[CurvePoint]
    crossings: list[float] = []
    catching_up: bool = False
    failed: int = 0


class Advice(BaseModel):
    """The budget that a search should take.

    epochs: of each training.
    reason: `shortest`: the shortest one that tells what the longest tells; `longest`: shorter ones
        tell less, or otherwise; `rising`: not even the longest is long enough, since some network
        is behind and catching up; `noise`: no network is told from the plain one.
    told: how many networks the longest tells from the plain one.
    contradicted: how many of these signs half of it turned round.
    """

    model_config = _STRICT

    epochs: float
    reason: Literal["shortest", "longest", "rising", "noise"]
    told: int
    contradicted: int


class CurvesFound(BaseModel):
    """The curves of the hand-placed networks and halves of a space on some images.

    noise: standard deviation of the validation loss of one training, between seeds, over all
        lengths; None where none was repeated.
    trainings: that have ended.
    images: name of the decoded images; None in results of earlier versions.
    head: around the backbone; None: the task's usual one.
    """

    model_config = _STRICT

    version: Literal[1] = 1
    space: str
    data: str
    recipe: str
    budgets: Annotated[list[float], Field(min_length=2)]
    noise: float | None
    trainings: int
    seconds: float
    curves: list[Curve]
    advice: Advice
    images: str | None = None
    head: str | None = None

    @property
    def setting(self) -> str:
        """The key for the command line that gives the advised budget to a search."""
        return f"--set proxy.kind=scratch --set proxy.rungs=[{self.advice.epochs:g}]"

    @property
    def lines(self) -> list[str]:
        """What may be said of each network, and of the budget, in sentences."""
        return [*(_sentence(curve) for curve in self.curves), _advise(self)]

    @property
    def reason(self) -> str:
        """Why a search should take the advised budget, to follow `N epochs: `."""
        advice, longest = self.advice, self.budgets[-1]
        if advice.reason == "shortest":
            return f"no network is told otherwise than at {longest:g}"
        if advice.reason == "longest":
            return f"the longest of the curves, since {longest / 2:g} tell less, or otherwise"
        which = "no network is told from plain"
        if advice.reason == "rising":
            which = "some network is behind plain and catching up"
        return (
            f"the longest of the curves, which is too short to tell, since {which}; nas calibrate "
            f"--curves --doublings {len(self.budgets)} goes on with them"
        )

    @property
    def crossings(self) -> list[str]:
        """Sentences that say where curves cross the plain network, or that they have not yet."""
        up = [
            _crossed(curve, "crosses plain") for curve in self.curves if curve.verdict == "crossed"
        ]
        down = [
            _crossed(curve, "fell behind plain")
            for curve in self.curves
            if curve.crossings and curve.verdict != "crossed"
        ]
        waiting = [curve.network for curve in self.curves if _may_cross(curve)]
        short = [curve.network for curve in self.curves if not self._reaches(curve)]
        sentences = [f"{'; '.join(up + down)}."] if up or down else []
        if waiting:
            verb = "has" if len(waiting) == 1 else "have"
            sentences.append(
                f"{_listed(waiting)} {verb} not crossed plain yet, and may: at "
                f"{self.budgets[-1]:g} epochs the gain is below zero, and grows."
            )
        if not sentences:
            sentences.append(f"No curve crosses plain within {self.budgets[-1]:g} epochs.")
        if short:
            verb = "does" if len(short) == 1 else "do"
            sentences.append(
                f"{_listed(short)} {verb} not reach {self.budgets[-1]:g} epochs: trainings failed."
            )
        return sentences

    def _reaches(self, curve: Curve) -> bool:
        return bool(curve.gains) and curve.gains[-1].epochs == self.budgets[-1]

    def write(self, path: Path) -> None:
        """Write it as JSON, whole. Raises StorageError."""
        write_model(path, self)


def half_of(network: str) -> str:
    """Return `early` or `late` of a network with a kind in one half of its sites; else nothing."""
    half = network.rpartition(" ")[2]
    return half if half in _HALVES else ""


def kind_of(network: str) -> str:
    """Return the name of the network that has the same kind at all of its sites."""
    return network.removesuffix(f" {half_of(network)}")


def load_curves(path: str | Path) -> CurvesFound:
    """Read curves, or those in a folder. Raises SpecError where there are none."""
    path = Path(path)
    path = path / CURVES_FILE if path.is_dir() else path
    data = read_json(path, "the curves", "make them: nas calibrate SPACE --curves --out DIR")
    return parse(CurvesFound, data, str(path))


def _may_cross(curve: Curve) -> bool:
    """Say whether a curve is on its way up and still below zero."""
    rising = curve.catching_up and bool(curve.gains) and curve.gains[-1].gain < 0
    return rising and curve.verdict == "too short to tell"


def _crossed(curve: Curve, how: str) -> str:
    """Name a crossing by images, and by epochs where its curve tells how many those are."""
    known = next((point for point in curve.gains if point.images), None)
    epochs = ""
    if known is not None and len(curve.crossings) == 1:
        epochs = f" ({abs(curve.crossings[0]) * known.epochs / known.images:.3g} epochs)"
    return f"{curve.network} {how} at {_where(curve)} images{epochs}"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _sentence(curve: Curve) -> str:
    name = curve.network
    if not curve.gains:
        return f"{name}: no training came to its end; nothing can be said."
    last = curve.gains[-1]
    gain = f"{last.gain:+.3f}" + ("" if last.deviation is None else f" ±{last.deviation:.3f}")
    at = f"at {last.epochs:g} epochs its gain is {gain}"
    if curve.verdict == "ahead":
        return f"{name} is ahead of plain: {at}."
    if curve.verdict == "crossed":
        return f"{name} began behind plain and crosses it at {_where(curve)} images: {at}."
    if curve.verdict == "behind" and curve.crossings:
        return f"{name} began ahead of plain and fell behind it at {_where(curve)} images: {at}."
    if curve.verdict == "behind":
        return f"{name} has not crossed plain and does not catch up: {at}."
    if last.margin is None:
        return f"{name}: too short to tell, no training was repeated: {at}."
    if last.gain < -last.margin:
        return f"{name} has not crossed plain yet and catches up: {at}."
    return f"{name}: too short to tell from plain: {at}, by chance up to {last.margin:.3f}."


def _where(curve: Curve) -> str:
    places = [f"{abs(images):,.0f}" for images in curve.crossings]
    return ", ".join(places) + (" (more than once)" if len(places) > 1 else "")


def _advise(growth: CurvesFound) -> str:
    advice, longest = growth.advice, growth.budgets[-1]
    take = f"Search with {growth.setting}: "
    if advice.reason == "shortest":
        return take + (
            f"at {advice.epochs:g} epochs no network is told otherwise than at {longest:g}, which "
            f"tells {advice.told} of {len(growth.curves)} from plain."
        )
    if advice.reason == "longest":
        turned = f", which turned {advice.contradicted} signs round," if advice.contradicted else ""
        return take + f"{longest / 2:g} epochs{turned} tell less than {longest:g}."
    if advice.reason == "rising":
        return take + (
            f"and mind that {longest:g} epochs are too short: some network is behind and catching "
            "up. One --doublings more goes on with these trainings."
        )
    return take + (
        f"but not even {longest:g} epochs tell any network from plain. More --seeds or one "
        "--doublings more go on with these trainings."
    )
