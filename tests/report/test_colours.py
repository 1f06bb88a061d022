"""Text of pages can be read in both of their themes: contrast as WCAG 2.2 asks for it (AA)."""

from __future__ import annotations

import re

import pytest

from nas.report.document import asset

LEAST = 4.5
PAIRS = [
    ("ink", "page"), ("ink", "card"), ("ink", "tint"), ("soft", "page"), ("soft", "card"),
    ("soft", "tint"), ("front", "card"), ("placed", "card"), ("placed", "page"),
    ("warn", "warn-tint"), ("good", "good-tint"), ("page", "ink"),
]  # fmt: skip
STYLE = asset("report.css")


def colours(selector: str) -> dict[str, str]:
    """The colours that a theme sets, by name."""
    block = STYLE.split(f"{selector} {{", 1)[1].split("}", 1)[0]
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))


def luminance(colour: str) -> float:
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = [
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares
    ]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("selector", [":root", ':root[data-theme="dark"]'])
def test_text_stands_out_from_what_is_behind_it(selector: str) -> None:
    theme = colours(":root") | colours(selector)
    for text, behind in PAIRS:
        one, other = sorted((luminance(theme[text]), luminance(theme[behind])), reverse=True)
        assert (one + 0.05) / (other + 0.05) >= LEAST, (text, behind)


def test_the_system_s_dark_is_the_one_that_is_chosen() -> None:
    assert colours(':root[data-theme="auto"]') == colours(':root[data-theme="dark"]')
