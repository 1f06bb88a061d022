from __future__ import annotations

import pytest

from nas.base.errors import SpecError
from nas.models.candidates import Candidates
from nas.models.fitting_sites import with_fitting_sites
from nas.spec.space import SearchSpace, with_backbones
from nas.spec.task import Task


def space(**sites: object) -> SearchSpace:
    return SearchSpace.model_validate(
        {
            "name": "small",
            "backbones": ["mobilenetv2_035"],
            "resolutions": [32],
            "sites": sites,
            "blocks": {"se": {}},
        }
    )


def test_what_the_other_backbone_has_stays_as_the_space_says() -> None:
    given = space(position="after_residual", exclude=["blocks.1.*"])
    changed, notes = with_fitting_sites(with_backbones(given, ["mobilenetv3_small_050"]), Task())
    assert changed.sites == given.sites
    assert changed.backbones == ["mobilenetv3_small_050"]
    assert notes == []


def test_what_it_does_not_have_gives_way_and_is_said() -> None:
    given = space(position="after_depthwise", exclude=["blocks.0.*", "layer4.*"])
    changed, notes = with_fitting_sites(with_backbones(given, ["torchvision/resnet18"]), Task())
    assert notes == [
        "torchvision/resnet18: no site after_depthwise, so blocks go after_projection",
        "torchvision/resnet18: no site blocks.0.*, so none is excluded by it",
    ]
    names = [decision.name for decision in Candidates(changed).sites["torchvision/resnet18"]]
    assert names == [
        f"layer{layer}.{block}/after_projection" for layer in (1, 2, 3) for block in (0, 1)
    ]


def test_an_unknown_one_is_one_line() -> None:
    with pytest.raises(SpecError, match="unknown backbone 'resnet18x'"):
        with_fitting_sites(with_backbones(space(), ["resnet18x"]), Task())
