"""What was typed behind options."""

from __future__ import annotations

import pytest

from nas.base.errors import SpecError
from nas.cli.parsing import (
    is_share,
    parse_focus,
    parse_limit,
    parse_names,
    parse_numbers,
    parse_validation,
    with_option,
)
from nas.spec.runner import load_runner


def test_what_is_typed_becomes_values() -> None:
    assert parse_numbers("latency_ms=8, params=3e6", "--at") == {"latency_ms": 8, "params": 3e6}
    assert parse_limit("<=", " latency_ms = 8") == {"latency_ms": ("<=", 8)}
    assert parse_names("accuracy, latency_ms") == ["accuracy", "latency_ms"]
    assert parse_names(None) is None
    assert parse_focus(["latency_ms=5..10", "loss = 0.1 .. 2"]) == (
        "{latency_ms: [5, 10], loss: [0.1, 2]}"
    )


@pytest.mark.parametrize("text", ["latency", "latency_ms=", "=8", "latency_ms=nan", "a=1,", ""])
def test_wrong_numbers_name_their_option(text: str) -> None:
    with pytest.raises(SpecError, match="^--at .*: write name=number"):
        parse_numbers(text, "--at")


@pytest.mark.parametrize("path", ["held out", "a: b", "*all", "#1", "ä/日", "0.3/x", "~/val"])
def test_a_folder_for_validation_is_taken_as_it_is_typed(path: str) -> None:
    runner = with_option(load_runner(), "--validation", f"validation={parse_validation(path)}")
    assert runner.validation == path


def test_a_share_for_validation_is_a_number() -> None:
    assert is_share("0.3") and not is_share("03-val") and not is_share("nan")
    runner = with_option(load_runner(), "--validation", f"validation={parse_validation('0.3')}")
    assert runner.validation == 0.3
    with pytest.raises(SpecError, match="^--validation: found 3.0; allowed: less than 1"):
        with_option(load_runner(), "--validation", f"validation={parse_validation('3.0')}")


def test_faults_are_said_of_the_option_that_was_typed() -> None:
    with pytest.raises(SpecError, match="^--trials: "):
        with_option(load_runner(), "--trials", "search.trials=many")
    with pytest.raises(SpecError, match="^--focus: .*sampler 'gp' cannot"):
        with_option(
            load_runner(None, ("search.sampler=gp",)), "--focus", "search.focus={latency_ms: [1,2]}"
        )


def test_a_fault_of_another_key_is_not_the_options() -> None:
    broken = load_runner().model_copy(update={"storage": "nowhere", "lease": 2.0})
    with pytest.raises(SpecError, match="^--set: storage: unknown storage"):
        with_option(broken, "--trials", "search.trials=3")
