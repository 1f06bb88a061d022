from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from nas.base.errors import MeasurementError, SpecError
from nas.data import Dataset, Split
from nas.models.build import build, uniform
from nas.models.cost import cost
from nas.spec.task import Task
from nas.training.proxies.zero_cost import ZERO_COST, Batch, ScoredNetwork, zero_cost_scores

pytestmark = pytest.mark.usefixtures("one_thread")

PLAIN = uniform("mobilenetv2_035", "keep", resolution=32, total_stride=16)
SE = uniform("mobilenetv2_035", "se", resolution=32, total_stride=16)
MEASURED = [name for name in ZERO_COST if name not in ("params", "macs")]


def dataset(images: Tensor) -> Dataset:
    """Images of two classes; nothing may look at the validation part."""
    train = Split(images, torch.arange(len(images)) % 2)
    nothing = Split(images[:0], torch.zeros(0, dtype=torch.long))
    grey = (127.5, 127.5, 127.5)
    return Dataset(train, nothing, ("a", "b"), grey, (64.0, 64.0, 64.0), True, "made")


@pytest.fixture(scope="module")
def data() -> Dataset:
    generator = torch.Generator().manual_seed(0)
    return dataset(torch.randint(0, 256, (40, 32, 32, 3), dtype=torch.uint8, generator=generator))


def linear(*rows: list[float]) -> nn.Linear:
    layer = nn.Linear(len(rows[0]), len(rows), bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(rows))
    return layer


def score(name: str, network: nn.Module, *batches: Batch) -> float:
    return ZERO_COST[name].score(ScoredNetwork(network, batches, Task(outputs=2), 1))


def batch(*images: list[float]) -> Batch:
    """Images of 1x1 pixel, all of class 0."""
    return torch.tensor(images, dtype=torch.float)[:, :, None, None], torch.zeros(
        len(images), dtype=torch.long
    )


def two_layers() -> nn.Module:
    """x = (1, 1) gives the hidden (-1, 2) and the scores (4, 4), so each class gets 1/2 and
    the loss of class 0 has the gradients (-1/2, 1/2) by the scores, (1, 1/2) by the hidden.
    """
    return nn.Sequential(
        nn.Flatten(), linear([-1.0, 0.0], [0.0, 2.0]), linear([-2.0, 1.0], [0.0, 2.0])
    )


def test_grad_norm_by_hand() -> None:
    # By the second layer (-1/2, 1/2) x (-1, 2), by the first (1, 1/2) x (1, 1): both sqrt(2.5).
    assert score("grad_norm", two_layers(), batch([1, 1])) == pytest.approx(math.sqrt(10))


def test_snip_by_hand() -> None:
    # |weight x gradient|: 2 * 1/2 + 1 * 1 + 2 * 1, and 1 * 1 + 2 * 1/2.
    assert score("snip", two_layers(), batch([1, 1])) == pytest.approx(6)


def test_several_batches_are_one_large_batch() -> None:
    first, second = batch([1, 1]), batch([3, -2])
    both = batch([1, 1], [3, -2])
    for name in ("snip", "grad_norm"):
        together = score(name, two_layers(), both)
        assert score(name, two_layers(), first, second) == pytest.approx(together)


def test_synflow_by_hand() -> None:
    # |W2| |W1| (1, 1) = (1 * 2 + 2 * 1, 2 * 2), whose sum flows through each of the two layers.
    assert score("synflow", two_layers(), batch([7, -7])) == pytest.approx(2 * 8)


def test_synflow_passes_the_ceiling_of_relu6() -> None:
    steep = [nn.Flatten(), linear([100.0]), nn.ReLU6(), linear([-2.0])]
    assert score("synflow", nn.Sequential(*steep), batch([1])) == pytest.approx(2 * 200)


def test_jacob_cov_by_hand() -> None:
    network = nn.Sequential(nn.Flatten(), nn.ReLU(), linear([1.0, 1.0, 1.0, 1.0]))
    k = 1e-5
    # Gradients (1, 1, 0, 0) and (1, 0, 1, 0) do not correlate: the eigenvalues are 1 and 1.
    apart = batch([1, 1, -1, -1], [1, -1, 1, -1])
    wanted = -2 * (math.log(1 + k) + 1 / (1 + k))
    assert score("jacob_cov", network, apart) == pytest.approx(wanted)
    # Equal gradients: 2 and 0.
    alike = batch([1, 1, -1, -1], [2, 3, -4, -5])
    wanted = -(math.log(2 + k) + 1 / (2 + k) + math.log(k) + 1 / k)
    assert score("jacob_cov", network, alike) == pytest.approx(wanted)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.ReLU6, nn.Hardswish, nn.SiLU])
@pytest.mark.parametrize("inplace", [False, True])
def test_nwot_by_hand(activation: type[nn.Module], inplace: bool) -> None:
    # Codes 11, 10 and 00: K = [[2, 1, 0], [1, 2, 1], [0, 1, 2]], whose determinant is 4.
    network = nn.Sequential(nn.Flatten(), activation(inplace=inplace))
    images = batch([1, 2], [1, -1], [-2, -3])
    assert score("nwot", network, images) == pytest.approx(math.log(4))


def test_zico_by_hand() -> None:
    # Scores are 0, so the gradients are -x/2 and x/2 for x = 1, then 3: their mean lengths are
    # 1, their deviations 1/2, and two weights give log(2 + 2).
    network = nn.Sequential(nn.Flatten(), linear([0.0], [0.0]))
    assert score("zico", network, batch([1]), batch([3])) == pytest.approx(math.log(4))


def test_zico_of_dead_layers_is_nothing() -> None:
    network = nn.Sequential(nn.Flatten(), linear([0.0]), linear([0.0], [0.0]))
    assert score("zico", network, batch([1]), batch([3])) == 0.0


@pytest.mark.parametrize("block", ["keep", "se", "coord", "cbam", "eca"])
def test_every_score_of_every_block_is_finite(data: Dataset, block: str) -> None:
    architecture = uniform("mobilenetv2_035", block, resolution=32, total_stride=16)
    scores = zero_cost_scores(architecture, data, names=MEASURED, batch_size=4)
    assert list(scores) == MEASURED
    assert all(math.isfinite(value) for value in scores.values())


def test_scores_repeat_and_leave_the_callers_state_alone(data: Dataset) -> None:
    before = torch.get_rng_state(), torch.get_num_threads(), data.train.images.clone()
    with torch.no_grad():
        first = zero_cost_scores(SE, data, names=MEASURED, batch_size=4)
    assert zero_cost_scores(SE, data, names=MEASURED[::-1], batch_size=4) == first
    other = zero_cost_scores(SE, data, names=MEASURED, batch_size=4, seed=1)
    assert all(other[name] != first[name] for name in MEASURED)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.get_num_threads() == before[1]
    assert torch.equal(data.train.images, before[2])


def test_a_scored_network_stays_as_it_was() -> None:
    network = build(SE, num_classes=2).requires_grad_(False)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 3, 32, 32, generator=generator)
    subject = ScoredNetwork(
        network, [(images, torch.tensor([0, 1, 0, 1]))] * 2, Task(outputs=2), 32
    )
    for name in MEASURED:
        ZERO_COST[name].score(subject)
    assert all(torch.equal(network.state_dict()[name], state[name]) for name in state)
    assert all(tensor.grad is None and not tensor.requires_grad for tensor in network.parameters())
    assert not any(module.training or module._forward_hooks for module in network.modules())


def test_images_that_no_code_tells_apart_are_said(data: Dataset) -> None:
    one = dataset(data.train.images[:1].expand(40, -1, -1, -1))
    with pytest.raises(MeasurementError, match=r"score nwot is -inf for mobilenetv2_035 "):
        zero_cost_scores(PLAIN, one, names=["nwot"], batch_size=4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ["naswot"]}, "no zero-cost score 'naswot'; there are: params, macs, grad_norm"),
        ({"batches": 1}, "batches 1; zico needs at least 2"),
        ({"batch_size": 1}, "batch size 1; at least 2"),
        ({"batch_size": 64}, "40 training images; 2 batches of 64 need 128"),
    ],
)
def test_wrong_input_is_said(data: Dataset, options: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message) as raised:
        zero_cost_scores(PLAIN, data, **options)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)


def test_counts_are_those_of_the_deployed_network(data: Dataset) -> None:
    large = replace(SE, resolution=64)
    names = ["params", "macs"]
    scores = zero_cost_scores(large, data, names=names, batches=1, batch_size=2)
    counted = cost(large, num_classes=2)
    assert scores == {"params": counted.params, "macs": counted.macs}


def test_counts_are_of_the_deployed_shape(data: Dataset) -> None:
    tall = replace(SE, resolution="64x32")
    scores = zero_cost_scores(tall, data, names=["macs"], batches=1, batch_size=2)
    assert scores == {"macs": cost(tall, num_classes=2).macs}
