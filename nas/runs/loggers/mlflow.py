"""MLflow: where `MLFLOW_TRACKING_URI` says, else into the run folder, for
`mlflow ui --backend-store-uri sqlite:///RUN/mlflow.db`. A resumed search goes on with its run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

from nas.base.errors import SpecError, first_line
from nas.runs.run import Run
from nas.spec.storage_url import StorageUrl

__all__ = ["Mlflow", "open"]

_EXPERIMENT = "attention-nas"
_TAG = "attention_nas_run"


class Mlflow:
    """A sink in MLflow: steps are trials, notes on them are tags.

    Its client is its own: no global is set.
    """

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client = client
        self._run = run_id

    def figures(self, values: Mapping[str, float], trial: int) -> None:
        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, trial) for name, value in values.items()]
        self._client.log_batch(self._run, metrics=metrics)

    def text(self, name: str, text: str, trial: int) -> None:
        self._client.set_tag(self._run, f"{name}.{trial}", text)

    def picture(self, path: Path) -> None:
        self._client.log_artifact(self._run, str(path))

    def close(self, *, finished: bool) -> None:
        self._client.set_terminated(self._run, "FINISHED" if finished else "KILLED")


def open(run: Run) -> Mlflow:
    """Open a run in MLflow, or go on with it.

    Raises SpecError when the tracking server does not answer.
    """
    folder = run.path.resolve()
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    where = uri or StorageUrl.of_file(folder / "mlflow.db").connection_url()
    files = None if uri else (folder / "mlflow").as_uri()
    try:
        client = MlflowClient(where)
        experiment = client.get_experiment_by_name(_EXPERIMENT)
        experiment_id = (
            experiment.experiment_id
            if experiment
            else client.create_experiment(_EXPERIMENT, artifact_location=files)
        )
        # Where a run stands and when it began: a folder's name may be used again.
        mark = f"{run.path.resolve()} {run.environment()['started']}".replace("'", "")
        runs = client.search_runs([experiment_id], f"tags.{_TAG} = '{mark}'")
        if runs:
            run_id = runs[0].info.run_id
            client.update_run(run_id, status="RUNNING")
        else:
            created = client.create_run(experiment_id, run_name=run.path.name, tags={_TAG: mark})
            run_id = created.info.run_id
            about = {"space": run.space.name, **run.file.model_dump(mode="json")}
            params = [Param(name, str(value)[:6000]) for name, value in about.items()]
            client.log_batch(run_id, params=params)
    except MlflowException as error:
        raise SpecError(f"logger mlflow: {where} cannot be used ({first_line(error)})") from None
    return Mlflow(client, run_id)
