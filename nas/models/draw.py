"""Drawing an architecture over its whole backbone."""

from __future__ import annotations

from nas.backbones.sites.slot import usual_positions
from nas.models.task_sites import all_task_sites
from nas.spec.architecture import Architecture, check_architecture
from nas.spec.drawing import Drawing
from nas.spec.task import Task

__all__ = ["draw"]


def draw(architecture: Architecture, task: Task | None = None) -> Drawing:
    """Draw an architecture: which block stands at which site, with the maps of each stage.

    task: what the network is for; None: classification.

    A notebook shows it, and its `save("network.svg")` writes it. Sites of positions that hold no
    block are left out.
    Raises SpecError for a backbone that there is not.
    """
    check_architecture(architecture)
    sites = all_task_sites(architecture.plain, task or Task.of("classification", 2))
    used = {one.site.rpartition("/")[2] for one in architecture.insertions}
    positions = used or set(usual_positions(sites))
    return architecture.draw([site for site in sites if site.position in positions])
