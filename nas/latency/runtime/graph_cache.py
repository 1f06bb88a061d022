"""The cache of converted graphs: some converters take half a minute for one network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from nas.base.files import write_whole
from nas.base.machine import cache_root
from nas.latency.device import Device
from nas.latency.runtime import RUNTIMES

__all__ = ["LIMIT_BYTES", "cached_graph"]

LIMIT_BYTES = 2 * 1024**3
"""The size that the folder is kept under; what was not asked for the longest goes first."""

_DIGEST_BYTES = hashlib.sha256().digest_size


def cached_graph(network: str, device: Device, make: Callable[[], bytes]) -> bytes:
    """Return a converted graph from the cache, or convert it and keep it there.

    A file that is not what was written is made again.

    network: what tells it apart: its architecture, its classes, its resolution, its weights if
        they matter. Versions, batch and precision are added here; threads change no graph.
    make: converts the network.
    Raises MeasurementError when the runtime is not installed, what `make` raises, StorageError.
    """
    parts = (network, RUNTIMES[device.runtime].fingerprint(), device.batch, device.precision)
    name = hashlib.sha256(repr((device.runtime, *parts)).encode()).hexdigest()
    path = cache_root() / "graphs" / f"{name}.graph"
    cached = _read(path)
    if cached is not None:
        return cached
    graph = make()
    with write_whole(path) as temporary:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(hashlib.sha256(graph).digest() + graph)
    _make_room(path)
    return graph


def _read(path: Path) -> bytes | None:
    """Return a graph from its file; None where there is none, or it is damaged."""
    try:
        content = path.read_bytes()
        path.touch()
    except OSError:
        return None
    digest, graph = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    return graph if digest == hashlib.sha256(graph).digest() else None


def _make_room(newest: Path) -> None:
    """Delete the oldest graphs; another process may be doing the same."""
    graphs = []
    for path in newest.parent.glob("*.graph"):
        try:
            about = path.stat()
        except FileNotFoundError:
            continue
        graphs.append((about.st_mtime_ns, about.st_size, path))
    total = sum(size for _, size, _ in graphs)
    for _, size, path in sorted(graphs):
        if total <= LIMIT_BYTES:
            return
        if path != newest:
            path.unlink(missing_ok=True)
            total -= size
