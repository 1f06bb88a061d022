"""`nas launch`: a search onto a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.base.errors import SpecError

if TYPE_CHECKING:
    from nas.runs.submit import Submission

__all__ = ["add_to"]

_DATA_FOLDERS = ("folder", "imagenet")


def add_to(app: typer.Typer) -> None:
    app.command(
        "launch", context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
    )(_launch)


def _launch(
    context: typer.Context,
    recipe: Annotated[Path, typer.Argument(help="A recipe of runners/, or one's own like it.")],
    space: Annotated[Path, typer.Argument(help="Search space file.")],
    out: Annotated[str, typer.Option(help="Run folder, as the cluster's machines see it.")],
    runner: Annotated[
        Path | None, typer.Option(help="Runner file to take along, where the recipe is none.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Job server of a Ray cluster: http://HEAD:8265.")
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
    from nas.runs.submit import find_unfilled, plan_steps, submit

    load_space(space)
    order = _order(context, space, out, runner)
    made = plan_steps(recipe, order, address=address)
    left = find_unfilled(recipe)
    if dry_run:
        if left:
            print(f"# {left}")
        for step in made:
            print(step)
        return
    if left:
        raise SpecError(left)
    submit(made)


def _order(context: typer.Context, space: Path, out: str, runner: Path | None) -> Submission:
    """Finds out here, not on the cluster, what `nas search` would refuse."""
    from nas.data import check_source
    from nas.runs.submit import Submission
    from nas.spec.runner import load_runner

    assert context.parent is not None
    command = context.parent.command.get_command(context.parent, "search")  # type: ignore[attr-defined]
    with command.make_context("search", [str(space), *context.args]) as asked:
        given = asked.params
    profile = load_runner(runner, tuple(given["set_"] or ())).device_profile
    check_source(given["data"])
    named = {"prior": given["prior"], "device": profile}
    files = {name: Path(path) for name, path in named.items() if path is not None}
    kind, _, place = given["data"].partition(":")
    folders = {f"--data {given['data']}": place} if kind in _DATA_FOLDERS else {}
    if given["calibration"] is not None:
        folders[f"--calibration {given['calibration']}"] = str(given["calibration"])
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
