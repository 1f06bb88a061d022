"""Networks that are no classifiers are refused when their sites are looked for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from torch import Tensor, nn

from nas.backbones import find_sites
from nas.base.errors import SpecError

Gives = Callable[[Tensor, nn.Module], object]


class Network(nn.Module):
    """A residual block with a depthwise convolution, and what it gives."""

    def __init__(self, classes: int, gives: Gives) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(3, 3, 3, 1, 1, groups=3), nn.Conv2d(3, 3, 1))
        self.head = nn.Conv2d(3, classes, 1)
        self.gives = gives

    def forward(self, images: Tensor) -> object:
        return self.gives(images + self.block(images), self.head)


def _scores(maps: Tensor, head: nn.Module) -> Tensor:
    scores: Tensor = head(maps).mean((2, 3))
    return scores


def _fails(maps: Tensor, head: nn.Module) -> object:
    raise AttributeError


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Gives], str]:
    def make(name: str, gives: Gives) -> str:
        module = ModuleType(f"networks_of_{name}")
        module.make = lambda num_classes: Network(num_classes, gives)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return f"{module.__name__}:make"

    return make


def test_a_classifier_has_sites(own: Callable[[str, Gives], str]) -> None:
    assert [site.name for site in find_sites(own("scores", _scores), 16)]


@pytest.mark.parametrize(
    ("name", "gives", "told"),
    [
        ("maps", lambda maps, head: head(maps), "a tensor 2x10x16x16 for 2 images and 10 classes"),
        ("dict", lambda maps, head: {"out": head(maps)}, "a tensor 2x10x16x16 for 2 images"),
        ("keys", lambda maps, head: {"mine": _scores(maps, head)}, "a dict of 'mine'"),
        ("pair", lambda maps, head: (_scores(maps, head), maps), "a tuple of 2"),
        ("few", lambda maps, head: _scores(maps, head)[:, :3], "a tensor 2x3"),
        ("one", lambda maps, head: _scores(maps, head).mean(0), "a tensor 10 for"),
        ("none", lambda maps, head: None, "a NoneType"),
        ("error", _fails, "cannot read 16x16 images: AttributeError"),
    ],
)
def test_others_are_refused_in_one_line(
    own: Callable[[str, Gives], str], name: str, gives: Gives, told: str
) -> None:
    with pytest.raises(SpecError) as caught:
        find_sites(own(name, gives), 16)
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_a_search_in_a_segmentation_network_leaves_no_run(
    own: Callable[[str, Gives], str], tmp_path: Path
) -> None:
    """It passed `nas space`, and ended in a traceback when the plain network was trained."""
    from nas.runs.start import search
    from nas.spec.space import SearchSpace

    space = SearchSpace(
        name="maps",
        backbones=[own("segmentation", lambda maps, head: head(maps))],
        resolutions=[16],
        blocks={"se": {}},
    )
    with pytest.raises(SpecError, match="wrap it in a module whose forward returns its logits"):
        search(space, None, "digits", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_is_no_fault_of_the_batch_is_not_called_one(
    own: Callable[[str, Gives], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> object:
        raise ValueError("no such place")

    monkeypatch.setattr("nas.backbones.walk", fails)
    with pytest.raises(SpecError, match="cannot read 16x16 images: no such place$"):
        find_sites(own("unwalked", _scores), 16)
