"""The authors' code of each block: which file, how it is called, what is mended in it."""

from __future__ import annotations

from typing import Any

from torch import nn

from benchmarks.blocks.authors_weights import (
    Shape,
    all_but,
    maximum_first,
    non_local_weights,
    only,
    style_weights_by_channel,
    transposed_width_kernel,
    without_indices,
)
from benchmarks.blocks.comparison import Around, Inserted, Published
from benchmarks.blocks.published_systems import SYSTEMS

MMCV_INIT = (
    (
        "from mmcv.cnn import constant_init, kaiming_init",
        "constant_init = kaiming_init = lambda layer, **options: None",
    ),
)
SCSA_IMPORTS = (
    ("from einops import", "from functorch.einops.rearrange import"),
    ("from mmengine.model import BaseModule", "BaseModule = nn.Module"),
)


FFNET_MENDED = (
    ("timm.models.layers", "timm.layers"),
    # Names that timm has dropped; they only load checkpoints.
    ("from timm.models._builder import resolve_pretrained_cfg, _update_default_kwargs", ""),
)


def deployed_ffa(module: Any, shape: Shape) -> nn.Module:
    """FFNet's mixer with its twin kernels folded by its authors' own function."""
    mixer = module.Token_Mixer(shape[0], 7, 7)
    mixer.conv1, mixer.conv2 = mixer.conv1.fuse(), mixer.conv2.fuse()
    block: nn.Module = module.ResidualBlock(mixer, shape[0], use_layer_scale=False)
    return block


PUBLISHED = (
    Published(
        "se",
        "moskomule/senet.pytorch/senet/se_module.py",
        lambda module, shape: module.SELayer(shape[0], 12),
        mended=(("bias=False", "bias=True"),),
        note="(port, with biases; the authors' code is Caffe)",
    ),
    Published(
        "cbam",
        "Jongchan/attention-module/MODELS/cbam.py",
        lambda module, shape: module.CBAM(shape[0], 24),
        weights=maximum_first,
    ),
    Published(
        "coord",
        "houqb/CoordAttention/coordatt.py",
        lambda module, shape: module.CoordAtt(shape[0], shape[0]),
        shape=(96, 14, 9),
    ),
    Published(
        "eca",
        "BangguWu/ECANet/models/eca_module.py",
        lambda module, shape: module.eca_layer(shape[0]),
    ),
    Published(
        "simam",
        "ZjjConan/SimAM/mmdetection/mmdet/models/backbones/attentions/simam_module.py",
        lambda module, shape: module.simam_module(),
        shape=(96, 14, 9),
    ),
    Published(
        "coord_x",
        "houqb/CoordAttention/coordatt.py",
        lambda module, shape: module.CoordAtt(shape[0], shape[0]),
        weights=all_but("conv_w"),
        mended=(("identity * a_w * a_h", "identity * a_h"),),
        shape=(96, 14, 9),
        note="(without the columns' gate)",
    ),
    Published(
        "coord_y",
        "houqb/CoordAttention/coordatt.py",
        lambda module, shape: module.CoordAtt(shape[0], shape[0]),
        weights=all_but("conv_h"),
        mended=(("identity * a_w * a_h", "identity * a_w"),),
        shape=(96, 14, 9),
        note="(without the rows' gate)",
    ),
    Published(
        "triplet",
        "landskape-ai/triplet-attention/triplet_attention.py",
        lambda module, shape: module.TripletAttention(),
        weights=transposed_width_kernel,
        shape=(96, 14, 9),
    ),
    Published(
        "srm",
        "hyunjaelee410/style-based-recalibration-module/models/recalibration_modules.py",
        lambda module, shape: module.SRMLayer(shape[0]),
        weights=style_weights_by_channel,
        shape=(96, 14, 9),
    ),
    Published(
        "fca",
        "cfzd/FcaNet/model/layer.py",
        lambda module, shape: module.MultiSpectralAttentionLayer(*shape),
        weights=all_but("dct_layer"),
        shape=(96, 14, 21),
    ),
    Published(
        "fca",
        "cfzd/FcaNet/model/layer.py",
        lambda module, shape: module.MultiSpectralAttentionLayer(shape[0], 7, 7),
        weights=all_but("dct_layer"),
        shape=(96, 5, 4),
        note="(a map smaller than their smallest transform)",
    ),
    Published(
        "bam",
        "Jongchan/attention-module/MODELS/bam.py",
        lambda module, shape: module.BAM(shape[0]),
        mended=(
            # NameError: the name is not defined anywhere, and not used.
            ("self.gate_activation = gate_activation", "pass"),
            (
                "self.channel_att(in_tensor) * self.spatial_att(in_tensor)",
                "self.channel_att(in_tensor) + self.spatial_att(in_tensor)",
            ),
        ),
        note="(added, as in the paper)",
    ),
    Published(
        "ema",
        "YOLOonMe/EMA-attention-module/EMA_attention_module",
        lambda module, shape: module.EMA(shape[0]),
        shape=(96, 14, 9),
    ),
    Published(
        "gc",
        "xvjiarui/GCNet/mmdet/ops/ct/context_block.py",
        lambda module, shape: module.ContextBlock2d(shape[0], 24, "att", ["channel_add"]),
        options={"reduction": 4},
        mended=MMCV_INIT,
    ),
    Published(
        "gc_scale",
        "xvjiarui/GCNet/mmdet/ops/ct/context_block.py",
        lambda module, shape: module.ContextBlock2d(shape[0], 24, "att", ["channel_mul"]),
        options={"reduction": 4},
        mended=MMCV_INIT,
    ),
    Published(
        "nl",
        "AlexHex7/Non-local_pytorch/lib/non_local_embedded_gaussian.py",
        lambda module, shape: module.NONLocalBlock2D(shape[0]),
        weights=non_local_weights,
        shape=(96, 14, 9),
        note="(port; the authors' code is Caffe2)",
    ),
    Published(
        "nl",
        "AlexHex7/Non-local_pytorch/lib/non_local_embedded_gaussian.py",
        lambda module, shape: module.NONLocalBlock2D(shape[0], sub_sample=False),
        options={"subsample": False},
        weights=non_local_weights,
        shape=(96, 14, 9),
        note="(port; the authors' code is Caffe2)",
    ),
    Published(
        "a2",
        "gjylt/DoubleAttentionNet/DoubleAttentionLayer.py",
        lambda module, shape: Around(
            nn.ModuleList(
                [module.DoubleAttentionLayer(shape[0], 24, 24), nn.Conv2d(24, shape[0], 1)]
            ),
            lambda layers, x: x + layers[1](layers[0](x)),
        ),
        mended=(("nn.Softmax()", "nn.Softmax(dim=1)"),),
        shape=(96, 14, 9),
        note="(port; the authors published none)",
    ),
    Published(
        "cc",
        "Serge-weihao/CCNet-Pure-Pytorch/networks/CC.py",
        lambda module, shape: Around(
            module.CC_module(shape[0]), lambda attention, x: attention(attention(x))
        ),
        mended=((".cuda()", ""), ('print("CC Moudle")', "")),
        shape=(96, 14, 9),
        note="(port; the authors' code is CUDA)",
    ),
    Published(
        "gsop",
        "ZilinGao/Global-Second-order-Pooling-Convolutional-Networks/torchvision/models/resnet.py",
        lambda module, shape: Around(
            module.Bottleneck(shape[0], shape[0] // 4, attention="1"),
            lambda bottleneck, x: x * bottleneck.chan_att(x),
        ),
        weights=only("DR", "row", "fc"),
        mended=(
            (
                "from .MPNCOV.python import MPNCOV",
                "class MPNCOV:\n"
                "    def CovpoolLayer(x):\n"
                "        return torch.stack([m.cov(correction=0) for m in x.flatten(2)])",
            ),
        ),
        shape=(272, 14, 9),
    ),
    Published(
        "spm",
        "houqb/SPNet/models/resnet.py",
        lambda module, shape: Around(
            module.SPBlock(shape[0], shape[0], nn.BatchNorm2d), lambda gate, x: x * gate(x)
        ),
        shape=(96, 14, 9),
    ),
    Published(
        "ela",
        "Xuwei86/ELA_Code/MbV2/models/mbv2_ela72.py",
        lambda module, shape: module.custom_att(shape[0], shape[0]),
        options={"variant": "large"},
        shape=(96, 14, 9),
    ),
    Published(
        "ela",
        "Xuwei86/ELA_Code/MbV2/models/mbv2_ela72.py",
        lambda module, shape: module.custom_att(shape[0], shape[0]),
        mended=(("groups=channel1//8", "groups=channel1"),),
        shape=(96, 14, 9),
        note="(depthwise)",
    ),
    Published(
        "scsa",
        "HZAI-ZJNU/SCSA/mmpretrain/models/attentions/SCSA.py",
        lambda module, shape: module.SCSA(shape[0], head_num=1),
        mended=SCSA_IMPORTS,
        shape=(96, 14, 21),
    ),
    Published(
        "scsa",
        "HZAI-ZJNU/SCSA/mmpretrain/models/attentions/SCSA.py",
        lambda module, shape: module.SCSA(shape[0], head_num=8, window_size=4),
        options={"window": 4, "heads": 8},
        mended=SCSA_IMPORTS,
        shape=(96, 14, 21),
        note="(8 heads, windows of 4)",
    ),
    Published(
        "smsa",
        "HZAI-ZJNU/SCSA/mmpretrain/models/attentions/SCSA.py",
        lambda module, shape: module.SCSA(shape[0], head_num=1),
        weights=only("dwc", "norm_"),
        mended=(*SCSA_IMPORTS, ("return attn * x", "return x")),
        shape=(96, 14, 21),
        note="(without the channel half)",
    ),
    Published(
        "pcsa",
        "HZAI-ZJNU/SCSA/mmpretrain/models/attentions/SCSA.py",
        lambda module, shape: module.SCSA(shape[0], head_num=1),
        weights=only("norm.", "q.", "k.", "v."),
        mended=(*SCSA_IMPORTS, ("x = x * x_h_attn * x_w_attn", "pass")),
        shape=(96, 14, 21),
        note="(without the spatial half)",
    ),
    Published(
        "lka",
        "Visual-Attention-Network/VAN-Classification/models/van.py",
        lambda module, shape: module.LKA(shape[0]),
        mended=(("timm.models.layers", "timm.layers"), ("timm.models.registry", "timm.models")),
        shape=(96, 14, 9),
    ),
    Published(
        "ffa",
        "ysj9909/FFNet/models/ffnet.py",
        deployed_ffa,
        mended=FFNET_MENDED,
        shape=(96, 14, 9),
        note="(as deployed)",
    ),
    Published(
        "ffa",
        "ysj9909/FFNet/models/ffnet.py",
        lambda module, shape: module.ResidualBlock(
            module.Token_Mixer(shape[0], 3, 3), shape[0], use_layer_scale=False
        ),
        options={"kernel_size": 3},
        mended=FFNET_MENDED,
        shape=(64, 28, 18),
        note="(kernels of 3, as in their early stages)",
    ),
    Published(
        "axial",
        "csrhddlam/axial-deeplab/lib/models/axialnet.py",
        lambda module, shape: module.AxialBlock(
            shape[0], shape[0] // 2, groups=8, kernel_size=shape[1]
        ),
        weights=without_indices,
        mended=(
            ("from .utils import *", "class qkv_transform(nn.Conv1d): pass"),
            ("out += identity\n        out = self.relu(out)", "out = out + identity"),
        ),
        note="(without the ReLU behind the sum)",
    ),
    Published(
        "bra",
        "rayleizhu/BiFormer/ops/bra_nchw.py",
        lambda module, shape: Inserted(
            nn.BatchNorm2d(shape[0]), module.nchwBRA(shape[0], num_heads=3, side_dwconv=5)
        ),
        mended=(
            (
                "from ops.torch.rrsda",
                "import sys; sys.path.append(sys.argv[1] + '/rayleizhu/BiFormer')\n"
                "from ops.torch.rrsda",
            ),
        ),
        shape=(96, 28, 14),
    ),
    Published(
        "aa",
        "leaderj1001/Attention-Augmented-Conv2d/AA-Wide-ResNet/attention_augmented_conv.py",
        lambda module, shape: Inserted(
            nn.Identity(), module.AugmentedConv(shape[0], shape[0], 1, 160, 8, 8, relative=True)
        ),
        weights=all_but("branch.conv_out"),
        mended=(
            # Their tables are of square maps alone, and stand in another order.
            (
                "self.attn_out = nn.Conv2d(self.dv, self.dv, kernel_size=1, stride=1)",
                "self.tables = nn.ParameterList([torch.empty(2 * 14 - 1, 20),"
                " torch.empty(2 * 9 - 1, 20)])\n"
                "        self.attn_out = nn.Conv2d(self.dv, out_channels, 1)",
            ),
            (
                "        if self.relative:\n            self.key_rel_w",
                "        if False:\n            self.key_rel_w",
            ),
            ("(q, self.key_rel_w,", "(q, self.tables[1],"),
            ("self.key_rel_h, W", "self.tables[0], W"),
            ("torch.cat((conv_out, attn_out), dim=1)", "attn_out"),
        ),
        shape=(96, 14, 9),
        note="(a port; the attention alone)",
    ),
    *SYSTEMS,
)
