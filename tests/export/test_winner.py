from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.samples import QUICK, ROOT

from nas.cli.export import export
from nas.export import export_pack
from nas.runs.run import open_run
from nas.runs.start import search
from nas.spec.runner import load_runner

SPACE = """
name: computed
backbones: ["support.computed_weights:{network}"]
resolutions: [32]
blocks:
  coord: {{reduction: [8]}}
"""
SHORT = ("workers=1", "search.trials=2", "search.confirm_seeds=1", "proxy.backbone.epochs=2")


@pytest.mark.parametrize(
    "network", ["standardised", pytest.param("spectral", marks=pytest.mark.slow)]
)
def test_what_is_shipped_is_what_was_trained(
    network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folded gates that a convolution's own arithmetic undoes made 18 % of 75 % once."""
    monkeypatch.chdir(ROOT / "tests")  # where workers find the network as well
    space = tmp_path / "space.yaml"
    space.write_text(SPACE.format(network=network))
    search(space, load_runner(None, (*QUICK, *SHORT)), "digits", tmp_path / "run")
    run = open_run(tmp_path / "run")
    state = run.read()
    trained = state.network(1, folded=False)
    assert "DoubledGate" in repr(trained) and "DoubledGate" in repr(run.network(1))
    images = torch.rand(8, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(run.network(1)(images), trained(images))
    pack = export_pack(run, 1, "onnx", tmp_path / "pack")
    assert pack.folded and not pack.departs_from_record
    assert pack.recorded_accuracy == run.row(1)["accuracy"]
    assert pack.network_accuracy == pytest.approx(run.row(1)["accuracy"], abs=0.01)
    for graph in pack.graphs:
        assert graph.scores is not None and graph.scores.parity.share < 1e-5
        assert graph.scores.accuracy == pytest.approx(pack.network_accuracy, abs=0.004)
    export(tmp_path / "run", 1, out=tmp_path / "winner.onnx")
    assert (tmp_path / "winner.onnx").is_file()
