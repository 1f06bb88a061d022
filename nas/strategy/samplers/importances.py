"""Optuna's own view of a finished study: how much each parameter matters, by functional ANOVA."""

from __future__ import annotations

import warnings
from pathlib import Path

import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState

from nas.base.errors import SpecError
from nas.spec.storage_url import StorageUrl
from nas.strategy.storage.store import Store

__all__ = ["rank_importances"]

_LEAST = 4


def rank_importances(study: Path | StorageUrl, objective: int) -> dict[str, float]:
    """Return parameter -> share of an objective's variance that its choice explains.

    The most important comes first.

    study: a journal, or the address of a database.
    objective: its number among those of the study.
    Raises SpecError where too few trials are complete or all are alike, StorageError.
    """
    store = Store(study, writable=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        single = optuna.create_study(directions=["minimize"])
        for stored in store.frozen():
            whole = stored.state == TrialState.COMPLETE and stored.params
            if whole and stored.values is not None:
                single.add_trial(
                    optuna.trial.create_trial(
                        params=stored.params,
                        distributions=stored.distributions,
                        value=stored.values[objective],
                    )
                )
        trials = single.get_trials(deepcopy=False)
        differing = (
            {
                name
                for name in set.intersection(*(set(trial.params) for trial in trials))
                if len({trial.params[name] for trial in trials}) > 1
            }
            if trials
            else set()
        )
        if len(trials) < _LEAST or not differing or len({trial.value for trial in trials}) < 2:
            raise SpecError(f"importances need {_LEAST} or more complete trials that differ")
        return get_param_importances(
            single, evaluator=FanovaImportanceEvaluator(seed=0), params=sorted(differing)
        )
