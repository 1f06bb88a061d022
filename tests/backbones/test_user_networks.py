from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from nas.backbones import find_sites, plain_network, widened, widths
from nas.base.errors import SpecError
from nas.models.build import build, uniform
from nas.spec.architecture import Architecture, Insertion

CODE = """
import functools
from torch import nn


class Tiny(nn.Module):
    def __init__(self, num_classes, width=1.0, kernel=3):
        super().__init__()
        channels = int(16 * width)
        self.stem = nn.Conv2d(3, channels, kernel, 2, kernel // 2)
        self.block = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
            nn.Conv2d(channels, channels, 1),
        )
        self.head = nn.Linear(channels, num_classes)

    def forward(self, x):
        x = self.stem(x)
        return self.head((x + self.block(x)).mean((2, 3)))


half = functools.partial(Tiny, width=0.5)
by_lambda = lambda num_classes: Tiny(num_classes, 2)
made = Tiny(10)


def number(num_classes): return 3
def fails(num_classes): raise TypeError("a fault inside")
def none(): return made
def too_narrow(num_classes): return Tiny(num_classes, 0.01)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "own nets" / "my-nets.py"
    path.parent.mkdir()
    path.write_text(CODE)
    return path


def channels(name: str) -> int:
    network = plain_network(name, num_classes=5)
    head = network.get_submodule("head")
    assert isinstance(head, nn.Linear) and head.out_features == 5
    return head.in_features


def test_functions_classes_partials_and_lambdas_make_networks(file: Path) -> None:
    assert channels(f"{file}:Tiny") == 16
    assert channels(f"{file}:Tiny(width=0.5)") == 8
    assert channels(f"{file}:half") == 8
    assert channels(f"{file}:half(width=3)") == 48
    assert channels(f"{file}:by_lambda") == 32


def test_a_width_multiplies_the_argument_that_was_given(file: Path) -> None:
    assert channels(f"{file}:Tiny(width=0.5)@2") == 16
    assert widened(f"{file}:Tiny(width=0.5)", 1.5) == f"{file}:Tiny(width=0.5)@1.5"
    assert widths(f"{file}:by_lambda") == ()


def test_arguments_are_part_of_what_an_architecture_is(file: Path) -> None:
    plain, half = (Architecture(f"{file}:Tiny{more}", 32) for more in ("", "(width=0.5)"))
    assert plain.digest != half.digest
    assert Architecture.from_json(half.to_json()) == half
    # As an earlier version has written it.
    assert Architecture("my_networks:tiny", 32).digest == "c0ac71f60f61db9e"
    site = find_sites(half.backbone, 32)[0]
    grown = Architecture(half.backbone, 32, (Insertion.of(site.name, "se/r4"),))
    assert (site.channels, len(list(build(grown, num_classes=3).parameters()))) == (8, 12)


def test_a_network_placed_by_hand_is_found_from_anywhere(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    assert uniform("my-nets.py:Tiny", "eca", resolution=32).backbone == f"{file}:Tiny"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("number", "returned int; a torch.nn.Module is allowed"),
        ("fails", "called with num_classes=: TypeError: a fault inside (FILE, line 28)"),
        ("none", "unexpected keyword argument 'num_classes'; it takes: nothing"),
        ("made", "made is a network; name a function or a class that makes one"),
        ("Tiny(num_classes=5)", "num_classes is the data's; leave it out"),
        ("Tiny(depth=5)", "it takes: num_classes, width=1.0, kernel=3"),
        ('Tiny(width="wide")', "called with num_classes=, width=: ValueError: invalid literal"),
        ("too_narrow", "called with num_classes=: "),
    ],
)
def test_what_makes_no_network_is_one_line(file: Path, name: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        find_sites(f"{file}:{name}", 32)
    assert said.replace("FILE", str(file)) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_loads_its_weights_itself_is_told_how_to_give_them(tmp_path: Path) -> None:
    """Sites are looked for with another number of classes, which ended in a traceback."""
    weights = tmp_path / "own.pth"
    torch.save(timm.create_model("mobilenetv2_035", num_classes=7).state_dict(), weights)
    path = tmp_path / "loading.py"
    path.write_text(
        "import timm, torch\n"
        "def own(num_classes):\n"
        "    network = timm.create_model('mobilenetv2_035', num_classes=num_classes)\n"
        f"    network.load_state_dict(torch.load({str(weights)!r}))\n"
        "    return network\n"
    )
    with pytest.raises(SpecError) as caught:
        find_sites(f"{path}:own", 32)
    message = str(caught.value)
    assert "size mismatch for classifier.weight" in message and "\n" not in message
    assert message.endswith("let it make the network alone, and give their file with --weights")
