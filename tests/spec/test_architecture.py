from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.base.errors import SpecError
from nas.base.size import Size
from nas.spec.architecture import Architecture, Insertion, block_label, parse_label

values = st.one_of(
    st.integers(1, 512),
    st.booleans(),
    st.sampled_from(["avg", "max"]),
    st.floats(0.001, 1, allow_nan=False),
)
options = st.dictionaries(
    st.sampled_from(["reduction", "kernel_size", "pool", "bias", "ratio"]), values, max_size=3
).map(
    lambda found: {
        name: (abs(hash(value)) % 63 + 1 if name in {"reduction", "kernel_size"} else value)
        for name, value in found.items()
    }
)
insertions = st.lists(
    st.builds(
        lambda site, block, chosen: Insertion(site, block, tuple(chosen.items())),
        st.from_regex(r"blocks\.[0-9]\.[0-9]/after_depthwise", fullmatch=True),
        st.sampled_from(["se", "coord", "none"]),
        options,
    ),
    max_size=5,
    unique_by=lambda item: item.site,
)


@given(options)
def test_labels_round_trip(chosen: dict[str, int | float | str | bool]) -> None:
    assert parse_label(block_label("coord", chosen)) == ("coord", chosen)


def test_labels_read_well() -> None:
    assert block_label("cbam", {"kernel_size": 7, "reduction": 24}) == "cbam/r24/k7"
    assert block_label("eca", {}) == "eca"


@pytest.mark.parametrize("label", ["coord/", "coord/x32", "/r32", "coord/32"])
def test_wrong_label_is_refused(label: str) -> None:
    with pytest.raises(SpecError, match="coord/r32"):
        parse_label(label)


@given(insertions)
def test_json_round_trips_and_keeps_the_digest(chosen: list[Insertion]) -> None:
    architecture = Architecture("net", 32, tuple(chosen), 16)
    again = Architecture.from_json(architecture.to_json())
    assert again == architecture
    assert again.digest == architecture.digest


@given(insertions, st.randoms())
def test_order_of_insertions_does_not_matter(chosen: list[Insertion], random: object) -> None:
    shuffled = list(chosen)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert Architecture("n", 32, tuple(chosen)) == Architecture("n", 32, tuple(shuffled))


def test_digest_is_a_promise_across_versions() -> None:
    architecture = Architecture(
        "mobilenetv2_100", 224, (Insertion.of("blocks.1.0/after_depthwise", "coord/r32"),)
    )
    assert architecture.digest == "892d2c3a4238351e"
    assert architecture.plain == Architecture("mobilenetv2_100", 224)


def test_two_insertions_at_one_site_are_refused() -> None:
    with pytest.raises(SpecError, match="two insertions"):
        Architecture("net", 32, (Insertion("a", "se"), Insertion("a", "eca")))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"backbone": 1}', "null"])
def test_json_of_something_else_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="not an architecture"):
        Architecture.from_json(text)


def test_square_architectures_keep_their_digests() -> None:
    # As they were when there were squares alone.
    assert Architecture("mobilenetv2_100").digest == "cfb3d6502730ff31"
    assert Architecture("mobilenetv2_100", 32, total_stride=16).digest == "723975992aa97d56"
    assert Architecture("net", "96x96") == Architecture("net", (96, 96)) == Architecture("net", 96)


def test_an_architecture_tells_height_from_width() -> None:
    tall, wide = Architecture("net", "96x64"), Architecture("net", "64x96")
    assert tall.digest != wide.digest and tall.size == Size(96, 64)
    assert tall.to_dict()["resolution"] == "96x64"
    assert Architecture.from_json(tall.to_json()) == tall
    with pytest.raises(SpecError, match="size \\[96, 64\\]"):
        Architecture.from_json(tall.to_json().replace('"96x64"', "[96,64]"))


def test_an_output_stride_is_in_the_digest_only_where_it_is_set() -> None:
    usual, dilated = Architecture("net", 32), Architecture("net", 32, output_stride=16)
    assert "output_stride" not in usual.to_json()
    assert usual.digest != dilated.digest != Architecture("net", 32, total_stride=16).digest
    assert Architecture.from_json(dilated.to_json()) == dilated
    assert dilated.plain.output_stride == 16
