"""The contents of run.yaml: what a run was asked for, resolved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from nas.base.own_name import OwnName
from nas.runs.reading import reading_of, settle_task
from nas.spec.runner import JOURNAL, Runner
from nas.spec.storage_url import StorageUrl

if TYPE_CHECKING:
    from nas.data import Reading

__all__ = ["RunFile"]


class RunFile(Runner):
    """The contents of run.yaml: the runner as it was resolved, and the data."""

    data: str
    study: str = "search"
    """Its name in the storage."""
    begun: Annotated[int, Field(ge=0)] = 0
    """Trials that it began with, of a calibration."""
    image_rules: Literal[1, 2] = 1
    """How files of images are found and known: see `Reading`. Runs of before do not say."""

    @classmethod
    def of(cls, runner: Runner, data: str, study: str = "search") -> RunFile:
        """Return the file of a new run: its images are found from anywhere, by today's rules."""
        from nas.data import Reading, resolve_source, resolve_validation

        named = settle_task(runner, data).model_dump()
        named |= {"data": resolve_source(data), "image_rules": Reading().rules}
        named |= {"validation": resolve_validation(runner.validation)}
        named |= {"test": runner.test and resolve_validation(runner.test)}
        return cls(**named, study=study)

    @property
    def reading(self) -> Reading:
        """How its images are read."""
        return reading_of(self, self.image_rules)

    @property
    def data_name(self) -> str:
        """The data for pictures and packs: where a folder lies here is nobody's business."""
        kind, _, argument = self.data.partition(":")
        own = OwnName.parse(self.data)
        if own is not None and own.is_file:
            return own.brief
        return f"{kind}:{Path(argument).name}" if argument.startswith("/") else self.data

    @property
    def address(self) -> StorageUrl | None:
        """The address of the study; None: it is in the run folder's journal."""
        return None if self.storage == JOURNAL else StorageUrl.parse(self.storage).of(self.study)
