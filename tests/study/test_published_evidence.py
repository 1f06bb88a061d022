"""Published comparisons as rows of evidence beside the trainings of a study."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from nas.belief.belief import Belief
from nas.spec.architecture import EMPTY, Architecture, Insertion
from nas.spec.runner import load_runner
from nas.study.evidence import Budgets
from nas.study.published_evidence import PUBLISHED, published_evidence
from nas.study.seen_space import SeenSpace

SITES = [f"blocks.{stage}.{number}/after_depthwise" for stage in range(2) for number in range(2)]
PLAIN = Architecture("net", 32)


def network(*kinds: str) -> Architecture:
    placed = zip(SITES, kinds, strict=True)
    return Architecture("net", 32, tuple(Insertion(site, kind) for site, kind in placed if kind))


NETWORKS = (PLAIN, network("se", "", "", "eca"), network("", "se", "se", "se"))


def seen(*networks: Architecture) -> SeenSpace:
    return SeenSpace(networks, np.ones(len(networks)))


def coder(space: SeenSpace) -> Callable[[Architecture], NDArray[np.int64] | None]:
    return lambda item: space.codes([item])[0] if space.knows(item) else None


def test_each_kind_everywhere_early_and_late_stands_beside_the_plain_network() -> None:
    space = seen(*NETWORKS)
    evidence = published_evidence(NETWORKS, "scratch", coder(space))
    assert evidence is not None and set(evidence.source) == {PUBLISHED}
    gain = dict(zip(map(tuple, evidence.codes.tolist()), -evidence.loss, strict=True))
    plain, everywhere, early, late = (
        tuple(space.codes([item])[0].tolist())
        for item in (
            PLAIN,
            network("se", "se", "se", "se"),
            network("se", "se", "", ""),
            network("", "", "se", "se"),
        )
    )
    assert gain[plain] == 0
    assert gain[everywhere] > gain[late] > gain[early] > 0
    # `eca` was seen at one site.
    assert len(evidence) == 5


@pytest.mark.parametrize(
    "networks",
    [(), (PLAIN,), (PLAIN, network(EMPTY, "se", "", ""))],
    ids=["none", "plain", "blocks taken out"],
)
def test_without_blocks_to_speak_of_nothing_is_said(networks: tuple[Architecture, ...]) -> None:
    assert published_evidence(networks, "scratch", coder(seen(*networks, PLAIN))) is None


def test_what_has_no_codes_is_left_out() -> None:
    space = seen(*NETWORKS)
    some = published_evidence(
        NETWORKS, "scratch", lambda item: None if len(item.insertions) > 3 else coder(space)(item)
    )
    assert some is not None and len(some) == 4
    assert published_evidence(NETWORKS, "scratch", lambda item: None) is None


def test_a_key_switches_it_off_and_a_run_of_before_has_none() -> None:
    for settings, regime in (
        (("search.published_prior=true",), "scratch"),
        (("search.published_prior=true", "regime=finetune"), "finetune"),
        (("search.published_prior=false",), None),
        ((), None),
    ):
        runner = load_runner(overrides=("proxy.rungs=[2]", *settings))
        assert Budgets.of(runner, 1000).published == regime


def test_a_new_search_says_whether_it_counts() -> None:
    for sampler, counts in (("pareto", True), ("tpe", False)):
        plan = load_runner(overrides=(f"search.sampler={sampler}",)).search
        assert plan.published_prior is None and plan.settled().published_prior is counts
    plan = load_runner(overrides=("search.published_prior=false",)).search
    assert plan.settled().published_prior is False


def test_it_proves_nothing_by_itself() -> None:
    """However well all studies agree: how far they do with these images is not known."""
    space = seen(*NETWORKS)
    evidence = published_evidence(NETWORKS, "scratch", coder(space))
    assert evidence is not None
    belief = Belief.fit(space.space(), evidence, target_images=1000.0)
    drawn = belief.draws(space.codes(NETWORKS[1:]), 4000)
    assert ((drawn > 0).mean(axis=0) < 0.95).all()
