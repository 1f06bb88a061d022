"""PyTorch's own files: pt2 (torch.export), TorchScript, and a folder that timm opens."""

from __future__ import annotations

import io
import json

import torch
from safetensors.torch import save

from nas.data.reading import Resize
from nas.export.plain_torch import export_program, plain_source
from nas.export.target.target import Target, WrittenGraph
from nas.export.winner import Winner

__all__ = ["PT2", "TIMM", "TORCHSCRIPT"]

_UNQUANTISED = "for int8 take onnx, openvino, litert or executorch"


def _write_pt2(winner: Winner) -> WrittenGraph:
    buffer = io.BytesIO()
    torch.export.save(export_program(winner.network, winner.side), buffer)
    return WrittenGraph({".pt2": buffer.getvalue()})


def _write_torchscript(winner: Winner) -> WrittenGraph:
    images = torch.zeros(2, 3, winner.side, winner.side)
    with torch.no_grad():
        traced = torch.jit.trace(winner.network, images, check_trace=False)  # type: ignore[no-untyped-call]
    buffer = io.BytesIO()
    torch.jit.save(traced, buffer)
    return WrittenGraph({".pt": buffer.getvalue()})


def _write_timm(winner: Winner) -> WrittenGraph:
    """Write config.json and weights as timm reads them, and the module with the network."""
    name = f"attention_nas_{winner.architecture.digest}"
    program = export_program(winner.network, winner.side)
    source = plain_source(program, title=str(winner.architecture), side=winner.side)
    config = {
        "architecture": name,
        "num_classes": len(winner.classes),
        "pretrained_cfg": {
            "input_size": [3, winner.side, winner.side],
            "fixed_input_size": True,
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "crop_mode": _CROP_MODES[winner.resize],
            "mean": [value / 255 for value in winner.mean],
            "std": [value / 255 for value in winner.std],
            "num_classes": len(winner.classes),
            "label_names": list(winner.classes),
        },
    }
    return WrittenGraph(
        {
            "/config.json": json.dumps(config, indent=1).encode(),
            "/model.safetensors": save(source.weights),
            "/winner.py": (source.code + _ENTRY.format(name=name)).encode(),
        }
    )


_CROP_MODES: dict[Resize, str] = {"crop": "center", "stretch": "squash", "pad": "border"}
"""Timm's names; its border is of the mean colour, ours is black."""

_ENTRY = '''

from timm.models import register_model  # noqa: E402


@register_model
def {name}(pretrained=False, pretrained_cfg=None, **options):
    """For timm: import this file, then timm.create_model("local-dir:THIS_FOLDER",
    pretrained=True), or timm.create_model("{name}", pretrained=True).
    """
    import json
    from pathlib import Path

    folder = Path(__file__).parent
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    network = load(folder / "model.safetensors") if pretrained else Network()
    network.pretrained_cfg = network.default_cfg = config["pretrained_cfg"]
    network.num_classes = config["num_classes"]
    return network
'''

PT2 = Target(
    name="pt2",
    title="PyTorch (torch.export)",
    runs=("torch",),
    writes=(),
    install="pip install torch",
    write=_write_pt2,
    main=".pt2",
    alone=True,
    any_batch=True,
    no_int8=_UNQUANTISED,
)

TORCHSCRIPT = Target(
    name="torchscript",
    title="TorchScript",
    runs=("torch",),
    writes=(),
    install="pip install torch",
    write=_write_torchscript,
    main=".pt",
    alone=True,
    any_batch=True,
    no_int8=_UNQUANTISED,
)

TIMM = Target(
    name="timm",
    title="timm (safetensors and config)",
    runs=("timm",),
    writes=("safetensors",),
    install="pip install timm",
    write=_write_timm,
    main="/config.json",
    any_batch=True,
    no_int8=_UNQUANTISED,
)
