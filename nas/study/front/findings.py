"""Findings: statements about a front as frozen values, without words.

The kinds are closed, and `nas.study.front.prose` has one sentence for each. What a finding of a
kind is about (`subject`), and what its figures are:

| kind                   | subject           | figures                                            |
| ---------------------- | ----------------- | -------------------------------------------------- |
| best_gain              | a network         | the one of the front that gains most by full       |
|                        |                   | training: estimate, low, high (level .9) over the  |
|                        |                   | plain one; probability: that it gains; counts:     |
|                        |                   | trial, placed, shown (1: it does), noise_known,    |
|                        |                   | on_front; figures:                                 |
|                        |                   | latency_ms, latency_share, lower_loss (probability |
|                        |                   | of it); text: its blocks and where they are;       |
|                        |                   | regime                                             |
| none_recommended       | a network         | the same of the best where nothing is recommended  |
| width_gains_more       | a widened network | estimate, low, high: what it gains, and it is no   |
|                        |                   | slower than the best; figures: latency_share       |
| trust                  | the proxy         | text, as it was given with the run                 |
| uncertified_profile    | the front         | estimate: how far measurements of the profile that |
|                        |                   | latencies come from repeat, as a share (NaN: timed |
|                        |                   | once); text, as it was given with the profile      |
| uncounted_macs         | the front         | text: operators that multiply-adds leave out       |
| constant_prediction    | the front         | networks: no better than one answer to all images; |
|                        |                   | estimate: the best figure that those have;         |
|                        |                   | figures: accuracy and loss that such an answer has |
|                        |                   | (the most of several runs)                         |
| collapsed_in_full      | full training     | the same of single full trainings; counts: how     |
|                        |                   | many of them, and of how many                      |
| no_front               | the front         | estimate: least latency; counts: networks          |
| shared_weights         | the front         | none: all inherit the weights of one training      |
| noise_unknown          | the front         | none: too few networks with several seeds          |
| seed_noise             | the front         | estimate: deviation of one network's loss between  |
|                        |                   | seeds; figures: differences, that of differences;  |
|                        |                   | counts: freedom                                    |
| front_expected         | the front         | estimate: members that no evaluated network is     |
|                        |                   | expected to be better than at no more latency;     |
|                        |                   | counts: members; networks: which with 95 %         |
| loss_difference        | a searched network| estimate, low, high: loss that it saves against    |
|                        |                   | the rival (positive: it loses less)                |
| networks_saving_loss   | the front         | estimate: networks that lose less than the plain   |
|                        |                   | one; counts: saving, compared; networks: which;    |
|                        |                   | probability: that all of them do                   |
| networks_spoilt        | the front         | estimate: networks that training left worse than   |
|                        |                   | the plain one; counts: worse, compared             |
| placed_beaten          | the front         | estimate: hand-placed networks that a searched one |
|                        |                   | beats in loss and is no slower than; networks,     |
|                        |                   | winners; probability: that all of this is so       |
| placed_slower          | the front         | the same of those that are only slower: a faster   |
|                        |                   | one loses no more but for figures: margin          |
| placed_unbeaten        | the front         | the same of those that are neither                 |
| faster_unsure          | a searched network| estimate, low, high: loss that it saves against a  |
|                        |                   | slower rival; probability: that it loses no more   |
|                        |                   | but for figures: margin; latency_share             |
| placed_outside         | the front         | networks: hand-placed ones that the space does not |
|                        |                   | hold and that no member beats; worse_than: members |
|                        |                   | that they beat, by their figures                   |
| nothing_to_compare     | the front         | none: no second network to compare losses with     |
| inside_noise           | the front         | no loss is shown to be lower or higher than the    |
|                        |                   | plain one's; estimate: gain that is ruled out;     |
|                        |                   | low, high: of what a network on the front gains    |
| none_better            | the front         | the same, and worse_than: those that lose more     |
| no_difference          | the front         | the same; probability: that all lose as much as the|
|                        |                   | plain one but for figures: margin                  |
| no_common_seed         | full training     | none                                               |
| full_training          | full training     | counts: networks, seeds, images, test_images       |
|                        |                   | (0: judged on validation images); text: the recipe |
| several_recipes        | full training     | estimate: recipes tried; counts: test_images       |
| lacking_seeds          | full training     | networks: left out; counts: seeds that they need   |
| not_retrained          | full training     | estimate: networks of the front's study without    |
| proxy_order            | the proxy         | estimate, low, high: rank correlation with full    |
|                        |                   | training; counts: networks                         |
| no_placed, no_searched | full training     | none: nothing of that sort was trained fully       |
| full_noise_unknown     | full training     | none: too few networks or seeds                    |
| none_as_fast           | full training     | rival: the network that all retrained exceed       |
| accuracy_difference    | a searched network| estimate, low, high: points of accuracy above the  |
|                        |                   | rival, with those shown beside it; figures:        |
|                        |                   | latency_share against the plain one; margin and    |
|                        |                   | no_worse, the probability of losing no more        |
| full_loss_difference   | a searched network| the same by loss, where that of each image was kept|
| figures_disagree       | a searched network| estimate: points above the rival, although its loss|
|                        |                   | says the opposite (figures: loss)                  |
| placed_beaten_in_full  | full training     | estimate: hand-placed networks beaten; networks,   |
|                        |                   | worse_than: which; counts: beaten, placed          |
| width_difference       | a network         | estimate, low, high: what it has by full training  |
|                        |                   | over the plain network widened to its latency;     |
|                        |                   | counts: full trainings of winner and rival;        |
|                        |                   | figures: latency_share, the rival's beyond its own |
| width_checked          | the front         | estimate: networks better than width; counts:      |
|                        |                   | better, worse, compared, wanted (full trainings);  |
|                        |                   | networks, worse_than: which; probability: of all   |
| width_unchecked        | the front         | estimate: networks of which it is not known;       |
|                        |                   | networks: which; counts: winners, wanted           |
| width_not_asked        | the front         | none: in finetune, a widened network has no weights|
|                        |                   | to begin from                                      |
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

__all__ = [
    "FRONT",
    "FULL_TRAINING",
    "LEVEL",
    "MARGIN",
    "POINTS",
    "PROXY",
    "SURE",
    "Finding",
    "Kind",
]

LEVEL = 0.95
"""The level of every interval, and of what is claimed together."""

SURE = 0.95
"""The probability from which on a gain over the plain network is said to be shown."""

MARGIN = 0.002
"""How much loss counts as no difference, where nothing else is said; about .1 points of accuracy
(CIFAR-10 at 16 px: .05 of loss went with two points)."""

POINTS = 0.1
"""The same in points of accuracy, by full training."""

FRONT, FULL_TRAINING, PROXY = "front", "full training", "proxy"
"""Subjects that are no network."""


class Kind(StrEnum):
    """What a finding may be about; see the table above."""

    BEST_GAIN = "best_gain"
    NONE_RECOMMENDED = "none_recommended"
    WIDTH_GAINS_MORE = "width_gains_more"
    TRUST = "trust"
    UNCERTIFIED_PROFILE = "uncertified_profile"
    UNCOUNTED_MACS = "uncounted_macs"
    CONSTANT_PREDICTION = "constant_prediction"
    COLLAPSED_IN_FULL = "collapsed_in_full"
    NO_FRONT = "no_front"
    SHARED_WEIGHTS = "shared_weights"
    NOISE_UNKNOWN = "noise_unknown"
    SEED_NOISE = "seed_noise"
    FRONT_EXPECTED = "front_expected"
    LOSS_DIFFERENCE = "loss_difference"
    NETWORKS_SAVING_LOSS = "networks_saving_loss"
    NETWORKS_SPOILT = "networks_spoilt"
    PLACED_BEATEN = "placed_beaten"
    PLACED_SLOWER = "placed_slower"
    PLACED_UNBEATEN = "placed_unbeaten"
    FASTER_UNSURE = "faster_unsure"
    PLACED_OUTSIDE = "placed_outside"
    NOTHING_TO_COMPARE = "nothing_to_compare"
    INSIDE_NOISE = "inside_noise"
    NONE_BETTER = "none_better"
    NO_DIFFERENCE = "no_difference"
    NO_COMMON_SEED = "no_common_seed"
    FULL_TRAINING = "full_training"
    SEVERAL_RECIPES = "several_recipes"
    LACKING_SEEDS = "lacking_seeds"
    NOT_RETRAINED = "not_retrained"
    PROXY_ORDER = "proxy_order"
    NO_PLACED = "no_placed"
    NO_SEARCHED = "no_searched"
    FULL_NOISE_UNKNOWN = "full_noise_unknown"
    NONE_AS_FAST = "none_as_fast"
    ACCURACY_DIFFERENCE = "accuracy_difference"
    FULL_LOSS_DIFFERENCE = "full_loss_difference"
    FIGURES_DISAGREE = "figures_disagree"
    PLACED_BEATEN_IN_FULL = "placed_beaten_in_full"
    WIDTH_DIFFERENCE = "width_difference"
    WIDTH_CHECKED = "width_checked"
    WIDTH_UNCHECKED = "width_unchecked"
    WIDTH_NOT_ASKED = "width_not_asked"


@dataclass(frozen=True, slots=True)
class Finding:
    """One statement about a front, as figures.

    subject: what it is about: a network's name, or one of the words of this module.
    rival: the network that the subject is compared with; None where it is none.
    estimate, low, high: in `unit`; the interval is at `level`. NaN: there is none.
    probability: that the statement holds; NaN where it is not known.
    counts, figures: named whole numbers, and further numbers.
    networks, worse_than: names of the networks that are meant.
    winners: names of the networks that each of `networks` is beaten by, in its order.
    images_counted: whether the interval holds the choice of validation images besides seeds.
    regime: what the networks were trained from, where that matters.
    text: words that were given from outside, such as a recipe's.
    """

    kind: Kind
    subject: str
    rival: str | None = None
    estimate: float = math.nan
    low: float = math.nan
    high: float = math.nan
    level: float = LEVEL
    probability: float = math.nan
    unit: str | None = None
    counts: tuple[tuple[str, int], ...] = ()
    figures: tuple[tuple[str, float], ...] = ()
    networks: tuple[str, ...] = ()
    worse_than: tuple[str, ...] = ()
    winners: tuple[str, ...] = ()
    images_counted: bool = False
    regime: str | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        assert not self.low > self.high, (self.low, self.high)

    @property
    def is_above(self) -> bool:
        """True where all of the interval lies above zero."""
        return self.low > 0

    @property
    def is_below(self) -> bool:
        """True where all of the interval lies below zero."""
        return self.high < 0

    def count(self, name: str) -> int:
        """Return a named whole number."""
        return dict(self.counts)[name]

    def figure(self, name: str) -> float:
        """Return a named number; NaN where there is none."""
        return dict(self.figures).get(name, math.nan)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: what is no finite number becomes None."""
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        values |= {
            "kind": self.kind.value,
            "level": self.level if math.isfinite(self.low) else None,
            "counts": dict(self.counts),
            "figures": {name: _plain(value) for name, value in self.figures},
            "networks": list(self.networks),
            "worse_than": list(self.worse_than),
            "winners": list(self.winners),
        }
        return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
