"""Wrong arguments of the Python interface: one line of this program's own, and not Python's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.samples import ROOT

import nas

RESULT = ROOT / "results" / "mobilenetv2-cifar" / "cifar10-scratch" / "epyc-onnxruntime"

NO_ARCHITECTURE: tuple[tuple[str, Any], ...] = (
    ("cost", "mobilenetv2_100"),
    ("build", None),
    ("draw", 3),
)


@pytest.mark.parametrize(("name", "given"), NO_ARCHITECTURE)
def test_what_is_no_architecture_is_told_with_how_to_make_one(name: str, given: object) -> None:
    with pytest.raises(nas.SpecError, match="needed: an Architecture, as nas.uniform") as caught:
        getattr(nas, name)(given)
    assert repr(given) in str(caught.value) and "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def run() -> nas.Run:
    return nas.open_run(RESULT)


@pytest.fixture(scope="module")
def front(run: nas.Run) -> nas.Front:
    return run.front("accuracy, latency_ms")  # as the command line takes them


def test_objectives_may_be_one_text(front: nas.Front) -> None:
    assert [item.name for item in front.objectives] == ["accuracy", "latency_ms"]


@pytest.mark.parametrize("given", ["fast", float("nan"), None])
def test_a_budget_that_is_no_number_is_one_line(front: nas.Front, given: Any) -> None:
    with pytest.raises(nas.SpecError, match="^latency_ms: found .*; allowed: a number") as caught:
        front.at(latency_ms=given)
    assert repr(given) in str(caught.value) and "\n" not in str(caught.value)


QUESTIONS: tuple[tuple[Callable[[Any], object], str], ...] = (
    (lambda run: run.row("x"), "has no trial x; it has 0 to 37"),
    (lambda run: run.network(1.5), "has no trial 1.5; it has 0 to 37"),
    (lambda run: run.front("beauty"), "unknown objective 'beauty'; known: "),
)


@pytest.mark.parametrize(("ask", "said"), QUESTIONS, ids=[said for _, said in QUESTIONS])
def test_questions_of_the_wrong_kind_are_one_line(
    run: nas.Run, ask: Callable[[Any], object], said: str
) -> None:
    with pytest.raises(nas.SpecError) as caught:
        ask(run)
    assert said in str(caught.value) and "\n" not in str(caught.value)
