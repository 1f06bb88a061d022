from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support.tiny_network import SIDE, winner
from torch import nn

from nas.base.errors import SpecError
from nas.base.size import Size
from nas.blocks import BLOCKS, make_block
from nas.blocks.block import Shape
from nas.export.plain_torch import export_block, export_program, plain_source
from nas.export.verify import load_model

IMAGES = Size.of(SIDE)

# Stands in the place of this project: who imports it, fails.
ALONE = """
import sys
sys.modules["nas"] = None
import numpy as np, torch
from model import load
network = load("weights.safetensors")
with torch.no_grad():
    scores = [network(torch.from_numpy(np.load("images.npy"))[:count]) for count in (1, 3)]
np.save("scores.npy", torch.cat(scores).numpy())
network.train()
network(torch.from_numpy(np.load("images.npy"))).sum().backward()
assert all(item.grad is not None for item in network.parameters())
assert "nas.export" not in sys.modules
"""


def test_the_file_is_the_network_where_this_project_is_not(tmp_path: Path) -> None:
    found = winner("coord", "cbam", "eca")
    source = plain_source(export_program(found.network, IMAGES), title='a "title"', size=IMAGES)
    (tmp_path / "model.py").write_text(source.code)
    save_file(source.weights, tmp_path / "weights.safetensors")
    images = np.random.default_rng(0).standard_normal((3, 3, SIDE, SIDE), np.float32)
    np.save(tmp_path / "images.npy", images)
    apart = {**os.environ, "PYTHONPATH": ""}
    subprocess.run([sys.executable, "-c", ALONE], cwd=tmp_path, env=apart, check=True)
    with torch.no_grad():
        wanted = torch.cat([found.network(torch.from_numpy(images)[:count]) for count in (1, 3)])
    np.testing.assert_array_equal(np.load(tmp_path / "scores.npy"), wanted.numpy())


def test_weights_keep_their_names() -> None:
    network = winner("se").network
    source = plain_source(export_program(network, IMAGES), title="", size=IMAGES)
    assert source.weights.keys() == network.state_dict().keys()
    for name, tensor in network.state_dict().items():
        assert torch.equal(source.weights[name], tensor)


def test_pieces_are_named_as_in_the_network() -> None:
    code = plain_source(export_program(winner("se").network, IMAGES), title="", size=IMAGES).code
    for piece in ("part_stem_0", "part_attention_0", "part_depthwise", "part_head"):
        assert f"def {piece}(self, w, " in code
    assert "self.training" in code  # of batch norm and dropout


@pytest.mark.slow
@pytest.mark.parametrize("name", BLOCKS)
def test_every_block_is_the_same_in_plain_torch(name: str, tmp_path: Path) -> None:
    if BLOCKS[name].applies(Shape(16, 8, 8)):
        pytest.skip("does not fit the tiny network")
    network = winner(name).network
    source = plain_source(export_program(network, IMAGES), title=name, size=IMAGES)
    (tmp_path / "model.py").write_text(source.code)
    save_file(source.weights, tmp_path / "weights.safetensors")
    images = np.random.default_rng(0).standard_normal((3, 3, SIDE, SIDE), np.float32)
    with torch.no_grad():
        wanted = network(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(load_model(tmp_path / "model.py")(images), wanted, atol=1e-5)


class Odd(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images * float(images.sum().item())


ONE_SIZE = {
    *("aa", "axial", "fca", "ge", "i2rmb", "moat", "pcsa", "scsa"),  # tables or windows of a map
    *("bra", "contmix", "davit_window", "halo", "svga"),  # they pad or roll it
    *("light_nl", "mlca", "nl"),  # they choose, halve or divide by its sides
}
"""The blocks that are written for maps of one size, which docs/blocks.md lists."""


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_takes_any_batch_and_maps_of_any_size_or_is_known_not_to(name: str) -> None:
    torch.manual_seed(0)
    shape = (96, 14, 14)
    block = make_block(name, channels=96, height=14, width=14).eval()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    program, fixed = export_block(block, shape)
    assert fixed == (name in ONE_SIZE)
    try:  # its shapes are looked at by the class that is written of it
        module = program.module(check_guards=False)
    except TypeError:  # of an older torch, without such checks
        module = program.module()
    sizes = [(14, 14)] if fixed else [(14, 14), (21, 15), (7, 8)]
    for batch, (height, width) in itertools.product((1, 3), sizes):
        maps = torch.randn(batch, 96, height, width)
        with torch.no_grad():
            expected = block(maps)
            written = module(maps)
        scale = float(expected.abs().max())
        torch.testing.assert_close(written, expected, atol=1e-5 * scale, rtol=1e-4)


def test_the_blocks_of_one_size_are_listed_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "blocks.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"those for maps of one size:\s([^.]*)\.", page)
    assert set(re.findall(r"`(\w+)`", line)) == ONE_SIZE


def test_what_cannot_be_followed_is_one_line() -> None:
    with pytest.raises(SpecError, match="torch.export cannot follow this network") as caught:
        export_program(Odd(), IMAGES)
    assert "\n" not in str(caught.value)
