from __future__ import annotations

from pathlib import Path

import pytest
from support.searches import space

from nas.base.errors import SpecError
from nas.base.files import parse
from nas.spec.own_backbone import absolute, brief, is_held, with_arguments
from nas.spec.space import SearchSpace, with_backbones
from nas.spec.width import split_width


def test_arguments_become_part_of_the_names_beside_a_width() -> None:
    names = with_arguments(["nets:tiny", "a b/nets.py:Net(deep=true)@1.25"], {"width": 0.5})
    assert names == ["nets:tiny(width=0.5)", "a b/nets.py:Net(deep=true,width=0.5)@1.25"]
    assert split_width(names[1]) == ("a b/nets.py:Net(deep=true,width=0.5)", 1.25)
    assert with_arguments(["mobilenetv2_100@1.25"], {}) == ["mobilenetv2_100@1.25"]


def test_a_sign_in_a_path_or_a_text_is_no_width() -> None:
    for name in ("/a@2/nets.py:tiny", 'nets:tiny(tag="a@2")', "a@b.py:tiny"):
        assert split_width(name) == (name, 1.0)
        assert split_width(f"{name}@2") == (name, 2.0)


def test_libraries_networks_take_no_arguments() -> None:
    with pytest.raises(SpecError, match="'mobilenetv2_100' takes no arguments .width.: they are"):
        with_arguments(["mobilenetv2_100"], {"width": 0.5})


def test_a_file_is_named_from_the_root_and_told_without_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = absolute("nets.py:tiny(width=2)@1.5")
    assert whole == f"{tmp_path}/nets.py:tiny(width=2)@1.5"
    assert brief(whole) == "nets.py:tiny(width=2)@1.5"
    for other in ("mobilenetv2_100@1.25", "nets:tiny", "object:Net-0a-1b"):
        assert absolute(other) == brief(other) == other
    assert is_held("object:Net-0a-1b") and not is_held("objects:net")


def test_a_space_keeps_arguments_in_its_names_alone() -> None:
    asked = space(backbones=["nets:tiny", "nets:wide"], backbone_args={"width": 0.5})
    assert asked.backbones == ["nets:tiny(width=0.5)", "nets:wide(width=0.5)"]
    assert "backbone_args" not in asked.model_dump()
    assert SearchSpace.model_validate(asked.model_dump()) == asked
    other = with_backbones(asked, ["nets:other"], {"act": "relu"})
    assert other.backbones == ['nets:other(act="relu")']
    assert with_backbones(space(backbones=["nets:tiny"]), [], {"width": 2}).backbones == [
        "nets:tiny(width=2)"
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"backbone_args": {"width": 0.5}}, "'mobilenetv2_035' takes no arguments"),
        ({"backbone_args": [1]}, r"backbone_args: found \[1\]; allowed: {argument: value}"),
        ({"backbones": ["n:t"], "backbone_args": {"w": [1]}}, r"argument w: found \[1\]"),
        ({"backbones": ["n:t(w=1)"], "backbone_args": {"w": 2}}, "w is given twice"),
        ({"backbones": ["n:t(w=1)", "n:t(w= 1)"]}, "names something twice"),
    ],
)
def test_what_a_space_cannot_use_is_one_line(changes: dict[str, object], said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        parse(SearchSpace, space().model_dump() | changes, "space.yaml")
    assert "\n" not in str(caught.value)
