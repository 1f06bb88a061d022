"""`nas cost` as its users meet it."""

from __future__ import annotations

import json


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
