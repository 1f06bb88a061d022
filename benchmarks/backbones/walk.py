"""How many mobile networks of timm and torchvision the walk finds sites in, and which fail.

    python -m benchmarks.backbones.walk [PATTERN ...]

Each network gets ECA at every site of its paper's position, and must then read an image. What
fails is named with its reason.
"""

from __future__ import annotations

import argparse

import timm
import torch

from nas.backbones import find_sites, known_backbones
from nas.models.build import build, uniform
from nas.spec.space import POSITIONS

FAMILIES = (
    "mobilenet* mnasnet* semnasnet* fbnet* spnasnet* efficientnet* tf_efficientnet* "
    "tf_mobilenet* tinynet* mixnet* tf_mixnet* hardcorenas* lcnet* ghostnet* repghostnet* "
    "rexnet* rexnetr* repvit* fastvit* mobileone* mobilevit* edgenext* efficientvit* starnet* "
    "convnext_atto* convnext_femto* torchvision/* mobilenext* hbonet* snet*"
).split()


def side_of(name: str) -> int:
    """224, or what a network with a fixed size of image asks for."""
    if "/" in name or not timm.is_model(name):
        return 224
    config = timm.get_pretrained_cfg(name)
    return int(config.input_size[1]) if config and config.fixed_input_size else 224


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("patterns", nargs="*", default=FAMILIES)
    names = {name for pattern in parser.parse_args().patterns for name in known_backbones(pattern)}
    failed = {}
    positions = 0
    for name in sorted(names):
        side = side_of(name)
        try:
            network = build(uniform(name, "eca", resolution=side), num_classes=10)
            with torch.inference_mode():
                assert network(torch.zeros(1, 3, side, side)).shape == (1, 10)
            positions += len(find_sites(name, side, positions=POSITIONS))
            print(f"ok      {name}", flush=True)
        except Exception as error:
            failed[name] = " ".join([type(error).__name__, *str(error).splitlines()[:1]])
            print(f"FAILED  {name}  {failed[name]}", flush=True)
    print(f"\n{len(names) - len(failed)} of {len(names)} networks, {positions} sites in all")
    for name, reason in failed.items():
        print(f"  {name}: {reason}")


if __name__ == "__main__":
    main()
