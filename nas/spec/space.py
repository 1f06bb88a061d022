"""The search space file: what may be built.

Only its content is read here; nas/models finds the sites that it means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from nas.base.content import read_content
from nas.base.errors import SpecError
from nas.base.files import parse, read_yaml
from nas.spec.architecture import Option, Share
from nas.spec.own_backbone import with_arguments
from nas.spec.positions import PARTS, POSITIONS, Part, Position
from nas.spec.resolution import SearchedResolution

__all__ = [
    "PARTS",
    "POSITIONS",
    "Constraints",
    "Part",
    "Position",
    "SearchSpace",
    "SiteRule",
    "parse_space",
    "with_backbones",
]

_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
Positive = Annotated[float, Field(gt=0)]


class SiteRule(BaseModel):
    """The rule for which sites of a network take part, and how finely they are chosen.

    part: one or several of the parts of the network of a task, in whose order their sites are;
        networks of classification have their backbone alone.
    position: one or several; empty means the paper's, behind the (first) depthwise convolution; in
        a network without any, the first that it has of after_projection, as squeeze-excitation
        has it in a ResNet, after_convolution and after_residual.
    modules: patterns of module paths whose outputs are sites (of the user's own network, say),
        instead of positions or beside them; those of a neck and head begin with `head.`.
    exclude: patterns of the sites to leave out.
    """

    model_config = _STRICT

    part: Annotated[list[Part], Field(min_length=1)] = ["backbone"]
    position: list[Position] = []
    modules: list[str] = []
    granularity: Literal["block", "stage", "network"] = "block"
    exclude: list[str] = []

    @field_validator("part")
    @classmethod
    def _distinct(cls, parts: list[Part]) -> list[Part]:
        if len(set(parts)) < len(parts):
            raise ValueError(f"{parts} names something twice")
        return parts

    @field_validator("part", "position", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value


class Constraints(BaseModel):
    """The hard limits: what exceeds one is never trained and never on a front."""

    model_config = _STRICT

    params: Positive | None = None
    macs: Positive | None = None
    latency_ms: Positive | None = None


class SearchSpace(BaseModel):
    """The backbones, sites and blocks to choose from.

    A file may also say `backbone_args: {width: 0.5}`, what one's own networks are called with,
    which becomes part of the names of all backbones: `nets:tiny(width=0.5)`.

    output_stride: input height / height of the last map, by a dilated end (see Architecture).
    share: within what equal blocks on equal maps have the same weights (see Architecture).
    """

    model_config = _STRICT

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    backbones: Annotated[list[str], Field(min_length=1)]
    resolutions: Annotated[list[SearchedResolution], Field(min_length=1)] = [224]
    total_stride: Literal[4, 8, 16, 32] | None = None
    output_stride: Literal[8, 16, 32] | None = None
    sites: SiteRule = SiteRule()
    blocks: Annotated[dict[str, dict[str, list[Option]]], Field(min_length=1)]
    share: Share | None = None
    max_insertions: Annotated[int, Field(ge=1)] | None = None
    constraints: Constraints = Constraints()

    @model_validator(mode="before")
    @classmethod
    def _named_with_arguments(cls, data: object) -> object:
        if not isinstance(data, dict) or not isinstance(data.get("backbones"), list):
            return data
        arguments = data.get("backbone_args") or {}
        if not isinstance(arguments, dict):
            raise ValueError(f"backbone_args: found {arguments!r}; allowed: {{argument: value}}")
        if not all(isinstance(name, str) for name in data["backbones"]):
            return data
        try:
            names = with_arguments(data["backbones"], arguments)
        except SpecError as error:
            raise ValueError(str(error)) from None
        rest = {key: value for key, value in data.items() if key != "backbone_args"}
        return rest | {"backbones": names}

    @field_validator("backbones", "resolutions")
    @classmethod
    def _distinct(cls, values: list[object]) -> list[object]:
        if len(set(values)) < len(values):
            raise ValueError(f"{values} names something twice")
        return values

    @field_validator("blocks", mode="before")
    @classmethod
    def _no_options(cls, blocks: object) -> object:
        # `eca:` with nothing behind it reads as null, and plainly means "no options".
        if isinstance(blocks, dict):
            return {name: {} if options is None else options for name, options in blocks.items()}
        return blocks

    @field_validator("blocks")
    @classmethod
    def _some_choice(
        cls, blocks: dict[str, dict[str, list[Option]]]
    ) -> dict[str, dict[str, list[Option]]]:
        for block, options in blocks.items():
            for name, choices in options.items():
                if not choices or len(set(choices)) < len(choices):
                    raise ValueError(f"{block}.{name}: {choices}; give distinct values, at least 1")
        return blocks


def parse_space(path: str | Path) -> SearchSpace:
    """Read a search space file and check what it says by itself.

    path: of a file, or the name of one that comes with the program: `mobilenetv2-small`.
    `nas.load_space` also checks that its blocks, options and backbones exist.
    Raises SpecError when the file cannot be read or is wrong.
    """
    text = read_content("search_spaces", path, "the search space")
    return parse(SearchSpace, read_yaml(text, str(path)), str(path))


def with_backbones(
    space: SearchSpace, names: Sequence[str], arguments: Mapping[str, object] | None = None
) -> SearchSpace:
    """Return the space with other backbones; none: its own.

    arguments: of the user's own networks, beside those in their names.
    Raises SpecError for arguments that are not allowed, or backbones named twice.
    """
    values = space.model_dump() | {"backbone_args": dict(arguments or {})}
    return parse(SearchSpace, values | ({"backbones": list(names)} if names else {}), "--backbone")
