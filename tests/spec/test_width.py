from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.base.errors import SpecError
from nas.spec.architecture import Architecture
from nas.spec.width import is_widened, rival_name, split_width, with_width


def test_a_name_without_a_width_is_the_backbone_as_it_comes() -> None:
    assert split_width("mobilenetv2_100") == ("mobilenetv2_100", 1.0)
    assert split_width("package.module:function") == ("package.module:function", 1.0)
    assert with_width("mobilenetv2_100", 1.0) == "mobilenetv2_100"


def test_widths_multiply() -> None:
    assert with_width("mobilenetv2_100", 1.25) == "mobilenetv2_100@1.25"
    assert with_width("mobilenetv2_100@1.25", 1.2) == "mobilenetv2_100@1.5"
    assert with_width("mobilenetv2_100@1.25", 0.8) == "mobilenetv2_100"


@given(st.integers(min_value=10, max_value=1000))
def test_a_width_is_read_as_it_was_written(hundredths: int) -> None:
    name = with_width("net", hundredths / 100)
    assert split_width(name) == ("net", pytest.approx(hundredths / 100))
    assert with_width(name, 1.0) == name


@pytest.mark.parametrize("text", ["", "wide", "1.250", "0", "-1", "nan", "inf", "1e9", "1.2@1.3"])
def test_a_width_that_is_none_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(SpecError, match="allowed: a number from 0.1 to 10 in its shortest form"):
        split_width(f"net@{text}")


def test_a_rival_is_neither_the_plain_network_nor_one_placed_by_hand() -> None:
    assert is_widened(rival_name(1.25)) and rival_name(1.25) == "plain x1.25"
    for name in (None, "plain", "emptied", "coord/r32", "plain@net-224"):
        assert not is_widened(name)


def test_architectures_without_a_width_keep_their_digests() -> None:
    # As of files that earlier versions have written.
    assert Architecture("mobilenetv2_100").digest == "cfb3d6502730ff31"
    assert Architecture("mobilenetv2_100@1.25").digest != Architecture("mobilenetv2_100").digest
