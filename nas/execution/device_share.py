"""A GPU that processes of this machine share: beside others, or alone where memory ran out."""

from __future__ import annotations

import fcntl
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from nas.base.errors import StorageError
from nas.base.machine import cache_root

__all__ = ["DeviceShare"]


class DeviceShare:
    """A device's lock, which trainings beside each other share, and one that is alone has.

    Locks are of files: a process that dies gives its own back. Whoever waits to be alone stands in
    the door, so that trainings that come later wait behind it.

    name: of the device, among those of this machine.
    folder: of the files; None: in the user's cache.
    """

    def __init__(self, name: str, folder: Path | None = None) -> None:
        folder = cache_root() / "gpus" if folder is None else folder
        stem = re.sub(r"[^\w.-]+", "-", f"{socket.gethostname()}-{name}")
        self._door, self._room = folder / f"{stem}.door", folder / f"{stem}.room"

    @classmethod
    def of(cls, device: torch.device) -> DeviceShare | None:
        """Return the lock of a device; None where trainings have memory of their own, or a CPU's.

        What does not fit into that, the system ends by itself.
        """
        if device.type == "cpu":
            return None
        about = getattr(getattr(torch, device.type), "get_device_properties", None)
        known = None if about is None else getattr(about(device), "uuid", None)
        return cls(str(known or os.environ.get("CUDA_VISIBLE_DEVICES") or device.type))

    @contextmanager
    def beside_others(self) -> Iterator[None]:
        """Hold the device together with others; wait while somebody is, or wants to be, alone.

        Raises StorageError where the lock cannot be made.
        """
        with self._held(fcntl.LOCK_SH):
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the device without others, once they have ended. Raises as `beside_others`."""
        with self._held(fcntl.LOCK_EX):
            yield

    @contextmanager
    def _held(self, kind: int) -> Iterator[None]:
        try:
            self._door.parent.mkdir(parents=True, exist_ok=True)
            door, room = self._door.open("w"), self._room.open("w")
        except OSError as error:
            raise StorageError(
                f"{self._door.parent} cannot be written ({error.strerror}); it holds the locks of "
                "GPUs: point XDG_CACHE_HOME to another folder"
            ) from None
        with door, room:
            fcntl.flock(door, fcntl.LOCK_EX)
            fcntl.flock(room, kind)
            fcntl.flock(door, fcntl.LOCK_UN)
            yield
