from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.base.errors import SpecError
from nas.base.size import Size

sides = st.integers(1, 2000)


@given(sides, sides)
def test_a_size_is_read_as_it_is_written(height: int, width: int) -> None:
    size = Size(height, width)
    assert Size.of(size.written) == Size.of((height, width)) == Size.of(str(size)) == size
    assert Size.of(json.loads(json.dumps(size.written))) == size
    assert isinstance(size.written, int) == (height == width)


def test_height_comes_first() -> None:
    size = Size.of("224x160")
    assert (size.height, size.width, size.shape) == (224, 160, (3, 224, 160))
    assert (str(Size.of(224)), Size.of("224x224").written) == ("224x224", 224)
    assert size.pixels == 224 * 160 and Size.of("160x224") < Size.of(224)


@pytest.mark.parametrize(
    "given",
    ["", "224x", "x160", "0x10", "10x0", "-4", "1x2x3", "224 x 160", "224X160", "٣٢", 0, -1, 224.0,
     True, None, (224,), (224, 160.0), (0, 10), (True, 10), [224, 160]],
)  # fmt: skip
def test_what_is_no_size_is_refused(given: object) -> None:
    with pytest.raises(SpecError) as caught:
        Size.of(given)  # type: ignore[arg-type]
    assert str(caught.value) == (
        f'size {given!r}; allowed: whole pixels, or height x width, as in "224x160"'
    )
