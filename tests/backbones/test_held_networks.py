from __future__ import annotations

import subprocess
import sys
import threading

import pytest
import torch
from torch import nn

from nas.backbones import check_backbone, check_scores, find_sites, has_width, plain_network
from nas.backbones.held_networks import check_same, hold, name_of
from nas.base.errors import SpecError
from nas.models.build import build
from nas.spec.architecture import Architecture, Insertion


def network(classes: int = 3, *, seed: int = 0, channels: int = 8) -> nn.Module:
    class Local(nn.Module):  # which nothing can import
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, channels, 3, 2, 1)
            self.block = nn.Sequential(
                nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
                nn.Conv2d(channels, channels, 1),
            )
            self.scale = lambda x: 2 * x
            self.head = nn.Linear(channels, classes)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.stem(x)
            return self.head(self.scale(x + self.block(x)).mean((2, 3)))

    torch.manual_seed(seed)
    return Local()


def test_a_network_is_made_again_with_its_weights_and_blocks() -> None:
    given = network()
    name = hold(given)
    assert name.startswith("object:Local-")
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(plain_network(name)(images), given.eval()(images))
    site = find_sites(name, 16)[0]
    grown = build(Architecture(name, 16, (Insertion.of(site.name, "se/r4"),)), start="identity")
    assert torch.allclose(grown(images), given(images), atol=1e-6)
    assert not has_width(name)


def test_what_is_held_stays_though_the_given_one_is_trained_on() -> None:
    given = network(seed=1)
    name = hold(given)
    before = plain_network(name).state_dict()["head.weight"].clone()
    with torch.no_grad():
        next(given.parameters()).zero_()
        given.get_submodule("head").weight.zero_()
    assert torch.equal(plain_network(name).state_dict()["head.weight"], before)
    assert name_of(given) != name


def test_a_name_says_what_a_network_is_and_not_where_it_lies() -> None:
    assert name_of(network()) == name_of(network())
    assert name_of(nn.DataParallel(network())) == name_of(network())
    assert name_of(network(seed=1)) != name_of(network())
    half = network().to(torch.bfloat16)
    assert name_of(half) != name_of(network())


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (network(seed=1), "its weights differ; load those of runs/a/given.safetensors"),
        (network(channels=16), "its structure differs"),
        (network(classes=4), "its structure differs"),
        (nn.Linear(2, 2), "its structure differs"),
    ],
)
def test_another_network_is_told_by_what_differs(other: nn.Module, said: str) -> None:
    wanted = name_of(network())
    check_same(network(), [wanted], "runs/a")
    with pytest.raises(SpecError, match=said):
        check_same(other, [wanted], "runs/a")


def test_a_run_by_name_takes_no_network() -> None:
    with pytest.raises(SpecError, match="searches mobilenetv2_050, which is found by its name"):
        check_same(network(), ["mobilenetv2_050"], "runs/a")


def test_another_process_says_what_it_needs() -> None:
    code = f"from nas.backbones import plain_network; plain_network({hold(network())!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    said = done.stderr.strip().splitlines()[-1]
    assert "was given in memory, and this process does not hold it" in said
    assert "nas.resume(run, backbone=network)" in said


def test_a_head_for_other_data_is_refused() -> None:
    name = hold(network(classes=3))
    check_scores(name, 16, None, 3)
    check_scores("mobilenetv2_050", 16, None, 3)
    with pytest.raises(SpecError, match="a tensor 2x3 .* one score for each class"):
        check_scores(name, 16, None, 10)


def test_what_cannot_be_copied_or_has_no_weights_is_one_line() -> None:
    locked = network()
    locked.lock = threading.Lock()  # type: ignore[assignment]
    with pytest.raises(SpecError, match="cannot be copied .* copy.deepcopy can copy") as caught:
        hold(locked)
    assert "\n" not in str(caught.value)
    with pytest.raises(SpecError, match="layers of it have no weights yet"):
        hold(nn.Sequential(nn.LazyConv2d(8, 3)))


def test_other_names_of_objects_are_unknown() -> None:
    with pytest.raises(SpecError, match="was given in memory"):
        check_backbone("object:Net-0-1")
