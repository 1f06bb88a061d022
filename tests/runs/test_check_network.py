"""Networks as people have them are searched, or refused in one line that leaves no run."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.odd_networks import SIDE

from nas.backbones import own_module
from nas.base.errors import SpecError
from nas.latency.runtime import device_named
from nas.models.candidates import Candidates
from nas.runs.check_network import check_networks, check_training
from nas.runs.start import search
from nas.spec.architecture import Architecture
from nas.spec.proxy import Proxy
from nas.spec.runner import load_runner
from nas.spec.space import SearchSpace
from nas.spec.task import Task

pytestmark = pytest.mark.xdist_group("run")

QUICK = (
    "workers=1",
    "search.trials=2",
    "search.confirm_seeds=1",
    "proxy.unit=steps",
    "proxy.rungs=[2]",
    "proxy.backbone.epochs=0.05",
)

FIT = (
    "auxiliary_named",
    "always_the_same",
    "block_used_twice",
    "checkpointed",
    "compiled",
    "compiled_in_place",
    "compiled_inside",
    "data_parallel",
    "explosive",
    "frozen_stem",
    "newer_weight_norm",
    "normed_at_one_pixel",
    "of_dataclass",
    "of_dict",
    "of_model_output",
    "of_namedtuple",
    "older_spectral_norm",
    "older_weight_norm",
    "own_init",
    "reentrant",
    "remembering",
    "tied",
    "traced_by_fx",
    "used_twice",
    "weight_norm_after_use",
)
"""Those that can be searched."""

NAMED = "alone or named as one of logits, scores, out, output"
REFUSED = {
    "asserting": "sites are found without values, so that forward may not ask for any",
    "auxiliary_tuple": f"in training mode gives a tuple of 2 .* {NAMED}",
    "bfloat16": r"stem.0.weight is bfloat16; .* return network.float\(\)",
    "counting": "gives other scores when it is saved and loaded",
    "double": "stem.0.weight is float64",
    "elsewhere": "stem.0.weight is on the meta device",
    "exported": "has no site",
    "extra_state": "holds a dict as blocks.0.project._extra_state",
    "fixed_size": "of the usual sizes it reads 64x64: give one as the resolution",
    "frozen": r"all its weights are frozen .* return network.requires_grad_\(True\)",
    "half": "stem.0.weight is float16",
    "in_pairs": "it reads two at once: let its batch be of any size, also one",
    "lazy": "head.weight has no shape yet, as it is of a lazy module; send images through",
    "more_scores": "a tensor 2x11 .* let its last layer have num_classes outputs",
    "not_finite": "in evaluation mode gives scores that are not finite",
    "of_list": f"gives a list of 1 .* {NAMED}",
    "of_pair": f"gives a tuple of 2 .* {NAMED}",
    "of_the_batch": "the scores of an image depend on the others in its batch",
    "of_unknown_key": f"gives a dict of 'species', 'maps' .* {NAMED}",
    "raising": "called with num_classes=: FileNotFoundError: weights.pth is not here",
    "random_always": r"F.dropout is random there unless it gets training=self.training",
    "reentrant_always": "with se/.* at blocks.0/.*: no gradient reaches .* use_reentrant=False",
    "scripted": "it is a scripted or traced module of torch.jit",
    "scripted_inside": "its module 'stem' is a scripted or traced module of torch.jit",
    "squeezed": r"a tensor 10 for 1 image .* which squeeze\(\) takes away",
    "viewed": r"fails in training: .* Use .reshape\(...\) instead; mend its forward",
}
"""Those that cannot, and what is said of them."""


def _space(*names: str) -> SearchSpace:
    return SearchSpace(
        name="odd",
        backbones=[f"support.odd_networks:{name}" for name in names],
        resolutions=[SIDE],
        blocks={"se": {}},
    )


def _check(name: str, kind: str = "probe", device: str | None = "onnxruntime") -> tuple[str, ...]:
    proxy = Proxy.model_validate({"kind": kind})
    where = None if device is None else device_named(device)
    return check_networks(Candidates(_space(name)), proxy, where, Task(outputs=10))


@pytest.mark.parametrize("name", FIT)
def test_odd_networks_that_fit(name: str) -> None:
    _check(name)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("name", REFUSED)
def test_odd_networks_that_do_not_fit(name: str) -> None:
    with pytest.raises(SpecError, match=REFUSED[name]) as caught:
        _check(name, device=None)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2


@pytest.mark.parametrize("kind", [pytest.param("probe", marks=pytest.mark.slow), "finetune"])
def test_odd_networks_are_searched(kind: str, tmp_path: Path) -> None:
    """Tied weights, and norms that write weights, ended in a traceback after the first training."""
    space = _space("tied", "used_twice", "older_weight_norm", "auxiliary_named")
    runner = load_runner(None, (*QUICK, f"proxy.kind={kind}", "executor=local"))
    with pytest.MonkeyPatch.context() as environment:
        tests = str(Path(__file__).parents[1])
        environment.setenv("PYTHONPATH", tests, prepend=":")
        run = search(space, runner, "digits", tmp_path / "run")
    trials = run.trials()
    assert trials.complete.all()
    found = {Architecture.from_json(text) for text in trials["architecture"]}
    for blocks in (True, False):
        there = {one.backbone for one in found if bool(one.blocks) is blocks}
        assert there == set(space.backbones)


@pytest.mark.parametrize("name", ["auxiliary_tuple", "pooled", "viewed"])
def test_what_does_not_fit_leaves_no_run(name: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError):
        search(_space(name), load_runner(None, QUICK), "digits", tmp_path / "run")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["torchvision/efficientnet_b0", "rexnetr_130"])
def test_a_step_that_goes_too_far_is_no_fault_of_the_network(name: str) -> None:
    """At 32x32 its scores were not finite after a step on two images: "gives other scores"."""
    space = _space("tied").model_copy(update={"backbones": [name], "blocks": {"coord": {}}})
    assert (
        check_networks(Candidates(space), Proxy.model_validate({"kind": "finetune"}), None, Task())
        == ()
    )


def test_what_a_runtime_cannot_convert_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    """The exporter printed 171 lines of graph, and a block was blamed that was not there."""
    with pytest.raises(SpecError, match="in its module pool, AdaptiveAvgPool2d on maps 16x16x16"):
        _check("pooled")
    with pytest.raises(SpecError, match="in its module blocks.0.project, ParametrizedConv2d"):
        _check("newer_spectral_norm")
    assert capfd.readouterr() == ("", "")
    _check("pooled", device="torch")


def test_an_unconverted_block_is_told_from_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    from nas.base.errors import MeasurementError
    from nas.runs import check_network

    def convert(architecture: Architecture, *_: object) -> bytes:
        if architecture.insertions:
            raise MeasurementError("no such operator")
        return b""

    monkeypatch.setattr(check_network, "convert_deployed", convert)
    with pytest.raises(SpecError, match="block se/r24: no such operator, though the plain"):
        _check("tied")


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("auxiliary_named", "a Auxiliary of logits, aux_logits in training: its scores are taken"),
        ("auxiliary_named", "aux.weight, aux.bias get no gradient in training"),
        ("frozen_stem", "stem.0.weight, stem.0.bias, stem.1.weight and 1 more weights are frozen"),
        ("own_init", "has other first weights each time it is made (head.weight)"),
    ],
)
def test_what_a_user_should_hear(name: str, note: str) -> None:
    assert any(note in text for text in _check(name, device=None))
    assert not _check("tied", device=None)


def test_other_numbers_of_classes_start_no_run(tmp_path: Path) -> None:
    """A head that is fixed at ten classes gave a pack with ten scores for three labels."""
    for label in ("a", "b", "c"):
        _pictures(tmp_path / "photos" / "train" / label)
    with pytest.raises(SpecError, match="gives a tensor 2x10 for 2 images and 3 classes"):
        search(
            _space("fixed_head"),
            load_runner(None, QUICK),
            f"folder:{tmp_path / 'photos'}",
            tmp_path / "run",
        )
    assert not (tmp_path / "run").exists()


def _pictures(folder: Path) -> None:
    from PIL import Image

    folder.mkdir(parents=True)
    for number in range(6):
        Image.new("RGB", (32, 32), (40 * number, 0, 0)).save(folder / f"{number}.png")


def test_networks_of_runs_from_before_are_checked_when_they_are_trained_fully() -> None:
    plain = Architecture("support.odd_networks:auxiliary_tuple", SIDE)
    with pytest.raises(SpecError, match="in training mode gives a tuple"):
        check_training([plain], Task())


def test_images_of_another_size_are_tried_where_a_proxy_trains_on_them() -> None:
    proxy = Proxy.model_validate({"kind": "finetune", "resolution": 32})
    space = _space("fixed_size").model_copy(update={"resolutions": [64]})
    with pytest.raises(SpecError, match="fails in .* mode"):
        check_networks(Candidates(space), proxy, None, Task())


def test_networks_of_libraries_fit() -> None:
    space = SearchSpace(
        name="several",
        backbones=["mobilenetv2_035", "torchvision/shufflenet_v2_x0_5", "mobilenext_100"],
        resolutions=[64, 32],
        blocks={"coord": {}},
    )
    for kind in ("probe", "scratch"):
        proxy = Proxy.model_validate({"kind": kind})
        assert check_networks(Candidates(space), proxy, None, Task()) == ()


def test_copies_hold_what_was_computed() -> None:
    """copy.deepcopy refuses tensors that are the result of a computation with gradients."""
    import torch
    from support import odd_networks

    for network in (odd_networks.remembering(3), odd_networks.older_weight_norm(3)):
        images = torch.zeros(2, 3, SIDE, SIDE)
        given = network.train()(images)
        assert torch.equal(own_module.copied(network)(images), given)
