"""How closely the networks written here equal their authors' code, with equal weights.

    python -m benchmarks.backbones.fidelity AUTHORS [NETWORK ...]

AUTHORS is a folder with the authors' files as `owner/repository/path` (the table below names
them; clone the repositories there). Their code is run as it is, apart from the corrections
named here, so look at it before. Prints parameters and multiply-adds in millions, and the
largest difference of logits (beside that between two images) on random images of 224x224, in
evaluation mode, with random weights and running statistics.
"""

from __future__ import annotations

import argparse
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.backbones.authors_states import emo_state, moat_state, mobilevig_state
from benchmarks.blocks.absent_libraries import absent
from benchmarks.shared.tensorflow_on_torch import Keras, tensorflow_on_torch
from nas.backbones import own_networks
from nas.models.cost import cost_of_module

Mended = tuple[tuple[str, str], ...]
State = dict[str, Tensor]


@dataclass(frozen=True)
class Published:
    """One comparison of a network with its authors' code.

    files: owner/repository/path of each, run in this order as one module.
    make: their module -> their network. params, macs: as published, in millions.
    mended: (found, put in its place) in their source, for what is off-topic or missing there.
    weights: (our state, theirs) -> the state to load into theirs.
    absent: libraries that their files import and the network does not need.
    """

    network: str
    files: tuple[str, ...]
    make: Callable[[Any], nn.Module]
    params: float | None
    macs: float | None
    mended: Mended = ()
    weights: Callable[[State, State], State] | None = None
    absent: tuple[str, ...] = ()


def mobilenext(width: float, params: float, macs: float) -> Published:
    return Published(
        f"mobilenext_{round(100 * width):03}",
        ("yitu-opensource/MobileNeXt/mobilenext/codebase/models/mnext.py",),
        lambda module: module.mnext(width_mult=width),
        params,
        macs,
    )


def hbonet(width: float, macs: float) -> Published:
    return Published(
        f"hbonet_{round(100 * width):03}",
        ("d-li14/HBONet/models/imagenet/hbonet.py",),
        lambda module: module.hbonet(width_mult=width),
        None,
        macs,
    )


def snet(macs: int, stem: int, stages: list[int], *further: tuple[str, str]) -> Published:
    """Published with one size, 146, whose channels stand in two places."""
    return Published(
        f"snet_{macs}",
        (
            "qinzheng93/ThunderNet/snet-training/blocks.py",
            "qinzheng93/ThunderNet/snet-training/network.py",
        ),
        lambda module: module.ShuffleNetV2(),
        None,
        macs,
        (
            ("from blocks import ShuffleNetV2Block\n", ""),
            ("from tensorboardX import SummaryWriter\n", ""),
            ("        print('model size is ', model_size)\n", ""),
            ("[-1, 24, 132, 264, 528]", str([-1, stem, *stages])),
            ("stage_channel = [132, 264, 528]", f"stage_channel = {stages[:3]}"),
            ("in_channel = 24\n", f"in_channel = {stem}\n"),
            *further,
        ),
    )


def mobilevig(
    size: str, blocks: list[int], channels: list[int], graphs: int, params: float, macs: float
) -> Published:
    """Without the second classifier, which their parameters count."""
    return Published(
        f"mobilevig_{size}",
        ("SLDGroup/MobileViG/models/mobilevig.py",),
        lambda module: module.MobileViG(blocks, channels, [graphs], [256], distillation=False),
        params,
        macs,
        (
            ("timm.models.layers", "timm.layers"),
            (
                "from timm.models.registry import register_model",
                "register_model = lambda made: made",
            ),
        ),
        mobilevig_state,
    )


class Answer(nn.Module):
    """EMOv2 gives its logits by name."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)["out"]
        return logits


def emov2(size: str, params: float, macs: float) -> Published:
    return Published(
        f"emov2_{size}",
        (
            "zhangzjn/EMOv2/model/lib_emo/basic_modules.py",
            "zhangzjn/EMOv2/model/lib_emo/emo2.py",
        ),
        lambda module: Answer(getattr(module, f"EMO2_{size.upper()}_k5_hybrid")()),
        params,
        macs,
        (
            ("from model.lib_emo.basic_modules import", "# from"),
            ("from model import MODEL", "from cv2 import MODEL"),
        ),
        emo_state,
        ("cv2", "einops"),
    )


def tiny_moat(number: int, params: float, macs: float) -> Published:
    """TensorFlow, its operations by torch."""
    return Published(
        f"tiny_moat_{number}",
        ("google-research/deeplab2/model/pixel_encoder/moat.py",),
        lambda module: Keras(
            lambda: module.get_model(
                f"tiny_moat{number}_pretrain_256_1k",
                [224, 224, 3],
                pool_size=2,
                override_config={
                    "build_classification_head_with_class_num": 1000,
                    "window_size": [None] * 4,
                },
            ),
            (3, 224, 224),
        ),
        params,
        macs,
        (
            (
                "from deeplab2.model.layers.moat_blocks import MBConvBlock",
                "import sys; sys.path.append(sys.argv[1] + '/google-research')\n"
                "from deeplab2.model.layers.moat_blocks import MBConvBlock",
            ),
            ("  moat(tf.keras.Input(shape=input_shape))\n", ""),
        ),
        moat_state,
    )


# SNet49 alone ends in the pointwise convolution of ShuffleNetV2, which their file leaves out.
LAST_CONVOLUTION = (
    ("        '''\n        self.conv_last", "        self.conv_last"),
    ("nn.Conv2d(input_channel, self.stage_out", "nn.Conv2d(in_channel, self.stage_out"),
    ("        )\n        '''\n        self.globalpool", "        )\n        self.globalpool"),
    ("# x = self.conv_last(x)", "x = self.conv_last(x)"),
)

PUBLISHED = (
    mobilenext(0.35, 1.8, 80),
    mobilenext(0.5, 2.1, 110),
    mobilenext(0.75, 2.5, 210),
    mobilenext(1.0, 3.5, 300),
    mobilenext(1.4, 6.1, 590),
    hbonet(0.1, 14),
    hbonet(0.25, 37),
    hbonet(0.35, 61),
    hbonet(0.5, 96),
    hbonet(0.8, 205),
    hbonet(1.0, 305),
    snet(49, 24, [60, 120, 240, 512], *LAST_CONVOLUTION),
    snet(146, 24, [132, 264, 528]),
    snet(535, 48, [248, 496, 992]),
    mobilevig("ti", [2, 2, 6], [42, 84, 168], 2, 5.2, 700),
    mobilevig("s", [3, 3, 9], [42, 84, 176], 3, 7.2, 1000),
    emov2("1m", 1.4, 285),
    emov2("2m", 2.3, 487),
    tiny_moat(0, 3.4, 800),
    tiny_moat(1, 5.1, 1200),
)


def load(root: Path, entry: Published) -> types.ModuleType:
    """Run the authors' files, corrected, as a module of its own."""
    source = "".join((root / file).read_text(encoding="utf-8") for file in entry.files)
    for found, instead in entry.mended:
        assert found in source, f"{entry.files}: {found!r} is not there any more"
        source = source.replace(found, instead)
    module = types.ModuleType(f"authors_{entry.network}")
    sys.modules[module.__name__] = module
    with absent(entry.absent), tensorflow_on_torch():
        exec(compile(source, entry.files[-1], "exec"), module.__dict__)  # noqa: S102
    return module


def randomise(network: nn.Module) -> None:
    """The authors' start lets an image fade in the depthwise layers, and fresh norms do
    nothing in evaluation mode: either would hide a wrong layer.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
        elif isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None and layer.running_var is not None
            for positive in (layer.weight, layer.running_var):
                nn.init.uniform_(positive, 0.5, 1.5)
            for signed in (layer.bias, layer.running_mean):
                nn.init.normal_(signed, std=0.2)
    for name, parameter in network.named_parameters():
        if name.endswith(".scale"):  # they start so small that they would hide their blocks
            nn.init.uniform_(parameter, 0.1, 0.3)


def in_order(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The authors' names with our weights, both in the order of their registration."""
    shapes = [tensor.shape for tensor in ours.values()]
    assert shapes == [tensor.shape for tensor in theirs.values()], (ours.keys(), theirs.keys())
    return dict(zip(theirs, ours.values(), strict=True))


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@torch.inference_mode()
def difference(
    ours: nn.Module, theirs: nn.Module, weights: Callable[[State, State], State]
) -> tuple[float, float]:
    """The largest difference between their logits, and that between those of two images."""
    randomise(ours)
    ours, theirs = ours.double(), theirs.double()  # rounding is not the question
    theirs.load_state_dict(weights(ours.state_dict(), theirs.state_dict()))
    images = torch.randn(2, 3, 224, 224, dtype=torch.double)
    expected = theirs.eval()(images)
    found = (ours.eval()(images) - expected).abs().max()
    return float(found), float((expected[0] - expected[1]).abs().max())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("authors", type=Path)
    parser.add_argument("networks", nargs="*")
    arguments = parser.parse_args()
    print(f"{'':<16}{'parameters':^28}{'multiply-adds':^20}{'largest':>12}{'between':>10}")
    print(
        f"{'network':<16}{'ours':>8}{'theirs':>10}{'published':>10}"
        f"{'ours':>10}{'published':>10}{'difference':>12}{'images':>10}"
    )
    for entry in PUBLISHED:
        if arguments.networks and entry.network not in arguments.networks:
            continue
        torch.manual_seed(0)
        ours = own_networks.create(entry.network, 1000, pretrained=False)
        cost = cost_of_module(ours, torch.zeros(1, 3, 224, 224))
        row = [f"{cost.params / 1e6:.3f}", "-", f"{entry.params or '-'}"]
        row += [f"{cost.macs / 1e6:.1f}", f"{entry.macs or '-'}", "-", "-"]
        if all((arguments.authors / file).exists() for file in entry.files):
            theirs = entry.make(load(arguments.authors, entry))
            if not isinstance(theirs, Keras):  # whose weights are made when it is called
                row[1] = f"{parameters(theirs) / 1e6:.3f}"
            found = difference(ours, theirs, entry.weights or in_order)
            row[5:] = [f"{number:.1e}" for number in found]
        widths = (8, 10, 10, 10, 10, 12, 10)
        cells = (f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
        print(f"{entry.network:<16}{''.join(cells)}")


if __name__ == "__main__":
    main()
