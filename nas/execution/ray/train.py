"""One full training in several processes of a Ray cluster, by Ray Train.

It starts the processes, joins them in torch.distributed, and starts them again where one dies; they
then go on from the training's own checkpoint, in a folder that all of them see.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nas.base.errors import SpecError, StorageError, TrainingError
from nas.spec.runner import Ray
from nas.study.full_training import FullTraining
from nas.training.full import FullTrainingJob

if TYPE_CHECKING:
    from ray.train.torch import TorchTrainer
    from ray.util.queue import Queue

__all__ = ["check_processes", "train_in_processes"]

_STARTS = 3  # of the processes of a training, before it counts as failed
_TICK_SECONDS = 0.5
_PATIENCE_SECONDS = 3600  # of processes while the first one looks at validation images
_FOLDER = "ray-train"  # beside weights and checkpoints: what Ray Train keeps of its own


def check_processes(plan: Ray, processes: int, has: Mapping[str, float]) -> None:
    """Raise SpecError where a machine cannot hold so many processes of a training.

    has: its resources, as Ray names them.
    """
    for name, amount in _each(plan, has).items():
        most = int(has.get(name, 0.0) / amount) if amount else processes
        if most < processes:
            raise SpecError(
                f"retrain.processes {processes}: each takes {amount:g} {name}, and this machine "
                f"has {has.get(name, 0.0):g}; use {most or 'fewer'}, or name a cluster that has "
                "more (ray.address)"
            )


def _each(plan: Ray, has: Mapping[str, float]) -> dict[str, float]:
    """Return what a process takes: a GPU of its own, where there are any."""
    return {"CPU": plan.cpus, **({"GPU": 1.0} if has.get("GPU") else {}), **plan.resources}


def train_in_processes(
    job: FullTrainingJob,
    *,
    plan: Ray,
    processes: int,
    hear: Callable[[dict[str, float]], None],
) -> FullTraining:
    """Carry out a training in processes that share each batch; it needs a connection.

    Killed, the same call goes on from the last checkpoint, at most a minute of training before.
    hear: called with each report of progress (see `train_fully`).
    Returns what came of it, failures of its own included.
    Raises StorageError for what would befall every training.
    """
    from ray.util.queue import Queue

    said = Queue(actor_options={"num_cpus": 0})
    trainer = _trainer(job, plan, processes, said)
    failures: list[BaseException] = []
    thread = threading.Thread(target=_fit, args=(trainer, failures), daemon=True)
    thread.start()
    try:
        ended = _listen(thread, said, hear)
    finally:
        said.shutdown()
    if ended is not None:
        shutil.rmtree(job.folder / _FOLDER / job.about.name, ignore_errors=True)
        return ended
    reason = _reason(failures[0]) if failures else "its processes ended without a result"
    return replace(job.about, failure=f"its processes failed {_STARTS} times ({reason})")


def _trainer(job: FullTrainingJob, plan: Ray, processes: int, said: Queue) -> TorchTrainer:
    """Return Ray's trainer of a job, whose processes speak into a queue."""
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    each = _each(plan, ray.cluster_resources())  # type: ignore[no-untyped-call]
    return TorchTrainer(
        _train,
        train_loop_config={"job": job.to_dict(), "said": said},
        torch_config=TorchConfig(timeout_s=_PATIENCE_SECONDS),
        scaling_config=ScalingConfig(
            num_workers=processes,
            use_gpu="GPU" in each,
            resources_per_worker=each,
            placement_strategy=plan.placement.upper(),
        ),
        run_config=RunConfig(
            name=job.about.name,
            storage_path=str(job.folder / _FOLDER),
            failure_config=FailureConfig(max_failures=_STARTS - 1),
        ),
    )


def _listen(
    thread: threading.Thread, said: Queue, hear: Callable[[dict[str, float]], None]
) -> FullTraining | None:
    """Hear the processes while a thread waits for them, and return what they found.

    Raises StorageError for what would befall every training.
    """
    from ray.util.queue import Empty

    ended: FullTraining | None = None
    while thread.is_alive() or not said.empty():
        try:
            message = said.get(timeout=_TICK_SECONDS)
        except Empty:
            continue
        if "broken" in message:
            raise StorageError(f"a training cannot go on: {message['broken']}")
        if "found" in message:
            ended = FullTraining.from_dict(message["found"])
        else:
            hear(message)
    return ended


def _fit(trainer: Any, failures: list[BaseException]) -> None:
    try:
        trainer.fit()
    except BaseException as error:  # the thread that waits says it
        failures.append(error)


def _reason(error: BaseException) -> str:
    """Return one line of Ray's many: the last that names an error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "Error" in line or "died" in line or "killed" in line]
    return ((telling or lines or [type(error).__name__])[-1])[:300]


def _train(config: dict[str, Any]) -> None:
    """Train in one of the processes; the first speaks."""
    from torch import distributed as dist

    from nas.training.device import best_device
    from nas.training.full import train_fully

    job, said = FullTrainingJob.from_dict(config["job"]), config["said"]
    say = said.put if dist.get_rank() == 0 else lambda message: None
    try:
        training = train_fully(job, device=best_device(), say=say)
    except TrainingError as error:  # of all of them
        training = replace(job.about, failure=str(error), diverged=True)
    except StorageError as error:
        said.put({"broken": str(error)})
        raise
    say({"found": training.to_dict()})
