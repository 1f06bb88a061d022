"""`nas launch`: a search onto a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.base.content import content_path
from nas.base.errors import SpecError
from nas.base.own_name import OwnName
from nas.cli.completion import runner_names
from nas.cli.options import SpaceFile
from nas.cli.parsing import is_share

if TYPE_CHECKING:
    from nas.runs.submit import Submission

__all__ = ["PASSES_OPTIONS_ON", "launch"]

_DATA_FOLDERS = ("folder", "imagenet", "voc", "market1501")
"""The kinds of data that are read from a path."""


PASSES_OPTIONS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
"""The settings of its context: what it does not know is for nas search."""


def launch(
    context: typer.Context,
    recipe: Annotated[Path, typer.Argument(help="A recipe of runners/, or one's own like it.")],
    space: SpaceFile,
    out: Annotated[
        str, typer.Option(metavar="FOLDER", help="Run folder, as the cluster's machines see it.")
    ],
    runner: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            autocompletion=runner_names,
            help="Runner file to take along, where the recipe is none.",
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Job server of a Ray cluster: http://HEAD:8265."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be done; do nothing.")
    ] = False,
) -> None:
    """Submit a search to a cluster: Ray's job server or launcher, SLURM, or Kubernetes.

    All other options are those of nas search, for the search there.

    Example: nas launch runners/slurm.sbatch search_spaces/mobilenetv2.yaml --out /shared/runs/one
    --data folder:/shared/images --trials 200 --dry-run
    """
    from nas.models.candidates import load_space
    from nas.runs import submit

    load_space(space)
    space = content_path("search_spaces", space)  # which goes along as a file
    recipe = content_path("recipes", recipe)
    submission = _read_submission(context, space, out, runner)
    steps = submit.plan_steps(recipe, submission, address=address)
    gap = submit.find_unfilled(recipe)
    if dry_run:
        if gap:
            print(f"# {gap}")
        for step in steps:
            print(step)
        return
    if gap:
        raise SpecError(gap)
    for line in submit.submit(steps):
        print(line)


def _read_submission(
    context: typer.Context, space: Path, out: str, runner: Path | None
) -> Submission:
    """Read what is for the search there.

    Raises SpecError here, not on the cluster, for what `nas search` would refuse.
    """
    from nas.data import check_source
    from nas.runs.submit import Submission
    from nas.spec.runner import load_runner

    options = _search_options(context, space)
    data, prior, calibration = options["data"], options["prior"], options["calibration"]
    asked = [f"regime={options['regime']}"] if options["regime"] else []
    profile = load_runner(runner, (*asked, *(options["set_"] or ()))).device_profile
    check_source(data)
    named = {"prior": prior, "device": profile}
    files = {name: Path(path) for name, path in named.items() if path is not None}
    kind, _, place = data.partition(":")
    folders = {f"--data {data}": place} if kind in _DATA_FOLDERS else {}
    folders |= _files_of_code(space, data, options["backbone"] or ())
    validation = options["validation"]
    if validation is not None and not is_share(validation):
        folders[f"--validation {validation}"] = validation
    if options["test"] is not None:
        folders[f"--test {options['test']}"] = options["test"]
    if calibration is not None:
        folders[f"--calibration {calibration}"] = str(calibration)
    return Submission(
        space=space,
        out=out,
        options=tuple(context.args),
        runner=runner,
        # What is named from / on and is not here is there already.
        files={
            name: path for name, path in files.items() if path.exists() or not path.is_absolute()
        },
        folders=folders,
    )


def _files_of_code(space: Path, data: str, backbones: Sequence[str]) -> dict[str, str]:
    """Return the user's own files that a search runs, by what names them: they are not sent."""
    from nas.spec.space import parse_space
    from nas.spec.width import split_width

    named = {f"backbone {name}": split_width(name)[0] for name in parse_space(space).backbones}
    if backbones:
        named = {f"--backbone {name}": split_width(name)[0] for name in backbones}
    owns = {
        words: OwnName.parse(name) for words, name in (named | {f"--data {data}": data}).items()
    }
    return {words: own.place for words, own in owns.items() if own is not None and own.is_file}


def _search_options(context: typer.Context, space: Path) -> dict[str, Any]:
    """Parse the options that are left as `nas search` would."""
    assert context.parent is not None
    command = context.parent.command.get_command(context.parent, "search")  # type: ignore[attr-defined]
    with command.make_context("search", [str(space), *context.args]) as search:
        options: dict[str, Any] = search.params
    return options
