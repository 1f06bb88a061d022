from __future__ import annotations

from nas.base.natural_order import natural_key


def test_numbers_count_as_numbers() -> None:
    names = ["blocks.10.0/x", "blocks.2.1/x", "blocks.2.0/x", "se/r24", "se/r8", "conv"]
    assert sorted(names, key=natural_key) == [
        "blocks.2.0/x", "blocks.2.1/x", "blocks.10.0/x", "conv", "se/r8", "se/r24",
    ]  # fmt: skip


def test_signs_that_are_digits_and_no_numbers_are_texts() -> None:
    assert sorted(["1\u00b2", "10", "2", "\u00b2"], key=natural_key) == [
        "1\u00b2", "2", "10", "\u00b2",
    ]  # fmt: skip
