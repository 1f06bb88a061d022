"""`nas launch`: a search onto a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.errors import SpecError

__all__ = ["add_to"]


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
    from nas.candidates import load_space
    from nas.submission import Order, steps, submit, unfilled

    _check(context, [str(space), *context.args], runner)
    load_space(space)
    order = Order(space=space, out=out, options=tuple(context.args), runner=runner)
    made = steps(recipe, order, address=address)
    left = unfilled(recipe)
    if dry_run:
        if left:
            print(f"# {left}")
        for step in made:
            print(step)
        return
    if left:
        raise SpecError(left)
    submit(made)


def _check(context: typer.Context, options: list[str], runner: Path | None) -> None:
    """Find out here, not on the cluster, what `nas search` would refuse."""
    from nas.data import check_source
    from nas.runner import load_runner

    assert context.parent is not None
    command = context.parent.command.get_command(context.parent, "search")  # type: ignore[attr-defined]
    with command.make_context("search", options) as asked:
        load_runner(runner, tuple(asked.params["set_"] or ()))
        check_source(asked.params["data"])
