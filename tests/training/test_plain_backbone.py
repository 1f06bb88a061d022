"""The trained plain network: trained once for all runs, also one of a user's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from nas.data import Dataset, cached_data, open_data
from nas.models.build import build, uniform
from nas.spec.architecture import Architecture
from nas.spec.runner import Proxy
from nas.spec.task import Task
from nas.training.checkpoint import load_weights
from nas.training.plain_backbone import fingerprint, prepare_backbone

CPU = torch.device("cpu")
PROXY = Proxy.model_validate({"batch_size": 16, "backbone": {"epochs": 0.02}})
PUBLISHED = uniform("mobilenetv2_035", "se", resolution=32, total_stride=16).plain
OWN = """
import timm

def network(num_classes):
    return timm.create_model("{name}", num_classes=num_classes, {more})
"""


@pytest.fixture(scope="module")
def images() -> tuple[Dataset, str]:
    folder = cached_data("digits", 32, validation=0.2, seed=0)
    return open_data(folder), folder.name


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A seed for each training that there was."""
    from nas.training import plain_backbone

    real, found = plain_backbone._train, []

    def noted(*given: object) -> None:
        found.append(given[5])
        real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(plain_backbone, "_train", noted)
    return found  # type: ignore[return-value]


@pytest.fixture
def own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Architecture:
    name = f"own_backbone_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(OWN.format(name="mobilenetv2_035", more="drop_rate=0.1"))
    monkeypatch.syspath_prepend(tmp_path)
    return Architecture(f"{name}:network", 32, (), total_stride=16)


@pytest.mark.parametrize("whose", ["published", "own"])
def test_it_is_trained_once_for_all_runs(
    whose: str,
    own: Architecture,
    images: tuple[Dataset, str],
    trained: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    plain = PUBLISHED if whose == "published" else own

    def prepared(name: str, proxy: Proxy = PROXY, seed: int = 0) -> dict[str, torch.Tensor]:
        path = tmp_path / name
        prepare_backbone(
            plain, *images, Task(outputs=10), proxy, path, seed=seed, threads=1, device=CPU
        )
        return load_weights(path)

    first, again = prepared("first"), prepared("again")
    assert trained == [0]
    assert all(torch.equal(first[name], value) for name, value in again.items())
    prepared("batch", PROXY.model_copy(update={"batch_size": 8}))
    prepared("seed", seed=1)
    assert trained == [0, 0, 1]


def test_one_with_a_loss_of_its_own_is_trained_for_each_run(
    images: tuple[Dataset, str],
    trained: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    plain = Architecture("support.own_losses:Classifier", 32)
    for name in ("first", "again"):  # another loss would lead elsewhere, and is not seen
        path = tmp_path / name
        prepare_backbone(
            plain, *images, Task(outputs=10), PROXY, path, seed=0, threads=1, device=CPU
        )
    assert trained == [0, 0]


@pytest.mark.parametrize(
    "change",
    [
        lambda network: setattr(network.conv_head, "stride", (2, 2)),
        lambda network: setattr(network, "drop_rate", 0.2),
        lambda network: setattr(network.bn2, "act", nn.ReLU()),
        lambda network: network.conv_stem.weight.data.add_(1e-3),
    ],
    ids=["stride", "dropout", "activation", "weights"],
)
def test_a_network_that_was_changed_is_another(own: Architecture, change: object) -> None:
    def made() -> nn.Module:
        return build(own, num_classes=10, seed=0)

    same, other = fingerprint(made(), 32), made()
    assert same is not None and same == fingerprint(made(), 32)
    change(other)  # type: ignore[operator]
    assert fingerprint(other, 32) not in {None, same}


def test_of_one_that_branches_on_what_it_sees_nothing_is_known() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 3, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.layer(x)
            return found if float(found.sum()) > 0 else -found

    network = Branching().eval()
    assert fingerprint(network, 8) is None
    assert not network.training


def test_a_network_of_one_shape_alone_is_told_by_images_of_it() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(2 * 6 * 4, 5))
    assert fingerprint(network, "8x6") is not None
    assert fingerprint(network, 8) is None
