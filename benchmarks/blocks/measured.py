"""What `nas blocks` tells of each block: its time at a usual site, and what runs it.

    python -m benchmarks.blocks.measured [BLOCK ...]

Times are of ONNX Runtime on one thread, with the block behind the projection of an inverted
residual of MobileNetV2: 96 channels of 14 x 14, the map that `nas blocks` shows costs of. Each
block is visited in turns with the same residual block without it, by the clock of the thread, and
what is kept is their ratio, which other machines have more nearly than milliseconds. What runs a
block is tried as in `benchmarks.blocks.runtimes`, with all that is installed; what accelerators of
phones take is said by ONNX Runtime's own checker. Writes nas/blocks/measured.json after every
block; those that are not named keep what they had.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import torch

import nas.blocks.measured
from benchmarks.blocks.runtimes import PLAIN, WAYS, Found, InOwnProcess, fingerprint, graph_around
from nas.backbones import Site, find_sites
from nas.base.clock import utc_now
from nas.base.errors import MeasurementError
from nas.base.files import write_whole
from nas.base.machine import processor
from nas.blocks import BLOCKS, make_block
from nas.export.target.onnx import phone_delegates
from nas.latency.host_block import HostBlock, input_shapes
from nas.latency.measure import Anchor, Subject, measure_anchor, measure_together
from nas.latency.runtime import RUNTIMES, device_named
from nas.latency.survey import loader_of
from nas.models.build import build
from nas.spec.architecture import EMPTY, Architecture

FILE = Path(nas.blocks.measured.__file__).with_name("measured.json")
BACKBONE, RESOLUTION, SITE = "mobilenetv2_100", 224, "blocks.4.1/after_projection"
TIMED_BY, ROUNDS = "onnxruntime", 24
_TORCH_ITSELF = {"torch", "cuda"}  # which all others are compared with
ABOUT = (
    "What was measured of each block. time: added at the site, as a share of the residual block's "
    "there. differences: the largest of any score from torch's, as a share of the largest."
)


class Bench:
    """The residual block that others are timed in."""

    def __init__(self) -> None:
        network = build(Architecture(BACKBONE, RESOLUTION))
        sites = find_sites(BACKBONE, RESOLUTION, positions=["after_projection"])
        self.site: Site = next(site for site in sites if site.name == SITE)
        self.host = HostBlock(network, self.site, input_shapes(network, RESOLUTION))
        (self.graph,) = self.host.graphs(EMPTY)
        self.load = loader_of(device_named(TIMED_BY))
        plain = Subject(self.load(self.graph.module(), self.graph.shape), (1, *self.graph.shape))
        self.anchor = Anchor(plain, measure_anchor(plain))

    def time(self, name: str) -> tuple[float, float] | tuple[None, None]:
        """Return what a block adds, as a share of the residual block's time, and its spread."""
        if BLOCKS[name].applies(self.site):
            return None, None
        module, site = self.graph.module(), self.site
        # As authors start it: what an identity start doubles is folded away where it ships.
        block = make_block(name, channels=site.channels, height=site.height, width=site.width)
        self.host.slot.fill(module, block.eval())
        subject = Subject(self.load(module, self.graph.shape), self.anchor.subject.shape)
        latency = measure_together({name: subject}, self.anchor, seed=0, rounds=ROUNDS)[name]
        return latency.latency_ms / self.anchor.latency_ms - 1, latency.spread

    def described(self) -> dict[str, Any]:
        """Return what the file says of the place."""
        return {
            "backbone": BACKBONE,
            "resolution": RESOLUTION,
            "site": SITE,
            "channels": self.site.channels,
            "height": self.site.height,
            "width": self.site.width,
            "time_ms": round(self.anchor.latency_ms, 4),
        }


def accelerators(name: str) -> dict[str, Any]:
    """Return what phones' accelerators take of the operators that a block adds to a network."""
    added = {}
    around = {each.accelerator: each for each in phone_delegates(graph_around(PLAIN))}
    for each in phone_delegates(graph_around(name)):
        plain = around[each.accelerator]
        outside = Counter(each.outside) - Counter(plain.outside)
        inside = max(0, each.inside - plain.inside)
        added[each.accelerator] = {"inside": inside, "outside": dict(outside)}
    return added


def row(name: str, bench: Bench, found: dict[str, Found]) -> dict[str, Any]:
    """Return what is kept of a block."""
    time, spread = bench.time(name)
    rounded = {
        way: None if one.difference is None else float(f"{one.difference:.1e}")
        for way, one in found.items()
    }
    return {
        "time": time and round(time, 3),
        "spread": spread and round(spread, 4),
        "differences": rounded,
        "failures": {way: one.failure for way, one in found.items() if one.failure},
        "accelerators": accelerators(name),
    }


def installed() -> dict[str, str]:
    """Return the ways to run a block that there are here, with the versions of what runs."""
    there = {}
    for way in WAYS:
        if way in _TORCH_ITSELF:
            continue
        try:
            there[way] = fingerprint(way)
        except MeasurementError as error:
            print(f"left out: {error}")
    return there


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("blocks", nargs="*", default=list(BLOCKS))
    wanted = parser.parse_args().blocks
    torch.set_num_threads(1)
    there, bench, own = installed(), Bench(), InOwnProcess()
    kept = json.loads(FILE.read_text(encoding="utf-8"))["blocks"] if FILE.exists() else {}
    for name in wanted:
        kept[name] = row(name, bench, {way: own.tried(way, name) for way in there})
        content = {
            "version": 1,
            "about": ABOUT,
            "machine": processor(),
            "date": utc_now()[:10],
            "timed_by": f"{TIMED_BY} {RUNTIMES[TIMED_BY].version()}, one thread",
            "site": bench.described(),
            "versions": there,
            "blocks": {block: kept[block] for block in BLOCKS if block in kept},
        }
        with write_whole(FILE) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        print(f"{name:<14} {kept[name]['time']} {kept[name]['differences']}", flush=True)
    own.close()


if __name__ == "__main__":
    main()
