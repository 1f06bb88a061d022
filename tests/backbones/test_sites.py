from __future__ import annotations

import random
import re
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import save_file

from nas.backbones import LINE_UP, check_backbone, find_sites, known_backbones, plain_network
from nas.base.errors import SpecError
from nas.models.build import build, uniform
from nas.models.candidates import Candidates
from nas.spec.architecture import Architecture, Insertion
from nas.spec.space import POSITIONS, SearchSpace


def test_mobilenetv2_has_the_sites_of_the_paper() -> None:
    sites = find_sites("mobilenetv2_100")
    assert len(sites) == 17
    first, second, last = sites[0], sites[1], sites[-1]
    assert (first.name, first.channels, first.height) == ("blocks.0.0/after_depthwise", 32, 112)
    assert (second.name, second.channels, second.height) == ("blocks.1.0/after_depthwise", 96, 56)
    assert (last.name, last.channels, last.height) == ("blocks.6.0/after_depthwise", 960, 7)
    assert [site.stage for site in sites[:3]] == ["blocks.0", "blocks.1", "blocks.1"]
    assert not any(site.filled for site in sites)


def test_torchvision_mobilenetv2_has_the_same_maps() -> None:
    ours = [(site.channels, site.height, site.width) for site in find_sites("mobilenetv2_100")]
    theirs = find_sites("torchvision/mobilenet_v2")
    assert [(site.channels, site.height, site.width) for site in theirs] == ours


def test_filled_slots_are_seen() -> None:
    assert all(site.filled for site in find_sites("efficientnet_b0"))


@pytest.mark.parametrize(("stride", "side"), [(32, 1), (16, 2), (8, 4), (4, 8)])
def test_total_stride_keeps_a_map(stride: int, side: int) -> None:
    last = find_sites("mobilenetv2_035", 32, stride)[-1]
    assert (last.height, last.width) == (side, side)


def test_total_stride_unstrides_the_stem_first() -> None:
    network = plain_network("mobilenetv2_035", total_stride=16)
    assert network.get_submodule("conv_stem").stride == (1, 1)
    assert network.get_submodule("blocks.1.0.conv_dw").stride == (2, 2)


def test_equal_seeds_give_equal_weights_and_leave_the_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, two, other = (plain_network("mobilenetv2_035", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    stem = "conv_stem.weight"
    assert torch.equal(one.state_dict()[stem], two.state_dict()[stem])
    assert not torch.equal(one.state_dict()[stem], other.state_dict()[stem])


@pytest.mark.parametrize("name", ["mobilenetv2_1000", "", "torchvision/resnet", " mobilenetv2_100"])
def test_unknown_backbone_names_near_ones(name: str) -> None:
    with pytest.raises(SpecError, match="unknown backbone"):
        check_backbone(name)


def test_near_names_are_offered() -> None:
    with pytest.raises(SpecError, match="mobilenetv2_100"):
        check_backbone("mobilenet_v2_100")


def test_a_network_without_convolutions_is_refused() -> None:
    with pytest.raises(SpecError, match="has no site"):
        find_sites("vit_tiny_patch16_224")


@pytest.mark.parametrize(
    ("name", "position", "number"),
    [
        ("resnet18", "after_projection", 8),
        ("torchvision/resnet50", "after_projection", 16),
        ("repvgg_a0", "after_residual", 22),
        ("repvgg_d2se", "after_residual", 48),  # with attention behind its sums
        ("torchvision/vgg11_bn", "after_convolution", 8),
        ("mobilenetv2_100", "after_depthwise", 17),
    ],
)
def test_blocks_go_where_papers_put_them(name: str, position: str, number: int) -> None:
    """Squeeze-excitation is behind the last convolution of a residual block, arXiv:1709.01507."""
    sites = find_sites(name, 64)
    assert {site.position for site in sites} == {position}
    assert len(sites) == number


def test_a_total_stride_above_its_own_is_refused() -> None:
    from nas.backbones.stride import layers_to_unstride

    with pytest.raises(SpecError, match="at most its own, 32"):
        layers_to_unstride(plain_network("mobilenetv2_035"), 64, "mobilenetv2_035")


class NoHub:
    """A network without one."""

    def head(self, *_arguments: object, **_options: object) -> None:
        raise OSError("Name or service not known")


def test_pretrained_weights_out_of_reach_are_one_clear_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
    monkeypatch.setattr(huggingface_hub, "get_session", NoHub)
    with pytest.raises(SpecError, match="no pretrained weights.*weights=train") as caught:
        plain_network("mobilenetv2_050", pretrained=True)
    assert "\n" not in str(caught.value)


def test_pretrained_weights_in_the_cache_need_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = plain_network("mobilenetv2_050", seed=3).state_dict()
    save_file(published, tmp_path / "model.safetensors")
    kept = str(tmp_path / "model.safetensors")
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: kept)
    monkeypatch.setattr(huggingface_hub, "get_session", NoHub)
    network = plain_network("mobilenetv2_050", num_classes=10, pretrained=True)
    assert torch.equal(network.state_dict()["conv_stem.weight"], published["conv_stem.weight"])
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 10)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mobilenetv2_035", "timm has no pretrained weights"),
        ("torchvision/mobilenet_v2", "pickled files only"),
        ("mobilenext_100", "pickled"),
    ],
)
def test_weights_that_nobody_publishes_safely_are_refused(name: str, said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        plain_network(name, pretrained=True)
    assert "\n" not in str(caught.value)


def test_one_s_own_network_by_module_and_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(
        "import torchvision\n"
        "def network(num_classes):\n"
        "    return torchvision.models.mobilenet_v2(num_classes=num_classes)\n"
        "def number(num_classes): return 3\n"
        "def other(): return None\n"
    )
    monkeypatch.chdir(tmp_path)
    theirs = find_sites("torchvision/mobilenet_v2", 64)
    assert [site.name for site in find_sites("mine:network", 64)] == [site.name for site in theirs]
    modules = find_sites("mine:network", 64, modules=["features.*.conv.0"])
    assert all(site.name.endswith("conv.0/output") for site in modules)
    architecture = Architecture("mine:network", 64, (Insertion.of(modules[2].name, "se/r8"),))
    assert build(architecture, num_classes=5)(torch.zeros(2, 3, 64, 64)).shape == (2, 5)
    for name, said in [
        ("mine:numbers", "has no function 'numbers'"),
        ("mine:number", "returned int"),
        ("mine:other", "called with num_classes="),
        ("nobody:network", "No module named 'nobody'; looked in"),
        ("mine:net work", "write one's own as package.module:function"),
    ]:
        with pytest.raises(SpecError, match=re.escape(said)) as caught:
            find_sites(name, 64)
        assert "\n" not in str(caught.value)


EVERY_TIME = ("mobilenetv2_050", "mobilenetv3_small_100", "efficientnet_b0", "mobilenext_075")


@pytest.mark.parametrize(
    "name",
    [
        name if name in EVERY_TIME else pytest.param(name, marks=pytest.mark.slow)
        for name in LINE_UP
    ],
)
def test_the_line_up_takes_blocks_at_every_position(name: str) -> None:
    for position in {site.position for site in find_sites(name, 64, positions=POSITIONS)}:
        architecture = uniform(name, "eca", resolution=64, position=position)
        assert architecture.blocks
        network = build(architecture, num_classes=7)
        assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 7)


@pytest.mark.parametrize("name", ["davit_tiny", "fastvit_t8"])
def test_networks_whose_attention_is_their_own_are_searched_through_timm(name: str) -> None:
    space = {
        "name": "attention",
        "backbones": [name],
        "resolutions": [64],
        "blocks": {"se": {"reduction": [8]}, "davit_channel": {}, "ffa": {"kernel_size": [3]}},
        "max_insertions": 4,
    }
    candidates = Candidates(SearchSpace.model_validate(space))
    assert candidates.count() > 1e3
    rng = random.Random(0)
    drawn = (candidates.architecture(candidates.sample(rng)) for _ in range(20))
    searched = next(each for each in drawn if len({item.block for item in each.insertions}) > 1)
    plain = build(searched.plain, num_classes=7)
    images = torch.randn(2, 3, 64, 64)
    weights = plain.state_dict()
    network = build(searched, num_classes=7, start="identity", weights=weights)
    torch.testing.assert_close(network(images), plain(images), atol=0, rtol=0)
    assert build(searched, num_classes=7)(images).shape == (2, 7)


def test_maps_of_images_that_are_not_square_are_height_by_width() -> None:
    tall, wide = (find_sites("mobilenetv2_100", size) for size in ("224x160", "160x224"))
    assert (tall[0].height, tall[0].width) == (112, 80)
    assert (tall[-1].height, tall[-1].width) == (7, 5)
    assert [(site.width, site.height) for site in wide] == [
        (site.height, site.width) for site in tall
    ]
    assert [site.name for site in tall] == [site.name for site in find_sites("mobilenetv2_100")]
    strided = find_sites("mobilenetv2_035", "32x48", total_stride=16)
    assert (strided[-1].height, strided[-1].width) == (2, 3)
    with pytest.raises(SpecError, match="cannot read 96x224 images"):
        find_sites("levit_128s", "96x224", modules=["*"])


def test_a_total_stride_of_a_network_of_one_size_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one_size.py").write_text(
        "from torch import nn\n"
        "def make(num_classes):\n"
        "    return nn.Sequential(\n"
        "        nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 1, 1, groups=8),\n"
        "        nn.Conv2d(8, 8, 1),\n"
        "        nn.Flatten(), nn.Linear(8 * 8 * 6, num_classes),\n"
        "    )\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    (site,) = find_sites("one_size:make", "16x12")
    assert (site.height, site.width) == (8, 6)
    with pytest.raises(
        SpecError, match="cannot read 256x256 .*; leave total_stride out$"
    ) as caught:
        find_sites("one_size:make", "16x12", total_stride=2)
    assert "\n" not in str(caught.value)


def test_pretrained_weights_are_told_by_their_tags() -> None:
    tagged = known_backbones("mobilenetv2_100.*")
    assert "mobilenetv2_100.ra_in1k" in tagged
    assert all(name.startswith("mobilenetv2_100.") for name in tagged)
    assert "mobilenetv2_100.ra_in1k" not in known_backbones("mobilenetv2_100*")
    assert len(find_sites("mobilenetv2_100.ra_in1k", 64)) == len(find_sites("mobilenetv2_100", 64))
    with pytest.raises(SpecError, match="timm has mobilenetv2_100 with the weights: .*ra_in1k"):
        find_sites("mobilenetv2_100.best", 64)
    with pytest.raises(SpecError, match="timm has mobilenetv2_035 with the weights: none"):
        find_sites("mobilenetv2_035.ra_in1k", 64)


@pytest.mark.parametrize("name", ["hf-hub:timm/mobilenetv2_100.ra_in1k", "local-dir:kept"])
def test_what_names_weights_is_no_backbone(name: str) -> None:
    with pytest.raises(SpecError, match=f"names weights; give them as --weights {name}"):
        find_sites(name, 64)
