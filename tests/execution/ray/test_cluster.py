"""How a connection to a Ray cluster fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.samples import ROOT

import nas
from nas.base.errors import SpecError
from nas.execution.ray.cluster import connect
from nas.spec.runner import Ray

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # Ray's own
    pytest.mark.usefixtures("signals_stay"),
]


@pytest.mark.parametrize("variable", ["RAY_TMPDIR", "TMPDIR"])
def test_a_folder_with_too_long_a_path_for_sockets_is_named(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As TMPDIR is in jobs of many clusters. Linux allows 107 bytes."""
    folder = tmp_path / ("x" * 90)
    folder.mkdir()
    for name in ("RAY_TMPDIR", "TMPDIR", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(folder))
    with pytest.raises(SpecError) as caught, connect(Ray(), cores=1, say=print):
        pytest.fail("it started")
    message = str(caught.value)
    assert f"under {folder}," in message and "export RAY_TMPDIR=/tmp" in message
    assert "\n" not in message


def test_the_slurm_recipe_names_a_short_folder() -> None:
    lines = (ROOT / "runners" / "slurm.sbatch").read_text().splitlines()
    starts = next(number for number, line in enumerate(lines) if line.strip().startswith("srun "))
    assert "export RAY_TMPDIR=${RAY_TMPDIR:-/tmp}" in lines[:starts]


def test_workers_elsewhere_are_sent_the_whole_package(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: dict[str, Any] = {}

    def init(**given: Any) -> None:
        sent.update(given)
        raise ConnectionError("nobody is there")

    monkeypatch.setattr("ray.init", init)
    plan = Ray(address="10.0.0.1:6379", send_code=True)
    with pytest.raises(SpecError, match="no Ray cluster"), connect(plan, cores=1, say=print):
        pytest.fail("it started")
    (package,) = sent["runtime_env"]["py_modules"]
    # A worker imports it by the name of its folder.
    assert Path(package) == Path(nas.__file__).resolve().parent
