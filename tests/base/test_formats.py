from __future__ import annotations

import math

import pytest

from nas.base.formats import (
    format_bytes,
    format_count,
    format_duration,
    format_interval,
    format_mean_percent,
    format_milliseconds,
    format_probability,
    one_line,
)


@pytest.mark.parametrize(
    ("number", "text"),
    [(7, "7"), (999, "999"), (412_300, "412k"), (3_504_872, "3.50M"), (2e9, "2.00G")]
    + [(999_499, "999k"), (999_500, "1.00M"), (999_990_000, "999.99M"), (999_996_000, "1.00G")],
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


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (90, "90 s"), (119, "119 s"), (120, "2 min"), (150, "2.5 min"), (720, "12 min"),
     (7200, "2 h"), (12_600, "3.5 h"), (260_000, "3 days"), (2e6, "23 days")],
)  # fmt: skip
def test_durations_have_the_largest_unit_of_which_there_are_two(seconds: float, said: str) -> None:
    assert format_duration(seconds) == said


def test_sizes_on_disk_are_rounded_up() -> None:
    assert [format_bytes(number) for number in (1, 1e6, 7.2e6, 1.25e9, 3e12)] == [
        "1 MB", "1 MB", "8 MB", "1.2 GB", "3.0 TB",
    ]  # fmt: skip
    assert [format_bytes(number) for number in (999e6, 999.1e6, 999.94e9, 999.96e9)] == [
        "999 MB", "1.0 GB", "999.9 GB", "1.0 TB",
    ]  # fmt: skip
