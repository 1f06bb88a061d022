"""A Ray cluster of several nodes on this machine, to be killed: a head that evaluates nothing, and
nodes of one core each that do.
"""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

from ray.cluster_utils import Cluster

from benchmarks.shared.processes import children, title

__all__ = ["HEALTH", "NODE", "Nodes"]

# A node that is silent for so long counts as dead; Ray's own minutes would make a test of hours.
HEALTH = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 5,
}
NODE = {"num_cpus": 1, "object_store_memory": 80_000_000}
_ENVIRONMENT = {
    "PYTHONPATH": str(Path(__file__).parents[2]),  # of whatever evaluates there
    "RAY_worker_niceness": "0",  # Ray would let all else go first
    "RAY_gcs_rpc_server_reconnect_timeout_s": "5",  # of those who lose the head
}


class Nodes:
    """Made on entering, gone on leaving. count: nodes that evaluate."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._cluster: Any = None

    def __enter__(self) -> Self:
        self._environment = patch.dict(os.environ, _ENVIRONMENT)
        self._environment.start()
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._cluster.shutdown()
        self._environment.stop()

    @property
    def environment(self) -> dict[str, str]:
        """Of a driver that is to join."""
        return {"RAY_ADDRESS": self._cluster.address}

    def workers(self) -> list[int]:
        """Processes that evaluate, or are about to."""
        return [
            process
            for node in self._cluster.worker_nodes
            for process in children(_raylet(node))
            if title(process).startswith("ray::") and "IDLE" not in title(process)
        ]

    def kill_node(self, chance: random.Random) -> None:
        """One leaves without a word, and another one comes."""
        node = chance.choice(sorted(self._cluster.worker_nodes, key=_raylet))
        self._cluster.remove_node(node, allow_graceful=False)
        self.mend()

    def freeze_node(self, chance: random.Random) -> list[int]:
        """Stop one; what was stopped, to be woken. Long enough, and the head counts it as dead."""
        raylet = chance.choice(sorted(map(_raylet, self._cluster.worker_nodes)))
        stopped = [raylet, *children(raylet)]
        for process in stopped:
            os.kill(process, signal.SIGSTOP)
        return stopped

    def mend(self) -> None:
        """Put nodes in the place of those that have ended."""
        for node in list(self._cluster.worker_nodes):
            if node.all_processes["raylet"][0].process.poll() is not None:
                self._cluster.remove_node(node, allow_graceful=False)
        while len(self._cluster.worker_nodes) < self._count:
            self._cluster.add_node(wait=False, **NODE)

    def kill_head(self) -> None:
        """And all nodes with it; a new cluster then stands at another address."""
        self._cluster.shutdown()
        self._start()

    def _start(self) -> None:
        head = NODE | {"num_cpus": 0, "include_dashboard": False, "_system_config": HEALTH}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self.mend()


def _raylet(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)
