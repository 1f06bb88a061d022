from __future__ import annotations

import json

import pytest

from nas.base.errors import SpecError
from nas.spec.proxy import Proxy
from nas.spec.resolution import parse_resolution


@pytest.mark.parametrize("text", ["224x", "0x10", "10x2000", "7", "1025", "1e2", "224,160"])
def test_what_is_typed_is_of_sizes_that_are_searched_with(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_resolution(text, "--resolution")
    assert str(caught.value) == (
        f"--resolution: found {text!r}; allowed: 8 to 1024 pixels, or height x width of so many, "
        'as in "224x160"'
    )
    assert parse_resolution("8x1024", "--resolution") == "8x1024"
    assert parse_resolution("64x64", "--resolution") == 64


def test_proxies_take_sizes_too() -> None:
    assert Proxy(resolution="48x32").resolution == "48x32"
    assert json.loads(Proxy(resolution=48).model_dump_json())["resolution"] == 48
