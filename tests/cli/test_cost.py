"""`nas cost` as its users meet it."""

from __future__ import annotations

import json

import pytest


def test_cost_of_the_paper(nas) -> None:  # type: ignore[no-untyped-def]
    arguments = ["--backbone", "mobilenetv2_100", "--uniform", "coord/r32"]
    arguments += ["--exclude", "blocks.0.*"]
    found = json.loads(nas("cost", *arguments, "--json").out)
    assert found["params"] == 3_950_648
    assert found["macs"] == 306_666_368
    assert found["insertions"] == 16
    assert "3.95M" in nas("cost", *arguments).out


def test_cost_at_another_position(nas) -> None:  # type: ignore[no-untyped-def]
    arguments = ["cost", "--backbone", "mobilenetv2_035", "--uniform", "se"]
    found = json.loads(nas(*arguments, "--position", "after_residual", "--json").out)
    assert found["insertions"] == 10
    wrong = nas(*arguments, "--position", "before")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
    assert "allowed: after_depthwise" in wrong.err
    nowhere = nas(*arguments, "--position", "after_first_depthwise")
    assert nowhere.code == 2
    assert "it has: after_depthwise, after_projection, after_residual" in nowhere.err


def test_cost_of_images_that_are_not_square(nas) -> None:  # type: ignore[no-untyped-def]
    arguments = ["cost", "--backbone", "mobilenetv2_035", "--uniform", "coord"]
    said = nas(*arguments, "--resolution", "224x160").out
    assert "at 17 sites, 224x160" in said
    square, tall = (
        json.loads(nas(*arguments, "--resolution", size, "--json").out) for size in (224, "224x160")
    )
    assert tall["params"] == square["params"] and tall["macs"] < square["macs"]
    assert (
        "At 224x160, 1000 classes"
        in nas("backbones", "mobilenetv2_035", "--resolution", "224x160").out
    )


@pytest.mark.parametrize("size", ["224x", "0x10", "10x2000", "224,160", "224.0", "7"])
@pytest.mark.parametrize(
    "command",
    [("cost", "--backbone", "mobilenetv2_035"), ("backbones",), ("supernet", "space.yaml")],
    ids=lambda command: command[0],
)
def test_what_is_no_size_is_one_line(nas, command: tuple[str, ...], size: str) -> None:  # type: ignore[no-untyped-def]
    wrong = nas(*command, "--resolution", size)
    assert (wrong.code, wrong.err) == (
        2,
        f"error: --resolution: found {size!r}; allowed: 8 to 1024 pixels, or height x width of so "
        'many, as in "224x160"\n',
    )


def test_cost_of_a_dilated_end(nas) -> None:  # type: ignore[no-untyped-def]
    arguments = ["cost", "--backbone", "mobilenetv2_035", "--uniform", "se", "--resolution", 64]
    usual = json.loads(nas(*arguments, "--json").out)
    dilated = json.loads(nas(*arguments, "--output-stride", 16, "--json").out)
    assert dilated["params"] == usual["params"] and dilated["macs"] > usual["macs"]
    wrong = nas(*arguments, "--output-stride", 4)
    assert (wrong.code, wrong.err) == (2, "error: output stride 4; allowed: 8, 16, 32\n")
