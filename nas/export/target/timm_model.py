"""A folder that timm opens: its own network with the blocks in it, where the backbone is timm's."""

from __future__ import annotations

import json
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from nas.backbones import Site, plain_network, sites_by_name, timm_networks
from nas.backbones.stride import Dilation, layers_to_dilate, layers_to_unstride
from nas.data.reading import Resize
from nas.export.plain_torch import (
    WRITTEN,
    block_source,
    export_block,
    export_program,
    plain_source,
)
from nas.export.target.target import Target, WrittenGraph
from nas.export.target.torch_files import UNQUANTISED
from nas.export.winner import Winner
from nas.spec.architecture import EMPTY, Architecture

__all__ = ["TIMM"]

_CROP_MODES: dict[Resize, str] = {"crop": "center", "stretch": "squash", "pad": "border"}
"""Timm's names; its border is of the mean colour, ours is black."""

_SIDE = 256
"""The side of images that reductions of feature maps are read at."""


def _write(winner: Winner) -> WrittenGraph:
    """Write config.json and weights as timm reads them, and the module with the network."""
    name = f"attention_nas_{winner.architecture.digest}"
    whole = timm_networks.exists(winner.architecture.backbone)
    code, weights, fixed = _whole_model(winner, name) if whole else _graph_alone(winner, name)
    own = getattr(winner.network, "pretrained_cfg", {}) if whole else {}
    config = {
        "architecture": name,
        "num_classes": len(winner.classes),
        "pretrained_cfg": {
            "input_size": [*winner.size.shape],
            "fixed_input_size": fixed,
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "crop_mode": _CROP_MODES[winner.resize],
            "mean": [value / 255 for value in winner.mean],
            "std": [value / 255 for value in winner.std],
            "num_classes": len(winner.classes),
            "label_names": list(winner.classes),
            # By these timm fits weights to other classes and channels.
            **{key: own[key] for key in ("classifier", "first_conv") if own.get(key)},
        },
    }
    return WrittenGraph(
        {
            "/config.json": json.dumps(config, indent=1).encode(),
            "/model.safetensors": save(weights),
            "/winner.py": code.encode(),
        }
    )


def _whole_model(winner: Winner, name: str) -> tuple[str, dict[str, Tensor], bool]:
    """Return the module with timm's network and the blocks, its weights, and if its size is fixed.

    Blocks are written as plain torch; all else is timm's own code.
    """
    architecture = winner.architecture
    weights = {
        key: value.detach().clone().contiguous()
        for key, value in winner.network.state_dict().items()
    }
    labels = {insertion.site: insertion for insertion in architecture.insertions}
    sites = sites_by_name(
        architecture.backbone,
        architecture.resolution,
        architecture.total_stride,
        tuple(labels),
        architecture.output_stride,
    )
    dilation = _dilation(architecture)
    classes: dict[str, str] = {}  # code -> name
    rows, any_fixed = [], False
    for site in sites.values():
        kind = "nn.Identity"
        if labels[site.name].block != EMPTY:
            kind, held, fixed = _block(winner.network, site, classes)
            weights |= {f"{site.slot.path}.{key}": value for key, value in held.items()}
            any_fixed = any_fixed or fixed
        where = f"{site.slot.module!r}, {site.slot.way!r}, {site.slot.block_within!r}"
        rows.append(f"    ({where}, {kind}),  # {site.name}")
    written = [code.format(name=kind) for code, kind in classes.items()]
    code = _WHOLE.format(
        title=str(architecture).replace("\\", "/").replace('"', "'"),
        name=name,
        backbone=architecture.backbone.partition(".")[0],
        classes="\n\n".join([WRITTEN, *written]),
        rows="\n".join(rows),
        unstrided=(*_unstrided(architecture), *dilation.unstrided),
        dilated=dict(dilation.factors),
        reductions=_reductions(architecture),
        features="getter" if hasattr(winner.network, "forward_intermediates") else "hook",
    )
    return code, weights, any_fixed


def _block(
    network: nn.Module, site: Site, classes: dict[str, str]
) -> tuple[str, dict[str, Tensor], bool]:
    """Write the block at a site, or find that an equal one was written.

    classes: code with its name left open -> name; grows.
    Returns the name of its class, its weights, and whether it takes maps of one size alone.
    """
    shape = (site.channels, site.height, site.width)
    program, fixed = export_block(site.slot.block(network), shape)
    source = block_source(program, name="NAME", maps=shape[1:] if fixed else None)
    code = source.code.replace("{", "{{").replace("}", "}}")
    code = code.replace("class NAME(", "class {name}(", 1)
    return classes.setdefault(code, f"Block{len(classes) + 1}"), source.weights, fixed


def _unstrided(architecture: Architecture) -> tuple[str, ...]:
    """Return the paths of the layers that lose their stride."""
    if architecture.total_stride is None:
        return ()
    plain = plain_network(architecture.backbone)
    return layers_to_unstride(plain, architecture.total_stride, architecture.backbone)


def _dilation(architecture: Architecture) -> Dilation:
    """Return what makes its output stride."""
    if architecture.output_stride is None:
        return Dilation()
    plain = plain_network(architecture.backbone, total_stride=architecture.total_stride)
    return layers_to_dilate(plain, architecture.output_stride, architecture.backbone)


def _reductions(architecture: Architecture) -> tuple[int, ...]:
    """Return by how much each of timm's feature maps is smaller than the image.

    Empty where timm's own figures hold.
    """
    if architecture.total_stride is None and architecture.output_stride is None:
        return ()
    network: Any = plain_network(
        architecture.backbone,
        total_stride=architecture.total_stride,
        output_stride=architecture.output_stride,
    )
    sides: dict[str, int] = {}
    paths = [info["module"] for info in network.feature_info]

    def note(path: str) -> Any:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            sides[path] = output.shape[-1]

        return hook

    for path in paths:
        network.get_submodule(path).register_forward_hook(note(path))
    with torch.inference_mode():
        network(torch.zeros(1, 3, _SIDE, _SIDE))
    return tuple(_SIDE // sides[path] for path in paths)


def _graph_alone(winner: Winner, name: str) -> tuple[str, dict[str, Tensor], bool]:
    """Return the module with the network's graph as it is: timm has no class for its backbone."""
    program = export_program(winner.network, winner.size)
    source = plain_source(program, title=str(winner.architecture), size=winner.size)
    entry = _ENTRY.format(name=name, backbone=winner.architecture.backbone)
    return source.code + entry, source.weights, True


_WHOLE = '''"""{title}

A model of timm; written by attention-nas. With this file's folder on the path:

    import timm
    import winner
    network = timm.create_model("local-dir:FOLDER", pretrained=True).eval()
    network = timm.create_model("{name}", pretrained=True).eval()  # the same

It takes what timm's {backbone} takes: num_classes, in_chans, features_only, out_indices, drop_rate.
"""

import json
from functools import partial
from pathlib import Path

import timm
import torch
from timm.models import build_model_with_cfg, register_model
from torch import nn

aten = torch.ops.aten


{classes}

INSERTED = (
{rows}
)
"""Module, where the block goes (in its place, before or after it), its path there, the block."""

UNSTRIDED = {unstrided!r}
"""Layers that have lost their stride."""

DILATED = {dilated!r}
"""Layers behind them -> how many times as far as before they reach."""

REDUCTIONS = {reductions!r}
"""The form of timm's feature maps; empty: as timm says."""


def _after(path, module, inputs, output):
    return module.get_submodule(path)(output)


def _before(path, module, inputs):
    return module.get_submodule(path)(*inputs)


def _insert(network, module, way, path, block):
    if way == "in":
        owner, _, name = module.rpartition(".")
        setattr(network.get_submodule(owner), name, block())
        return
    owner = network.get_submodule(module)
    keeper, _, name = path.rpartition(".")
    owner.get_submodule(keeper).add_module(name, block())
    if not keeper and isinstance(owner, nn.Sequential):
        return
    if way == "after":
        owner.register_forward_hook(partial(_after, path))
    else:
        owner.register_forward_pre_hook(partial(_before, path))


def _create(**options):
    options.pop("img_size", None)  # the size is the blocks'
    network = timm.create_model("{backbone}", pretrained=False, **options)
    for path in UNSTRIDED:
        network.get_submodule(path).stride = (1, 1)
    for path, factor in DILATED.items():
        layer = network.get_submodule(path)
        for name in ("dilation", "padding"):
            value = getattr(layer, name)
            if isinstance(value, tuple):
                setattr(layer, name, tuple(factor * side for side in value))
            elif not isinstance(value, str):
                setattr(layer, name, factor * value)
    for inserted in INSERTED:
        _insert(network, *inserted)
    for info, reduction in zip(network.feature_info, REDUCTIONS):
        info["reduction"] = reduction
    return network


def _file_named(config):
    """Name the weights of a folder: timm before 1.0.26 takes any file in one for a pickle."""
    folder = config.get("file") if isinstance(config, dict) else None
    if folder and (weights := Path(folder) / "model.safetensors").exists():
        return {{**config, "source": "", "file": str(weights)}}
    return config


@register_model
def {name}(pretrained=False, pretrained_cfg=None, **options):
    """timm's {backbone} with blocks of attention."""
    folder = Path(__file__).parent
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))["pretrained_cfg"]
    return build_model_with_cfg(
        _create,
        "{name}",
        pretrained,
        pretrained_cfg=_file_named(pretrained_cfg or {{**config, "file": str(folder)}}),
        feature_cfg={{"feature_cls": "{features}"}},
        **options,
    )
'''

_ENTRY = '''

from timm.models import register_model  # noqa: E402


@register_model
def {name}(
    pretrained=False, pretrained_cfg=None, pretrained_cfg_overlay=None, cache_dir=None, **options
):
    """The network as it was trained. Import this file, then
    timm.create_model("local-dir:THIS_FOLDER", pretrained=True), or
    timm.create_model("{name}", pretrained=True).
    """
    import json
    from pathlib import Path

    folder = Path(__file__).parent
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    own = {{"num_classes": config["num_classes"], "in_chans": 3}}
    for option, value in options.items():
        if value != own.get(option, False):
            raise ValueError(
                f"{{option}}={{value!r}} is not possible: timm has no {backbone}, so that this is "
                "the graph as it was trained; finetune it in plain torch"
            )
    network = load(folder / "model.safetensors") if pretrained else Network()
    network.pretrained_cfg = network.default_cfg = config["pretrained_cfg"]
    network.num_classes = config["num_classes"]
    return network
'''

TIMM = Target(
    name="timm",
    title="timm (safetensors and config)",
    runs=("timm",),
    writes=("safetensors",),
    install="pip install timm",
    write=_write,
    main="/config.json",
    any_batch=True,
    no_int8=UNQUANTISED,
    classifies=True,
)
