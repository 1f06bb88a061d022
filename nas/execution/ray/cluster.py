"""A Ray cluster: joined or started, what it holds, and the node that latencies are measured on."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from nas.base.errors import MeasurementError, NasError, SpecError
from nas.base.program import PACKAGE
from nas.execution.executor import LatencyMachine
from nas.execution.ray.train import check_processes
from nas.spec.runner import Ray

__all__ = ["capacity", "connect", "gauge_options", "trial_options"]

_STORE_BYTES = 128 * 2**20  # of objects in memory; jobs and outcomes are small
_STARTS = 3  # of a cluster of our own
_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
_SLACK = 1e-6
_SOCKET_TOO_LONG = "AF_UNIX path length"

_P = ParamSpec("_P")
_T = TypeVar("_T")


@contextmanager
def connect(
    plan: Ray,
    *,
    cores: float,
    gauge_gpus: float = 0.0,
    processes: int = 0,
    say: Callable[[str], None],
) -> Iterator[LatencyMachine]:
    """Connect this process to a cluster, and disconnect at the end.

    A cluster that was started here ends with it. One that this process is connected to already is
    used and left as it is.
    plan: which cluster, and what a trial takes of it.
    cores: that a cluster of this machine's own has.
    gauge_gpus: that measuring takes.
    processes: that a full training is shared by (see `check_processes`); 0: trials are trained.
    say: hears the address of the dashboard.
    Yields the machine that latencies are measured on.
    Raises SpecError when there is no such cluster, or it lacks what is needed.
    """
    address = plan.address or os.environ.get("RAY_ADDRESS") or "local"
    with _listening_on_loopback(address == "local"):
        import ray

    if ray.is_initialized():
        yield _latency_machine(plan, gauge_gpus)
        return
    own: dict[str, Any] = {}
    if address == "local":
        own = {"num_cpus": math.ceil(cores), "object_store_memory": _STORE_BYTES}
    else:
        own = {"runtime_env": _runtime_env(plan)}
    info = _join(address, own)
    try:
        if info.dashboard_url:
            say(f"Ray's dashboard: http://{info.dashboard_url}")
        if processes and address == "local":
            check_processes(plan, processes, ray.cluster_resources())  # type: ignore[no-untyped-call]
        elif not processes:
            _check(plan, gauge_gpus, fixed=address == "local")
        yield _latency_machine(plan, gauge_gpus)
    finally:
        ray.shutdown()


def _join(address: str, own: Mapping[str, Any]) -> Any:
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)
    with _listening_on_loopback(address == "local"):
        for attempt in range(_STARTS):
            try:
                return ray.init(
                    address=address, log_to_driver=False, logging_level=logging.ERROR, **own
                )
            except Exception as error:  # Ray raises that very class where a node is slow to start
                ray.shutdown()
                if _SOCKET_TOO_LONG in str(error):
                    raise SpecError(_say_shorter(str(error))) from None
                if address != "local":
                    raise SpecError(
                        f"no Ray cluster at {address} ({_first_line(error)}); start one "
                        "(ray start --head), or leave ray.address out"
                    ) from None
                # Ray waits half a minute for itself, which on a busy machine can be too short.
                if attempt == _STARTS - 1:
                    raise NasError(f"Ray does not start: {_first_line(error)}") from None
    raise AssertionError("unreachable")


def _say_shorter(error: str) -> str:
    """Say where Ray's sockets would lie, and how to have them elsewhere."""
    path = error.rpartition(": ")[2].strip().strip("'")  # older versions of Ray quote it
    folder = path.partition("/ray/session_")[0]
    return (
        f"Ray keeps its sockets under {folder}, and their paths ({len(path)} characters) are "
        "longer than the system allows; name a short folder on a local disk: export "
        "RAY_TMPDIR=/tmp"
    )


def _check(plan: Ray, gauge_gpus: float, *, fixed: bool) -> None:
    """Raise SpecError when something is not there that no node will bring.

    fixed: no more nodes will join.
    """
    alive = _alive()
    if plan.latency is not None and not any(plan.latency in node["Resources"] for node in alive):
        raise SpecError(
            f"ray.latency {plan.latency!r}: no node has this resource; start the one to measure on "
            f"with: ray start --num-cpus=0 --resources='{{\"{plan.latency}\": 1}}'"
        )
    if gauge_gpus and _gauge_node(plan)["Resources"].get("GPU", 0.0) < gauge_gpus:
        raise SpecError(
            f"latencies are measured on a GPU, and the node for that has none of {gauge_gpus:g} "
            "(ray.gpus); start the driver on one that has, or name one with ray.latency"
        )
    if fixed and capacity(plan, gauge_gpus=gauge_gpus) == 0:
        has = {name: alive[0]["Resources"].get(name, 0) for name in plan.needs}
        beside = f", of which measuring latencies takes {gauge_gpus:g} GPU" if gauge_gpus else ""
        raise SpecError(
            f"a trial takes {_describe(plan.needs)} (ray.cpus, ray.gpus, ray.resources); this "
            f"machine has {_describe(has)}{beside}"
        )


def _describe(amounts: Mapping[str, float]) -> str:
    return ", ".join(f"{amount:g} {name}" for name, amount in amounts.items())


def _runtime_env(plan: Ray) -> dict[str, Any]:
    """Return Ray's runtime environment: what workers elsewhere are sent."""
    modules = [str(Path(folder).resolve()) for folder in plan.modules]
    for folder in modules:
        if not Path(folder).is_dir():
            raise SpecError(f"ray.modules: {folder} is no folder of a package")
    if plan.send_code:
        modules.append(str(PACKAGE.resolve()))
    return {"py_modules": modules} if modules else {}


@contextmanager
def _listening_on_loopback(wanted: bool) -> Iterator[None]:
    """Let Ray listen on this machine alone.

    It binds to every interface on Linux, and to loopback on systems where it holds clusters for
    unsupported; this variable, read when it is imported, is its only switch.
    """
    if not wanted or _LOOPBACK in os.environ:
        yield
        return
    os.environ[_LOOPBACK] = "0"
    try:
        yield
    finally:
        del os.environ[_LOOPBACK]


def capacity(plan: Ray, *, gauge_gpus: float = 0.0) -> int:
    """Count the trials that the nodes of the cluster hold at a time.

    Whatever runs there now does not count, but what measures latencies does.
    gauge_gpus: that measuring takes.
    """
    measuring = _gauge_node(plan)["NodeID"] if gauge_gpus else None
    total = 0
    for node in _alive():
        has = dict(node["Resources"])
        if node["NodeID"] == measuring:
            has["GPU"] = has.get("GPU", 0.0) - gauge_gpus
        holds = (has.get(name, 0.0) / amount + _SLACK for name, amount in plan.needs.items())
        total += max(0, int(min(holds)))
    return total


def _gauge_node(plan: Ray) -> dict[str, Any]:
    """Return the node that latencies are measured on."""
    import ray

    if plan.latency is not None:
        return next(node for node in _alive() if plan.latency in node["Resources"])
    here = ray.get_runtime_context().get_node_id()
    return next(node for node in _alive() if node["NodeID"] == here)


def _alive() -> list[dict[str, Any]]:
    import ray

    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"]]


def trial_options(plan: Ray, *, threads: int) -> dict[str, Any]:
    """Return Ray's options for the actor that evaluates, one trial at a time.

    threads: that a training computes with.
    """
    count = str(threads)
    return {
        "num_cpus": plan.cpus,
        "num_gpus": plan.gpus,
        "resources": dict(plan.resources),
        "scheduling_strategy": "SPREAD" if plan.placement == "spread" else "DEFAULT",
        "runtime_env": {"env_vars": {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count}},
    }


def gauge_options(plan: Ray, gpus: float) -> dict[str, Any]:
    """Return Ray's options for what measures latencies: on one node only.

    It takes no core: on the driver's node one is idle while a job is measured, and a node of its
    own is started without cores.
    gpus: that it takes, as in `WorkerFactories`.
    """
    options: dict[str, Any] = {"num_cpus": 0, "num_gpus": gpus}
    if plan.latency is not None:
        return options | {"resources": {plan.latency: 0.001}}
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    node = ray.get_runtime_context().get_node_id()
    return options | {"scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False)}


def _latency_machine(plan: Ray, gpus: float) -> LatencyMachine:
    """Return the node that latencies are measured on; an error there is raised here as it was."""

    def call(function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        import ray

        remote: Any = ray.remote(function).options(**gauge_options(plan, gpus))
        try:
            value: _T = ray.get(remote.remote(*args, **kwargs))
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, NasError):
                raise cause from None
            raise
        except ray.exceptions.RayError as error:
            raise MeasurementError(
                f"the node that latencies are measured on failed: {_first_line(error)}"
            ) from None
        return value

    return call


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0].strip() or type(error).__name__
