"""The times that a survey has taken so far, in a file that outlives its interruption."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from nas.base.errors import SpecError
from nas.base.files import write_whole
from nas.latency.measure import Latency

__all__ = ["Timings"]


class Timings:
    """The times that were taken so far.

    path: of the file that keeps them.
    device: what they are of; for a file of another one, `read` raises.
    anchor_ms: latency of the anchor; None until it was measured.
    anchor: its digest; None in files of earlier versions, which did not say it.
    graphs: milliseconds by key.
    networks: latencies by digest.
    """

    def __init__(
        self,
        path: Path,
        device: str,
        anchor_ms: float | None = None,
        graphs: Mapping[str, float] | None = None,
        networks: Mapping[str, Latency] | None = None,
        anchor: str | None = None,
    ) -> None:
        self.anchor_ms, self.anchor = anchor_ms, anchor
        self.graphs = dict(graphs or {})
        self.networks = dict(networks or {})
        self._path = path
        self._device = device

    @property
    def count(self) -> int:
        """The number of graphs and networks that were timed."""
        return len(self.graphs) + len(self.networks)

    @classmethod
    def read(cls, path: Path, device: str) -> Timings:
        """Read a file of timings; none where there is no file.

        Raises SpecError when it is of another device, or damaged.
        """
        if not path.exists():
            return cls(path, device)
        try:
            data = json.loads(path.read_text())
            if data["device"] != device:
                raise SpecError(
                    f"{path} holds timings of {data['device']}, and this is {device}; remove it "
                    "or write elsewhere"
                )
            networks = {key: Latency(**value) for key, value in data["networks"].items()}
            anchor = data.get("anchor")
            return cls(path, device, data["anchor_ms"], data["graphs"], networks, anchor)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise SpecError(f"{path} cannot be gone on with: remove it to start again") from None

    def write(self) -> None:
        """Write the file, whole. Raises StorageError."""
        data = {
            "device": self._device,
            "anchor_ms": self.anchor_ms,
            "anchor": self.anchor,
            "graphs": self.graphs,
            "networks": {key: asdict(value) for key, value in self.networks.items()},
        }
        with write_whole(self._path) as temporary:
            temporary.write_text(json.dumps(data))
