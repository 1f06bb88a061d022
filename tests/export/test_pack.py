from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from support import computed_weights
from support.tiny_network import CLASSES, SIDE, data, winner

from nas.base.errors import ExportError, MeasurementError, SpecError
from nas.export import TARGETS
from nas.export.pack import Pack, write_pack
from nas.export.pack_papers import Origin, _preprocessing
from nas.export.packed_graph import describe_int8
from nas.export.parity import predict_validation
from nas.export.target import Target
from nas.export.target.target import WrittenGraph
from nas.export.verify import load_onnx
from nas.export.winner import Winner
from nas.study.constant_prediction import ConstantPrediction

ORIGIN = Origin("run", 3, "noise", "probe", 0, "local-onnxruntime", False, {"loss": 0.1})
FILES = {
    "NOTICE", "README.md", "architecture.json", "labels.txt", "licences", "model.py",
    "preprocessing.json", "report.json", "samples.npz", "verify.py", "weights.safetensors",
}  # fmt: skip


def installed(target: Target) -> bool:
    try:
        target.check_installed()
    except SpecError:
        return False
    return True


def verify(
    pack: Path, *options: str, python: str = sys.executable
) -> subprocess.CompletedProcess[str]:
    """Run a pack's own script where this project cannot be imported."""
    start = "import sys, runpy; sys.modules['nas'] = None; sys.argv = sys.argv[1:]; "
    start += "runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [python, "-W", "ignore", "-c", start, str(pack / "verify.py"), *options]
    apart = {**os.environ, "PYTHONPATH": ""}
    return subprocess.run(command, env=apart, cwd="/", capture_output=True, text=True)


@pytest.fixture(scope="module")
def onnx_pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    path = tmp_path_factory.mktemp("packs") / "winner"
    return write_pack(path, winner("coord"), data(), TARGETS["onnx"], ORIGIN, int8=True)


def test_a_pack_holds_what_a_stranger_needs(onnx_pack: Pack) -> None:
    folder = onnx_pack.path
    names = {path.name for path in folder.iterdir()}
    assert names == FILES | {"network.onnx", "network-int8.onnx"}
    assert (folder / "labels.txt").read_text().split() == list(CLASSES)
    assert json.loads((folder / "architecture.json").read_text())["resolution"] == SIDE
    assert json.loads((folder / "preprocessing.json").read_text())["size"] == [SIDE, SIDE]
    assert "arxiv.org/abs/2103.02907" in (folder / "NOTICE").read_text()
    card = (folder / "README.md").read_text()
    assert "trial 3 of the run `run`" in card and "network-int8.onnx | int8" in card
    parameters = sum(item.numel() for item in winner("coord").network.parameters())
    assert f"{parameters:,} parameters, " in card and " multiply-adds for an image" in card
    assert not list(folder.parent.glob(".*"))


@pytest.mark.parametrize("name", ["äö 日", os.fsdecode(b"caf\xe9")])
def test_a_pack_may_lie_anywhere(tmp_path: Path, name: str) -> None:
    pack = write_pack(tmp_path / name, winner("eca"), data(), TARGETS["onnx"], ORIGIN, int8=False)
    assert verify(pack.path, "--model").returncode == 0


def test_a_pack_says_how_other_shapes_became_square() -> None:
    made = winner("eca")
    said = {how: _preprocessing(replace(made, resize=how)) for how in ("crop", "stretch", "pad")}
    assert said["crop"]["crop"] == "the largest square in the middle"
    assert "apart" in said["stretch"]["shape"] and "black bars" in said["pad"]["shape"]
    assert {about["crop"] for about in said.values()} == {"none", said["crop"]["crop"]}
    config = json.loads(TARGETS["timm"].write(replace(made, resize="pad")).files["/config.json"])
    assert config["pretrained_cfg"]["crop_mode"] == "border"


def test_a_pack_says_how_pictures_become_of_a_shape_that_is_not_square() -> None:
    made = winner("eca")
    tall = replace(made, architecture=replace(made.architecture, resolution="16x12"))
    said = {how: _preprocessing(replace(tall, resize=how)) for how in ("crop", "stretch", "pad")}
    assert [about["size"] for about in said.values()] == [[16, 12]] * 3
    assert said["crop"]["crop"] == "the largest part in the middle that has the shape of the size"
    assert "as large as fits into the size" in said["pad"]["shape"]
    config = json.loads(TARGETS["timm"].write(tall).files["/config.json"])
    assert config["pretrained_cfg"]["input_size"] == [3, 16, 12]


def test_what_an_accelerator_takes_and_leaves_is_the_whole_graph() -> None:
    """eca's Expand works on a shape that is known as soon as constants are folded."""
    for told in TARGETS["onnx"].write(winner("eca")).delegates():
        assert told.inside >= 11 and told.outside == {"Expand": 1}


def test_figures_are_of_real_images(onnx_pack: Pack) -> None:
    report = json.loads((onnx_pack.path / "report.json").read_text())
    assert report["network"]["images"] == 72 and report["network"]["accuracy"] > 0.6
    model, plain, small = report["graphs"]
    assert (model["kind"], plain["precision"], small["precision"]) == ("model.py", "fp32", "int8")
    assert model["difference"] < 1e-6 and plain["difference"] < 1e-5 and plain["agreement"] == 1
    assert 1e-5 < small["difference"] and small["agreement"] > 0.8
    assert abs(small["loss_change"]) < 0.1 and small["loss_half_width"] > 0
    assert all(graph["latency_ms"] > 0 for graph in report["graphs"])
    assert {told["accelerator"] for told in plain["delegates"]} == {
        "NNAPI (Android)",
        "Core ML (iOS)",
    }
    assert all("/" not in str(value) for value in report["origin"].values())


@pytest.mark.parametrize(
    ("milliseconds", "change", "said"),
    [
        (0.5, 0.0, ""),
        (1.2, 0.0, "int8 is no faster here (1.200 ms for 1.000): what"),
        (0.5, 0.2, "int8 is worse in loss beyond the noise of the images: what"),
        (1.2, 0.2, "(1.200 ms for 1.000) and worse in loss beyond"),
    ],
)
def test_int8_that_brings_little_is_said(
    onnx_pack: Pack, milliseconds: float, change: float, said: str
) -> None:
    model, plain, small = onnx_pack.graphs
    assert plain.latency is not None and small.latency is not None and small.scores is not None
    plain = replace(plain, latency=replace(plain.latency, latency_ms=1.0))
    small = replace(
        small,
        latency=replace(small.latency, latency_ms=milliseconds),
        scores=replace(small.scores, loss_change=change, half_width=0.1),
    )
    found = describe_int8([model, plain, small])
    assert said in found and bool(said) == bool(found)
    assert describe_int8([model, plain]) == ""


def test_the_samples_are_scores_of_the_network(onnx_pack: Pack) -> None:
    with np.load(onnx_pack.path / "samples.npz", allow_pickle=False) as samples:
        pixels, scores = samples["images"], samples["scores"]
    assert pixels.dtype == np.uint8 and pixels.shape == (64, SIDE, SIDE, 3)
    images = torch.from_numpy((pixels.astype(np.float32) - 80) / 40).permute(0, 3, 1, 2)
    network = winner("coord").network
    with torch.no_grad():
        wanted = network(images).numpy()
    np.testing.assert_allclose(scores, wanted, atol=1e-4)


def test_a_pack_checks_itself_without_this_project(onnx_pack: Pack) -> None:
    ran = verify(onnx_pack.path, "--model")
    assert ran.returncode == 0, ran.stderr
    assert [line.split(":")[0] for line in ran.stdout.splitlines()] == [
        "model.py",
        "network.onnx",
        "network-int8.onnx",
    ]
    assert ran.stdout.count(": ok;") == 3


def test_a_pack_notices_another_graph(onnx_pack: Pack, tmp_path: Path) -> None:
    for path in onnx_pack.path.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    report = json.loads((tmp_path / "report.json").read_text())
    report["graphs"][1]["file"] = "network-int8.onnx"
    (tmp_path / "report.json").write_text(json.dumps(report))
    ran = verify(tmp_path)
    assert ran.returncode == 1 and "FAILS" in ran.stdout


@pytest.mark.parametrize(
    "name", ["pt2", "torchscript", "timm", "openvino", "ncnn", "litert", "executorch"]
)
def test_every_target_makes_a_pack_that_holds(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    if not installed(target):
        pytest.skip(target.install)
    pack = write_pack(tmp_path / name, winner("se"), data(), target, ORIGIN, int8=False)
    _, graph = pack.graphs
    assert graph.scores is not None and graph.scores.parity.holds
    assert graph.scores.parity.agreement == 1.0
    ran = verify(pack.path)
    assert (ran.returncode, ran.stdout.count(": ok;")) == (0, 1), ran.stderr


def _initialisers(path: Path) -> list[onnx.TensorProto]:
    return list(onnx.load(path).graph.initializer)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.quantise])
def test_every_int8_orders_classes_alike(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    if not installed(target):
        pytest.skip(target.install)
    pack = write_pack(tmp_path / name, winner("coord"), data(), target, ORIGIN, int8=True)
    _, plain, small = pack.graphs
    assert small.scores is not None and small.scores.parity.agreement > 0.8
    if name == "onnx":  # of a network this small the file is mostly nodes, and more of them
        kernels = [item for item in _initialisers(pack.path / small.file) if len(item.dims) == 4]
        assert kernels and {item.data_type for item in kernels} == {onnx.TensorProto.INT8}
    else:
        assert small.bytes < plain.bytes or name == "openvino"
    assert plain.delegates and verify(pack.path).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "runtime"),
    [
        ("onnx", "onnxruntime"),
        ("openvino", "openvino"),
        ("ncnn", "ncnn"),
        ("litert", "ai-edge-litert"),
    ],
)
def test_a_pack_needs_its_runtime_alone(name: str, runtime: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    if not installed(target):
        pytest.skip(target.install)
    pack = write_pack(tmp_path / "pack", winner("coord"), data(), target, ORIGIN, int8=False)
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    python = str(venv / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", runtime, "numpy"], check=True)
    assert subprocess.run([python, "-c", "import torch"], capture_output=True).returncode == 1
    ran = verify(pack.path, python=python)
    assert (ran.returncode, ran.stdout.count(": ok;")) == (0, 1), ran.stderr


def broken(target: Target, error: Exception) -> Target:
    def write(winner: Winner) -> WrittenGraph:
        raise error

    return replace(target, write=write)


@pytest.mark.parametrize(
    "error", [MeasurementError("ncnn has no layer for x"), RuntimeError("no x\nand more")]
)
def test_an_operator_that_a_target_lacks_is_one_line(error: Exception, tmp_path: Path) -> None:
    target = broken(TARGETS["onnx"], error)
    with pytest.raises(SpecError, match=r"onnx cannot take this network: .*x; choose") as caught:
        write_pack(tmp_path / "pack", winner("se"), data(), target, ORIGIN, int8=False)
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_graph_that_disagrees_leaves_nothing(tmp_path: Path) -> None:
    other = winner("eca")
    target = replace(TARGETS["onnx"], write=lambda _: TARGETS["onnx"].write(other))
    with pytest.raises(ExportError, match="differs from the network by"):
        write_pack(tmp_path / "pack", winner("se"), data(), target, ORIGIN, int8=False)
    assert not list(tmp_path.iterdir())


def test_graphs_are_compared_with_the_network_as_it_was_trained(tmp_path: Path) -> None:
    trained, other = winner("se"), winner("eca")
    folded_wrongly = replace(trained, network=other.network, unfolded=trained.network)
    pack = write_pack(
        tmp_path / "pack", folded_wrongly, data(), TARGETS["onnx"], ORIGIN, int8=False
    )
    assert not pack.folded  # what is shipped is the network as it was trained
    wanted = predict_validation(trained, data(), 512)
    assert pack.network_accuracy == wanted.accuracy
    scores = load_onnx(pack.path / "network.onnx")(wanted.images)
    assert np.abs(scores - wanted.scores).max() < 1e-4 * np.abs(wanted.scores).max()
    alike = replace(trained, unfolded=winner("se").network)
    assert write_pack(tmp_path / "alike", alike, data(), TARGETS["onnx"], ORIGIN, int8=False).folded


def test_branches_stay_apart_where_merging_them_changes_what_a_network_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, other = winner("se"), winner("eca")
    monkeypatch.setattr(
        "nas.export.winner.with_merged_branches", lambda *_of_network: other.network
    )
    pack = write_pack(tmp_path / "pack", trained, data(), TARGETS["onnx"], ORIGIN, int8=False)
    assert pack.folded and not pack.merged
    wanted = predict_validation(trained, data(), 512)
    scores = load_onnx(pack.path / "network.onnx")(wanted.images)
    assert np.abs(scores - wanted.scores).max() < 1e-4 * np.abs(wanted.scores).max()


@pytest.mark.parametrize("name", ["scaled", "parametrised", "spectral", "used_twice", "tied"])
def test_networks_that_compute_or_share_weights_are_shipped(name: str, tmp_path: Path) -> None:
    found = replace(winner(), network=trained_network(name))
    pack = write_pack(tmp_path / "pack", found, data(), TARGETS["onnx"], ORIGIN, int8=True)
    model, plain, small = pack.graphs
    assert model.scores is not None and plain.scores is not None and small.scores is not None
    assert model.scores.parity.share < 1e-6 and plain.scores.parity.share < 1e-5
    assert pack.network_accuracy == pytest.approx(plain.scores.accuracy) and small.bytes
    assert verify(pack.path, "--model").returncode == 0


def trained_network(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    network, images = getattr(computed_weights, name)(len(CLASSES)), data().train
    optimiser = torch.optim.AdamW(network.parameters(), 0.02)
    pixels = (images.images.float().permute(0, 3, 1, 2) - 80) / 40
    for _ in range(8):
        loss = torch.nn.functional.cross_entropy(network(pixels), images.labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    built_anew: torch.nn.Module = getattr(computed_weights, name)(len(CLASSES))
    built_anew.load_state_dict(network.state_dict())
    return built_anew.eval()


def rounded(target: Target, digits: int) -> Target:
    """Quantised so coarsely that it knows little more."""

    def write(winner: Winner, images: object) -> WrittenGraph:
        coarse = copy.deepcopy(winner.network)
        with torch.no_grad():
            for parameter in coarse.parameters():
                parameter.copy_(parameter.round(decimals=digits))
        return target.write(replace(winner, network=coarse))

    return replace(target, quantise=write)


def test_int8_that_loses_too_much_is_not_written(tmp_path: Path) -> None:
    coarse = rounded(TARGETS["onnx"], 0)
    pack = write_pack(tmp_path / "any", winner("se"), data(), coarse, ORIGIN, int8=True)
    scores = pack.graphs[-1].scores
    assert scores is not None and scores.drop.low < scores.drop.mean < scores.drop.high
    lost = 100 * (pack.network_accuracy - scores.accuracy)
    assert lost == pytest.approx(100 * scores.drop.mean) and lost > 5
    said = rf"in int8 loses {lost:.1f} points \(95 %: .* more than the 5 of --max-drop; nothing was"
    with pytest.raises(SpecError, match=said) as caught:
        write_pack(tmp_path / "pack", winner("se"), data(), coarse, ORIGIN, int8=True, max_drop=5)
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["any"]
    kept = write_pack(
        tmp_path / "kept", winner("se"), data(), coarse, ORIGIN, int8=True, max_drop=lost + 0.1
    )
    report = json.loads((kept.path / "report.json").read_text())["graphs"][-1]
    assert report["accuracy_drop_interval"] == [scores.drop.low, scores.drop.high]


@pytest.mark.parametrize("said", [False, True])
def test_the_recorded_accuracy_stands_beside_the_measured(tmp_path: Path, said: bool) -> None:
    recorded = 0.18 if said else predict_validation(winner("se"), data(), 512).accuracy
    origin = replace(ORIGIN, found={"accuracy": recorded})
    pack = write_pack(tmp_path / "p", winner("se"), data(), TARGETS["onnx"], origin, int8=False)
    network = json.loads((pack.path / "report.json").read_text())["network"]
    assert (network["recorded_accuracy"], network["departs_from_record"]) == (recorded, said)
    assert pack.recorded_accuracy == recorded and pack.departs_from_record is said
    card = (pack.path / "README.md").read_text()
    assert f"recorded when its training was judged: {recorded:.1%}" in card
    assert ("beyond the noise of these images" in card) is said


@pytest.mark.parametrize("collapsed", [False, True])
def test_a_network_that_tells_all_images_the_same_is_not_shipped_without_that_word(
    tmp_path: Path, collapsed: bool
) -> None:
    constant = ConstantPrediction(loss=2.3, accuracy=0.1 if collapsed else 0.05)
    origin = replace(ORIGIN, found={"accuracy": 0.1}, constant=constant)
    pack = write_pack(tmp_path / "p", winner("se"), data(), TARGETS["onnx"], origin, int8=False)
    assert (pack.collapsed is not None) is collapsed
    said = "**Not to be used as it is: no better than one answer to all images, which has 10.0%"
    assert (said in (pack.path / "README.md").read_text()) is collapsed


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "mine").write_text("precious")
    with pytest.raises(SpecError, match="exists; name a new folder"):
        write_pack(tmp_path / "pack", winner("se"), data(), TARGETS["onnx"], ORIGIN, int8=False)
    assert [path.name for path in (tmp_path / "pack").iterdir()] == ["mine"]


def test_what_is_not_installed_says_what_to_run() -> None:
    target = replace(TARGETS["ncnn"], runs=("no-such-package",))
    with pytest.raises(SpecError, match="target ncnn needs no-such-package; run: pip install"):
        target.check_installed()
