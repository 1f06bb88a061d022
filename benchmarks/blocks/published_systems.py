"""The authors' code of blocks that are parts of whole systems: networks, searches."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.blocks.authors_weights import Shape, State, in_order, in_their_order
from benchmarks.blocks.comparison import Around, Published
from benchmarks.shared.tensorflow_on_torch import Keras, LayerNormalization

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


DEEPLAB = (
    "from deeplab2",
    "import sys; sys.path.append(sys.argv[1] + '/google-research')\nfrom deeplab2",
)
EMO_MENDED = (
    ("from einops import rearrange, reduce, repeat", "from einops import rearrange"),
    (
        "from model.lib_emo.basic_modules",
        "import sys; sys.path.append(sys.argv[1] + '/zhangzjn/EMOv2/model/lib_emo')\n"
        "from basic_modules",
    ),
    ("from model import MODEL", "from cv2 import MODEL"),
)


class Zeros(nn.Module):
    """A half of theirs that adds nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


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


def spanning(module: Any, shape: Shape, expansion: int) -> nn.Module:
    """EMOv2's residual block with both kinds of windows, as in its third stage."""
    block: nn.Module = module.iiRMB(
        shape[0],
        shape[0],
        exp_ratio=expansion,
        norm_layer="ln_2d",
        act_layer="gelu",
        dw_ks=5,
        dim_head=20,
        hybrid_eops=[3],
        qkv_bias=True,
    )
    return block


def deployed_contmix(module: Any, shape: Shape, kernel_size: int = 7) -> nn.Module:
    """OverLoCK's module with its dilated twins folded away, and without its second half."""
    block: nn.Module = module.ContMixBlock(shape[0], kernel_size=kernel_size, deploy=True)
    block.dwconv2, block.norm2, block.mlp = Passed(), Passed(), Zeros()
    return block


def spartan_half(module: Any, shape: Shape, mixer: str) -> nn.Module:
    """One of SpaRTAN's two mixers in its residual block, as in its third stage."""
    channels = shape[0]
    norm = partial(nn.BatchNorm2d, eps=1e-6)
    convolution = partial(module.ConvNormAct, norm=norm)
    halves = {
        "smixer": partial(module.SMixer, conv=partial(convolution, groups=channels // 2)),
        "cmixer": partial(
            module.CMixer, expand_ratio=2, conv=partial(convolution, groups=channels)
        ),
    }
    block: nn.Module = module.Block(
        channels, **halves, norm=partial(module.LayerNorm, eps=1e-6, use_group=True)
    )
    other, number = ("cmixer", 2) if mixer == "smixer" else ("smixer", 1)
    setattr(block, other, Zeros())
    setattr(block, f"norm_{number}", Passed())
    return block


def moat_half(module: Any, shape: Shape) -> nn.Module:
    """The attention of MOAT's block with what the block does around it."""
    channels, height, width = shape

    def make() -> Callable[[Any], Any]:
        norm = LayerNormalization(epsilon=1e-5)
        attention = module.Attention(
            hidden_size=channels,
            head_size=32,
            relative_position_embedding_type="2d_multi_head",
            scale_ratio=[height / 7, width / 7],
        )
        return lambda x: x + attention(norm(x)).reshape(x.shape)

    return Keras(make, shape)


def moat_weights(ours: State, theirs: State) -> State:
    """Norm, positions, queries, keys, values and projection; matrices transposed."""
    projections = [*ours["qkv.weight"].chunk(3), ours["project.weight"]]
    biases = [*ours["qkv.bias"].chunk(3), ours["project.bias"]]
    pairs = zip(projections, biases, strict=True)
    layers = [part for weight, bias in pairs for part in (weight[:, :, 0, 0].T, bias)]
    first = [ours["norm.weight"], ours["norm.bias"], ours["positions"]]
    return in_order(dict(enumerate(first + layers)), theirs)  # type: ignore[arg-type]


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
    Published(
        "i2rmb",
        "zhangzjn/EMOv2/model/lib_emo/emo2.py",
        lambda module, shape: spanning(module, shape, 1),
        weights=in_their_order("norm", "query_key", "value", "local", "project", "scale"),
        mended=EMO_MENDED,
        absent=("cv2", "einops"),
        shape=(80, 14, 9),
    ),
    Published(
        "i2rmb",
        "zhangzjn/EMOv2/model/lib_emo/emo2.py",
        lambda module, shape: spanning(module, shape, 3),
        options={"expansion": 3},
        weights=in_their_order("norm", "query_key", "value", "local", "project", "scale"),
        mended=EMO_MENDED,
        absent=("cv2", "einops"),
        shape=(80, 14, 14),
        note="(expanding by 3)",
    ),
    Published(
        "contmix",
        "LMMMEng/OverLoCK/models/contmix.py",
        deployed_contmix,
        weights=in_their_order(
            "small", "large", "place", "norm", "query", "key", "value", "kernels", "fuse", "local"
        ),
        mended=(MOVED,),
        absent=("einops",),
        shape=(96, 14, 9),
        note="(as deployed, without the feed-forward half)",
    ),
    Published(
        "contmix",
        "LMMMEng/OverLoCK/models/contmix.py",
        lambda module, shape: deployed_contmix(module, shape, 13),
        options={"kernel_size": 13},
        weights=in_their_order(
            "small", "large", "place", "norm", "query", "key", "value", "kernels", "fuse", "local"
        ),
        mended=(MOVED,),
        absent=("einops",),
        shape=(64, 14, 16),
        note="(kernels of 13)",
    ),
    Published(
        "spartan_space",
        "henry-pay/SpaRTAN/src/model/spartan.py",
        lambda module, shape: spartan_half(module, shape, "smixer"),
        weights=in_their_order("scale", "mixer", "norm", unread="scale_2"),
        absent=("omegaconf",),
        shape=(96, 14, 9),
    ),
    Published(
        "spartan_wave",
        "henry-pay/SpaRTAN/src/model/spartan.py",
        lambda module, shape: spartan_half(module, shape, "cmixer"),
        weights=in_their_order("scale", "mixer", "norm", unread="scale_1"),
        absent=("omegaconf",),
        shape=(96, 14, 9),
    ),
    Published(
        "moat",
        "google-research/deeplab2/model/layers/moat_attention.py",
        moat_half,
        weights=moat_weights,
        mended=(DEEPLAB,),
        shape=(96, 14, 9),
        note="(TensorFlow, its operations by torch)",
    ),
)
