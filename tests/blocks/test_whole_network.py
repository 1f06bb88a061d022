"""Every block in a whole network of timm: trained for a step, judged, deployed, converted."""

from __future__ import annotations

import copy

import onnxruntime
import pytest
import torch
from torch.nn import functional as F

from nas.blocks import BLOCKS
from nas.latency.runtime.onnxruntime import to_onnx
from nas.models.build import build, deploy, inserted_modules, uniform

BACKBONE, SIDE, CLASSES = "mobilenetv2_050", 64, 7
TOLERANCE = 1e-4  # of the largest score


def images(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_goes_the_whole_way(block: str) -> None:
    architecture = uniform(BACKBONE, block, resolution=SIDE, total_stride=16, where_it_fits=True)
    assert len(architecture.blocks) >= 3
    torch.manual_seed(0)
    network = build(architecture, num_classes=CLASSES, start="identity").train()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    before = [
        copy.deepcopy(module.state_dict()) for module in inserted_modules(network, architecture)
    ]
    labels = torch.arange(8) % CLASSES
    for step in range(3):
        optimiser.zero_grad()
        loss = F.cross_entropy(network(images(8, step)), labels)
        loss.backward()
        optimiser.step()
    assert loss.isfinite()
    changed = [
        any(not torch.equal(now, were[name]) for name, now in module.state_dict().items())
        for module, were in zip(inserted_modules(network, architecture), before, strict=True)
    ]
    # Of two hidden units without a bias, as FCA's in narrow maps, none may see any of the images.
    assert sum(changed) >= len(changed) - 1
    network.eval()
    some = images(3, 9)
    with torch.no_grad():
        scores = network(some)
        deployed = deploy(copy.deepcopy(network), architecture)
        largest = float(scores.abs().max())
        torch.testing.assert_close(deployed(some), scores, rtol=0, atol=TOLERANCE * largest)
    session = onnxruntime.InferenceSession(to_onnx(deployed, (3, SIDE, SIDE), dynamic_batch=True))
    (name,) = (item.name for item in session.get_inputs())
    for batch in (some, some[:1]):
        (given,) = session.run(None, {name: batch.numpy()})
        torch.testing.assert_close(
            torch.from_numpy(given), scores[: len(batch)], rtol=0, atol=TOLERANCE * largest
        )
