"""Findings in plain words, one sentence for each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from nas.base.formats import describe_uncounted
from nas.spec.width import is_widened
from nas.study.front.findings import SURE, Finding, Kind

__all__ = ["SUMMED_UP", "sentence", "sentences"]

_MORE = (
    "A larger proxy.rungs, more validation images or a higher search.confirm_seeds would tell more."
)

SUMMED_UP = frozenset({Kind.LOSS_DIFFERENCE})
"""Kinds of which a later finding gives the sum: they are left out where a front is described."""


def sentences(findings: Iterable[Finding]) -> tuple[str, ...]:
    """Describe a front by its findings, in their order."""
    return tuple(sentence(finding) for finding in findings if finding.kind not in SUMMED_UP)


def sentence(finding: Finding) -> str:
    """Put one finding into words."""
    template = _SENTENCES[finding.kind]
    return template if isinstance(template, str) else template(finding)


def _best_gain(finding: Finding) -> str:
    costs = f"{finding.figure('latency_ms'):.3g} ms ({finding.figure('latency_share'):+.0%})"
    sure = f"with a probability of {_sure(finding.probability)}"
    if not finding.count("noise_known"):
        sure += ", if one training of each is to be believed"
    if finding.count("shown"):
        return (
            f"Put {finding.text}: {costs}, {_gained(finding, _trained(finding))}. This is "
            f"{_named(finding)}; it is better than the plain network {sure}."
        )
    if finding.figure("lower_loss") >= SURE:
        sure += f", and lower in loss with one of {_sure(finding.figure('lower_loss'))}"
    return (
        f"No network is shown to be better than the plain one {_trained(finding)}. The most "
        f"promising is {_named(finding)}, {finding.text}: {costs}, {_gained(finding)}; it is "
        f"better {sure}."
    )


def _none_recommended(finding: Finding) -> str:
    others = (
        "The others on the front are shown to be worse, or are without what it was trained with; "
        "the best of them"
        if finding.count("on_front")
        else "It alone is on the front; the best of those beside it"
    )
    return (
        f"No network is shown to be better than the plain one {_trained(finding)}: keep that. "
        f"{others} is {_named(finding)}, {_gained(finding)}."
    )


def _width_gains_more(finding: Finding) -> str:
    return (
        f"Width does more than attention here, as far as is known: {finding.subject}, the plain "
        f"network widened, gains {_gained(finding)}, at {finding.figure('latency_share'):+.0%} "
        "latency."
    )


def _named(finding: Finding) -> str:
    return f"hand-placed {finding.subject}" if finding.count("placed") else finding.subject


def _gained(finding: Finding, trained: str = "") -> str:
    digits, unit = (2, "points of accuracy") if finding.unit == "points" else (4, "of loss saved")
    return (
        f"{finding.estimate:+.{digits}f} {unit}{' ' * bool(trained)}{trained}, "
        f"{finding.level * 100:.0f} % interval {finding.low:+.{digits}f} to "
        f"{finding.high:+.{digits}f}"
    )


def _trained(finding: Finding) -> str:
    return _TRAINED.get(finding.regime or "", "by full training")


_TRAINED = {
    "scratch": "by full training from random weights",
    "finetune": "by full training from trained weights",
}


def _no_front(finding: Finding) -> str:
    networks = finding.count("networks")
    if not networks:
        return "No trial is complete: there is no front."
    return (
        f"None of the {networks} networks with complete trials is within the limits and filters: "
        f"there is no front. The fastest takes {finding.estimate:.4g} ms."
    )


def _constant_prediction(finding: Finding) -> str:
    networks, shown = finding.count("networks"), finding.count("shown")
    who = f"All {shown} networks here" if networks == shown > 1 else _listed(finding)
    return (
        f"{who} {'are' if networks > 1 else 'is'} no better than one answer to all images "
        f"({_alike(finding, networks)}). Such a training collapsed, or was too short to begin: "
        "do not take its network as it is; a lower learning rate or a longer training may help."
    )


def _collapsed_in_full(finding: Finding) -> str:
    collapsed = finding.count("trainings")
    return (
        f"{collapsed} of {_counted(finding.count('of'), 'full training')} collapsed, and "
        f"{'is' if collapsed == 1 else 'are'} no better than one answer to all images "
        f"({_alike(finding, collapsed)}): {_listed(finding)}. A lower learning rate may help."
    )


def _alike(finding: Finding, count: int) -> str:
    most = "at most " if count > 1 else ""
    return f"accuracy {most}{finding.estimate:.1%}, where that has {finding.figure('accuracy'):.1%}"


def _seed_noise(finding: Finding) -> str:
    return (
        f"Between seeds the loss of one network varies by ±{finding.estimate:.4f}, "
        f"differences between networks by ±{finding.figure('differences'):.4f}."
    )


def _front_expected(finding: Finding) -> str:
    return (
        f"Of {finding.count('members')} networks on the front, {finding.estimate:.1f} are expected "
        "to be better than all that were evaluated and are no slower; the others were lucky."
    )


def _loss_difference(finding: Finding) -> str:
    return (
        f"{finding.subject} against {finding.rival}: {finding.estimate:+.4f} of loss saved, "
        f"95 % interval {_ends(finding)}."
    )


def _networks_saving_loss(finding: Finding) -> str:
    sources = "seeds and validation images" if finding.images_counted else "seeds alone"
    return (
        f"{finding.count('saving')} of {finding.count('compared')} networks on the front lose less "
        f"than the plain one beyond the noise of {sources} ({_together(finding)})."
    )


def _networks_spoilt(finding: Finding) -> str:
    return (
        f"{finding.count('worse')} of {finding.count('compared')} networks with attention lose "
        "more than the plain one: this training may rank them by what it spoils, not by what they "
        "could gain. Raise proxy.rungs or lower proxy.learning_rate before reading anything into "
        "the order."
    )


def _placed_beaten(finding: Finding) -> str:
    return (
        f"Searched networks beat hand-placed {_listed(finding)}: lower in loss beyond the noise, "
        f"and no slower ({_together(finding)})."
    )


def _placed_slower(finding: Finding) -> str:
    return (
        f"Searched networks are faster than hand-placed {_listed(finding)}, at a loss that is "
        f"higher by less than {finding.figure('margin'):g}, if at all ({_together(finding)})."
    )


def _placed_unbeaten(finding: Finding) -> str:
    return f"No searched network is shown to be better than hand-placed {_listed(finding)}."


def _faster_unsure(finding: Finding) -> str:
    return (
        f"{finding.subject} is faster than hand-placed {finding.rival} "
        f"({finding.figure('latency_share'):+.0%}); the loss that it saves is "
        f"{finding.estimate:+.4f} {_ends(finding)}; that it loses no more "
        f"but for {finding.figure('margin'):g} has a probability of {_sure(finding.probability)} "
        "by itself, which is not enough beside the other comparisons."
    )


def _placed_outside(finding: Finding) -> str:
    text = f"The space does not hold hand-placed {_listed(finding)}, which no network here beats"
    if finding.worse_than:
        text += f"; by its figures {', '.join(finding.worse_than)} would leave the front for it"
    return text + "."


def _inside_noise(finding: Finding) -> str:
    text = "The differences in loss are INSIDE THE NOISE: none is shown, which is not to say that "
    text += "there is none."
    if finding.rival is not None:
        text += (
            f" Against {finding.rival}, networks on the front may save between {finding.low:+.4f} "
            f"and {finding.high:+.4f}; more than {finding.estimate:.4f} is ruled out."
        )
    return f"{text} {_MORE}"


def _none_better(finding: Finding) -> str:
    return (
        f"No network is shown to lose less than {finding.rival}, and {finding.count('worse')} of "
        f"{finding.count('compared')} lose more ({', '.join(finding.worse_than)}): do not choose "
        f"by latency alone. Savings of more than {finding.estimate:.4f} are ruled out. {_MORE}"
    )


def _no_difference(finding: Finding) -> str:
    return (
        f"All {finding.count('compared')} networks on the front lose as much as {finding.rival} "
        f"but for {finding.figure('margin'):g} ({_together(finding)}): choose by latency."
    )


def _ends(finding: Finding, digits: int = 4) -> str:
    return f"[{finding.low:+.{digits}f}, {finding.high:+.{digits}f}]"


def _together(finding: Finding) -> str:
    if not finding.networks and finding.kind is not Kind.NO_DIFFERENCE:
        return "95 %, all comparisons together"
    return f"all of this together with a probability of {_sure(finding.probability)}"


def _sure(probability: float) -> str:
    return "more than 99 %" if probability > 0.995 else f"{probability:.0%}"


def _full_training(finding: Finding) -> str:
    images = (
        "test images, looked at once"
        if finding.count("test_images")
        else "validation images: there are no others"
    )
    return (
        f"Full training ({finding.text}; {_counted(finding.count('networks'), 'network')}, "
        f"{_counted(finding.count('seeds'), 'seed')} each) is judged on "
        f"{finding.count('images'):,} {images}."
    )


def _several_recipes(finding: Finding) -> str:
    advice = (
        "Choose between recipes by validation accuracy: each look at the test images makes "
        "them worth less."
        if finding.count("test_images")
        else "What was chosen by these images is judged too well by them."
    )
    recipes = finding.count("recipes")
    return f"{recipes} recipes were tried; the one of most networks is shown. {advice}"


def _lacking_seeds(finding: Finding) -> str:
    return (
        f"Not compared, since the others' seeds are missing or failed: {_listed(finding)} (nas "
        f"retrain --trial N --seeds {finding.count('seeds')})."
    )


def _not_retrained(finding: Finding) -> str:
    missing = finding.count("missing")
    if missing == 1:
        return "1 network was not retrained: this front is without it."
    return f"{missing} networks were not retrained: this front is without them."


def _proxy_order(finding: Finding) -> str:
    meaning = "whether the proxy's order means anything cannot be told from so few"
    if finding.is_above:
        meaning = "better than chance would have it"
    elif finding.is_below:
        meaning = "the proxy's order is the reverse"
    return (
        f"The proxy's order of these {finding.count('networks')} networks against full training: "
        f"rank correlation {finding.estimate:.2f} [{finding.low:.2f}, {finding.high:.2f}]; "
        f"{meaning}."
    )


def _accuracy_difference(finding: Finding) -> str:
    return (
        f"{finding.subject}, {_beside(finding)}: {finding.estimate:+.2f} points, 95 % interval "
        f"{_ends(finding, 2)}: {_meaning(finding, '.1f', ' points')}."
    )


def _full_loss_difference(finding: Finding) -> str:
    return (
        f"{finding.subject}, {_beside(finding)}: {finding.estimate:+.4f} of loss saved by full "
        f"training, 95 % interval {_ends(finding)}: "
        f"{_meaning(finding, 'g', ' of loss')}."
    )


def _beside(finding: Finding) -> str:
    if is_widened(finding.rival):
        return (
            f"against {finding.rival}, the plain network widened, at "
            f"{finding.figure('latency_share'):+.0%} latency"
        )
    if "latency_share" in dict(finding.figures):
        return f"against the plain network at {finding.figure('latency_share'):+.0%} latency"
    return f"no slower than {finding.rival}"


def _meaning(finding: Finding, form: str, unit: str) -> str:
    if finding.is_above:
        return "better beyond the noise"
    if finding.is_below:
        return "worse beyond the noise"
    return (
        f"inside the noise; worse by less than {finding.figure('margin'):{form}}{unit} with a "
        f"probability of {_sure(finding.figure('no_worse'))}"
    )


def _figures_disagree(finding: Finding) -> str:
    loss = "lower" if finding.figure("loss") > 0 else "higher"
    return (
        f"Loss and accuracy disagree on {finding.subject} beside {finding.rival}: its loss is "
        f"{loss}, its accuracy {finding.estimate:+.2f} points. Overfitting and label smoothing do "
        "that; judge by what the network is for."
    )


def _placed_beaten_in_full(finding: Finding) -> str:
    beaten, placed = finding.count("beaten"), finding.count("placed")
    text = (
        f"At equal training the search beats {beaten or 'NONE'} of "
        f"{_counted(placed, 'hand-placed network')} beyond the noise"
    )
    if beaten:
        text += f" ({_listed(finding)}; 95 %, all comparisons together)"
    if finding.worse_than:
        text += f", and is worse than {', '.join(finding.worse_than)}"
    return text + "."


def _width_difference(finding: Finding) -> str:
    points = finding.unit == "points"
    form, unit = ("+.2f", " points") if points else ("+.4f", " of loss saved")
    return (
        f"{finding.subject} beside {finding.rival}, the plain network widened to its latency "
        f"({finding.figure('latency_share'):+.0%}): {finding.estimate:{form}}{unit} by full "
        f"training, 95 % interval [{finding.low:{form}}, {finding.high:{form}}]; better with a "
        f"probability of {_chance(finding.probability)} "
        f"({_counted(finding.count('winner'), 'full training')} against "
        f"{finding.count('rival')})."
    )


def _width_checked(finding: Finding) -> str:
    compared = finding.count("compared")
    better, worse = ", ".join(finding.networks), ", ".join(finding.worse_than)
    answers = []
    if worse:
        answers.append(f"yes, better than {worse}")
    if better:
        answers.append(f"no, {better} {'are' if len(finding.networks) > 1 else 'is'} better")
    if not answers:
        return (
            "Would width do better? It is not known: full training shows no difference between "
            f"{_counted(compared, 'network')} and the plain network widened to the same latency "
            f"(more would tell: nas resume RUN --full-trainings {finding.count('wanted')})."
        )
    sure = f"together with a probability of {_sure(finding.probability)}"
    rest = compared - finding.count("better") - finding.count("worse")
    more = f"; of {_counted(rest, 'other')} it is not known" if rest else ""
    return f"Would width do better? {'; '.join(answers)} ({sure}){more}."


def _width_unchecked(finding: Finding) -> str:
    return (
        f"Would width do better? Not checked for {_listed(finding)}: the plain network widened to "
        "the same latency was not trained fully beside them; nas resume RUN --full-trainings "
        f"{finding.count('wanted')} checks those that gain most, where the backbone has a width."
    )


def _chance(probability: float) -> str:
    return "less than 1 %" if probability < 0.005 else _sure(probability)


def _listed(finding: Finding) -> str:
    return ", ".join(finding.networks)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


_SENTENCES: Mapping[Kind, str | Callable[[Finding], str]] = {
    Kind.BEST_GAIN: _best_gain,
    Kind.NONE_RECOMMENDED: _none_recommended,
    Kind.WIDTH_GAINS_MORE: _width_gains_more,
    Kind.TRUST: lambda finding: finding.text or "",
    Kind.UNCERTIFIED_PROFILE: lambda finding: finding.text or "",
    Kind.UNCOUNTED_MACS: lambda finding: describe_uncounted((finding.text or "").split()),
    Kind.CONSTANT_PREDICTION: _constant_prediction,
    Kind.COLLAPSED_IN_FULL: _collapsed_in_full,
    Kind.NO_FRONT: _no_front,
    Kind.SHARED_WEIGHTS: (
        "All networks inherit the weights of one training: another seed of theirs changes "
        "nothing, and what one of that training would change is unknown. Do not read small "
        "differences; nas retrain --front trains the winners by themselves."
    ),
    Kind.NOISE_UNKNOWN: (
        "Too few networks were trained with several seeds, so the noise is unknown: "
        "do not read small differences (search.confirm_seeds=3 repeats the front)."
    ),
    Kind.SEED_NOISE: _seed_noise,
    Kind.FRONT_EXPECTED: _front_expected,
    Kind.LOSS_DIFFERENCE: _loss_difference,
    Kind.NETWORKS_SAVING_LOSS: _networks_saving_loss,
    Kind.NETWORKS_SPOILT: _networks_spoilt,
    Kind.PLACED_BEATEN: _placed_beaten,
    Kind.PLACED_SLOWER: _placed_slower,
    Kind.PLACED_UNBEATEN: _placed_unbeaten,
    Kind.NOTHING_TO_COMPARE: "There is nothing here to compare their losses with.",
    Kind.FASTER_UNSURE: _faster_unsure,
    Kind.PLACED_OUTSIDE: _placed_outside,
    Kind.INSIDE_NOISE: _inside_noise,
    Kind.NONE_BETTER: _none_better,
    Kind.NO_DIFFERENCE: _no_difference,
    Kind.NO_COMMON_SEED: (
        "Retrained networks have no seed in common, so they are not compared (nas retrain "
        "--seeds 3 gives them the same ones)."
    ),
    Kind.FULL_TRAINING: _full_training,
    Kind.SEVERAL_RECIPES: _several_recipes,
    Kind.LACKING_SEEDS: _lacking_seeds,
    Kind.NOT_RETRAINED: _not_retrained,
    Kind.PROXY_ORDER: _proxy_order,
    Kind.NO_PLACED: "No hand-placed network was retrained, so there is nothing to compare with.",
    Kind.NO_SEARCHED: "No searched network was retrained, so there is nothing to compare with.",
    Kind.FULL_NOISE_UNKNOWN: (
        "Networks were retrained with one seed in common at most, so the noise between seeds "
        "is unknown: no difference is claimed (nas retrain --seeds 3)."
    ),
    Kind.NONE_AS_FAST: lambda finding: (
        f"No retrained network of the search is as fast as {finding.rival}."
    ),
    Kind.ACCURACY_DIFFERENCE: _accuracy_difference,
    Kind.FULL_LOSS_DIFFERENCE: _full_loss_difference,
    Kind.FIGURES_DISAGREE: _figures_disagree,
    Kind.PLACED_BEATEN_IN_FULL: _placed_beaten_in_full,
    Kind.WIDTH_DIFFERENCE: _width_difference,
    Kind.WIDTH_CHECKED: _width_checked,
    Kind.WIDTH_UNCHECKED: _width_unchecked,
    Kind.WIDTH_NOT_ASKED: (
        "Would width do better? That is not asked of networks that are trained on: the plain "
        "network widened has no trained weights to begin from; a search in the regime scratch asks "
        "it."
    ),
}
