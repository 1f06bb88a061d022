from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.base.errors import SpecError
from nas.base.own_name import OwnName

VALUES = (
    st.integers()
    | st.booleans()
    | st.none()
    | st.text()
    | st.floats(allow_nan=False).filter(lambda value: abs(value) != float("inf"))
)


@pytest.mark.parametrize(
    ("text", "place", "name", "is_file"),
    [
        ("nets:tiny", "nets", "tiny", False),
        ("package.module:Net", "package.module", "Net", False),
        ("path/to/file.py:tiny", "path/to/file.py", "tiny", True),
        ("my nets (old)/my-nets.py:tiny", "my nets (old)/my-nets.py", "tiny", True),
        ("/a@2/netze-ü.py:groß", "/a@2/netze-ü.py", "groß", True),
        ("C:\\nets\\mine.py:tiny", "C:\\nets\\mine.py", "tiny", True),
        ('nets:tiny(at="b.py:f(1)")', "nets", "tiny", False),
    ],
)
def test_a_name_has_a_place_and_a_function(text: str, place: str, name: str, is_file: bool) -> None:
    own = OwnName.parse(text)
    assert own is not None
    assert (own.place, own.name, own.is_file) == (place, name, is_file)
    assert str(own) == text


@pytest.mark.parametrize(
    "text",
    ["mobilenetv2_100", "torchvision/mobilenet_v2", "object:Net-0a-1b", "my nets:f", "nets:", ":f"],
)
def test_other_names_are_none(text: str) -> None:
    assert OwnName.parse(text) is None


def test_arguments_have_one_form() -> None:
    own = OwnName.parse('nets:tiny( width = 0.50 , act="relu", deep=true,more=null)')
    assert own is not None
    assert str(own) == 'nets:tiny(act="relu",deep=true,more=null,width=0.5)'
    assert own.bare == "nets:tiny"
    assert str(OwnName.parse("nets:tiny()")) == "nets:tiny"


@given(st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True), VALUES, max_size=4))
def test_what_was_written_is_read(arguments: dict[str, object]) -> None:
    own = OwnName("dir/nets.py", "tiny").called(arguments)
    assert OwnName.parse(str(own)) == own
    assert "\n" not in str(own)


@pytest.mark.parametrize(
    "inside",
    ["width", "width=", "width=x", "=1", "a=1 b=2", "a=1,a=1", "a=NaN"]
    + [pytest.param("a=" + "[" * 100_000, id="deep")],
)
def test_arguments_that_cannot_be_read_are_refused(inside: str) -> None:
    with pytest.raises(SpecError, match="as JSON writes|allowed: a number") as caught:
        OwnName.parse(f"nets:tiny({inside})")
    assert "\n" not in str(caught.value)


def test_a_list_is_no_argument_and_none_is_given_twice() -> None:
    with pytest.raises(SpecError, match=r"argument width: found \[1\]; allowed: a number, a text"):
        OwnName("nets", "tiny").called({"width": [1]})
    with pytest.raises(SpecError, match="argument width is given twice"):
        OwnName("nets", "tiny", (("width", 1),)).called({"width": 2})


def test_a_file_is_found_from_anywhere_and_its_folder_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = OwnName.parse("sub/../nets.py:tiny(width=2)")
    assert own is not None
    assert str(own.absolute()) == f"{tmp_path}/nets.py:tiny(width=2)"
    assert own.absolute().brief == "nets.py:tiny(width=2)"
    module = OwnName("nets", "tiny")
    assert module.absolute() == module and module.brief == "nets:tiny"
