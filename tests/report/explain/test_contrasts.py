"""Effects as readings of the belief."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.explained_runs import SITES, front_of, records

from nas.report.explain import advise
from nas.report.explain.explanation import Explanation
from nas.report.explain.rules import explain_front
from nas.study.evidence import Budgets
from nas.study.front.believed import Believed
from nas.study.network_belief import NetworkBelief
from nas.study.trials import Trials


@pytest.fixture(scope="module")
def explanation() -> Explanation:
    rows = records(60)
    belief = NetworkBelief.of(Trials.of(rows), Budgets("start", (1.0,), 1.0, 1.0))
    assert belief is not None
    return explain_front(replace(front_of(rows), believed=Believed({None: belief})))


def test_effects_are_those_of_the_rules_that_made_the_run(explanation: Explanation) -> None:
    assert explanation.contrasts is not None
    stages = {effect.name: effect for effect in explanation.effects_of("stage")}
    kinds = {effect.name: effect for effect in explanation.effects_of("kind")}
    assert stages["blocks.2"].told == "helps" and stages["blocks.1"].told != "helps"
    assert stages["blocks.2"].best > 0.9
    assert kinds["coord"].saved > kinds["se"].saved
    sites = {effect.name: effect for effect in explanation.effects_of("site")}
    late = [sites[site].saved for site in SITES[2:]]
    assert min(late) > max(sites[site].saved for site in SITES[:2])


def test_a_contrast_is_the_difference_of_gains(explanation: Explanation) -> None:
    contrasts = explanation.contrasts
    assert contrasts is not None
    mean, covariance = contrasts.saved([[(0, 0, 1)], [(0, 0, 1), (1, 0, 1)]])
    context = contrasts._contexts
    before, after = context.copy(), context.copy()
    before[:, 1], after[:, 1] = 0, 1
    gains = [contrasts.gain(codes).mean.mean() for codes in (before, after)]
    assert mean[0] == pytest.approx(gains[1] - gains[0])
    assert (np.linalg.eigvalsh(covariance) > -1e-12).all()


def test_advice_reads_the_belief(explanation: Explanation) -> None:
    advice = advise(explanation, 0.4)
    assert advice.saved_low < advice.saved < advice.saved_high
    assert advice.latency_ms <= 0.4
    late = [item.block for item in advice.architecture.blocks if "blocks.2" in item.site]
    assert late == ["coord"] * 3
    assert explanation.contrasts is not None
    (gain,) = explanation.contrasts.belief.gain([advice.architecture]).mean
    assert advice.saved == pytest.approx(gain)


def test_without_a_belief_the_rules_are_the_linear_model_s() -> None:
    rows = records(40)
    assert explain_front(front_of(rows)).contrasts is None
