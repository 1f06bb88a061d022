from __future__ import annotations

import math

import pytest

from nas.base.formats import (
    format_count,
    format_interval,
    format_mean_percent,
    format_milliseconds,
    format_probability,
    one_line,
)


@pytest.mark.parametrize(
    ("number", "text"),
    [(7, "7"), (999, "999"), (412_300, "412k"), (3_504_872, "3.50M"), (2e9, "2.00G")],
)
def test_counts_have_a_unit(number: float, text: str) -> None:
    assert format_count(number) == text
    assert format_count(number, space=" ").replace(" ", "") == text
    assert (" " in format_count(number, space=" ")) is (number >= 1000)


@pytest.mark.parametrize(("value", "text"), [(0.0571, "0.057"), (9.9994, "9.999"), (12.3, "12.30")])
def test_short_latencies_have_a_digit_more(value: float, text: str) -> None:
    assert format_milliseconds(value) == text


def test_what_is_not_known_is_left_out() -> None:
    assert format_mean_percent(0.712, 0.0031) == "71.20 ± 0.31"
    assert format_mean_percent(0.712, math.nan) == "71.20"
    assert format_mean_percent(math.nan, math.nan) == ""


def test_intervals_have_signs_and_say_what_is_not_known() -> None:
    assert format_interval(0.454, -0.29, 0.61) == "+0.45 [-0.29, +0.61]"
    assert format_interval(0.0, 0.0, 0.0) == "0"
    assert format_interval(math.nan, math.nan, math.nan) == "?"


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "> 99 %"), (0.93, "93 %"), (0.0, "< 1 %"), (math.nan, "?"), (0.995, "> 99 %")],
)
def test_probabilities_are_never_certain(value: float, text: str) -> None:
    assert format_probability(value) == text


def test_texts_from_elsewhere_are_one_line() -> None:
    assert one_line("a phone\n\x1b[31mred\u2028ä") == "a phone  [31mred ä"
