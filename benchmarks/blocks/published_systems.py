"""The authors' code of blocks that are parts of whole systems: networks, searches."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from benchmarks.blocks.authors_weights import Shape
from benchmarks.blocks.comparison import Around, Published

MOVED = ("timm.models.layers", "timm.layers")
UNLISTED = ("from timm.models.registry import register_model", "register_model = lambda made: made")
"""Where timm has moved what they import, and their networks, which need not be in its list."""

CONV_MODULE = """
class ConvModule(nn.Conv2d):
    def __init__(self, *sizes, norm_cfg, act_cfg, **options):
        super().__init__(*sizes, **options)
"""
"""What is left of OpenMMLab's layer without a norm and an activation."""


LIGHT_NL_MENDED = (
    ("from utils.config import FLAGS", "FLAGS = None"),
    # Divided by H and multiplied by W.
    ("f = f / H * W", "f = f / (H * W)"),
)
DAVIT_MENDED = (
    ("from .helpers", "from helpers"),
    ("from .layers", "from timm.layers"),
    ("from .registry import register_model", UNLISTED[1]),
    ("from .vision_transformer", "from helpers"),
)


class Passed(nn.Module):
    """A layer of theirs that is left out."""

    def forward(self, x: Tensor, *_: object) -> Tensor:
        return x


def anchor_gate(module: Any, shape: Shape) -> nn.Module:
    """PKINet's attention as its bottleneck has it, which multiplies."""
    factor = module.CAA(shape[0], 11, 11, None, None)
    return Around(factor, lambda gate, x: x * gate(x))


def tokens(block: Any) -> nn.Module:
    """DaViT's block, which takes its map as a row of tokens; without its second convolution."""
    block.cpe[1] = Passed()
    return Around(
        block,
        lambda block, x: (
            block(x.flatten(2).transpose(1, 2), x.shape[2:])[0].transpose(1, 2).reshape(x.shape)
        ),
    )


SYSTEMS = (
    Published(
        "ese",
        "youngwanLEE/vovnet-detectron2/vovnet/vovnet.py",
        lambda module, shape: module.eSEModule(shape[0]),
        absent=("detectron2",),
        shape=(96, 14, 9),
    ),
    Published(
        "mlca",
        "wandahangFY/MLCA/MLCA.py",
        lambda module, shape: module.MLCA(shape[0]),
        shape=(96, 14, 9),
    ),
    Published(
        "sge",
        "implus/PytorchInsight/classification/models/imagenet/resnet_sge.py",
        lambda module, shape: module.SpatialGroupEnhance(48),
        mended=(
            (
                "from .common_head import *",
                "import torch, torch.nn as nn\nfrom torch.nn.parameter import Parameter",
            ),
        ),
        shape=(96, 14, 9),
    ),
    Published(
        "caa",
        "NUST-Machine-Intelligence-Laboratory/PKINet/mmrotate/models/backbones/pkinet.py",
        anchor_gate,
        mended=(
            ("from mmcv.cnn import ConvModule, build_norm_layer", CONV_MODULE),
            ("super().__init__(init_cfg)", "super().__init__()"),
        ),
        absent=("mmcv", "mmengine", "mmrotate"),
        shape=(96, 14, 9),
    ),
    Published(
        "msca",
        "Visual-Attention-Network/SegNeXt/mmseg/models/backbones/mscan.py",
        lambda module, shape: module.AttentionModule(shape[0]),
        absent=("mmcv", "mmseg"),
        shape=(96, 14, 9),
    ),
    Published(
        "svga",
        "SLDGroup/MobileViG/models/mobilevig.py",
        lambda module, shape: module.Grapher(shape[0]),
        mended=(MOVED, UNLISTED),
        shape=(96, 14, 8),
    ),
    Published(
        "svga",
        "SLDGroup/MobileViG/models/mobilevig.py",
        lambda module, shape: module.Grapher(shape[0], K=3),
        options={"stride": 3},
        mended=(MOVED, UNLISTED),
        shape=(96, 14, 9),
        note="(every third position, of a side that 3 does not divide)",
    ),
    Published(
        "shsa",
        "ysj9909/SHViT/model/shvit.py",
        lambda module, shape: module.Residual(module.SHSA(shape[0], 16, 48)),
        mended=(MOVED,),
        shape=(224, 14, 9),
    ),
    Published(
        "light_nl",
        "meijieru/yet_another_mobilenet_series/models/mobilenet_base.py",
        lambda module, shape: module.Nonlocal(shape[0], 0.25, 1, {"eps": 1e-3}),
        mended=LIGHT_NL_MENDED,
        absent=("utils",),
        shape=(96, 14, 9),
        note="(divided by H W, as their TensorFlow code)",
    ),
    Published(
        "light_nl",
        "meijieru/yet_another_mobilenet_series/models/mobilenet_base.py",
        lambda module, shape: module.Nonlocal(shape[0], 0.5, 2, {"eps": 1e-3}),
        options={"reduction": 2, "stride": 2},
        mended=LIGHT_NL_MENDED,
        absent=("utils",),
        shape=(96, 7, 5),
        note="(half the channels, a stride of 2, the other order)",
    ),
    Published(
        "davit_window",
        "dingmyu/davit/timm/models/davit.py",
        lambda module, shape: tokens(module.SpatialBlock(shape[0], 3, ffn=False)),
        mended=DAVIT_MENDED,
        absent=("helpers",),
        shape=(96, 14, 9),
    ),
    Published(
        "davit_channel",
        "dingmyu/davit/timm/models/davit.py",
        lambda module, shape: tokens(module.ChannelBlock(shape[0], 3, qkv_bias=True, ffn=False)),
        mended=DAVIT_MENDED,
        absent=("helpers",),
        shape=(96, 14, 9),
    ),
)
