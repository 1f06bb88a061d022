"""A small device profile with round numbers, and a small space to measure."""

from __future__ import annotations

from nas.latency.profile import BackboneLatencies, Correction, Profile, WholeNetwork
from nas.spec.architecture import Architecture, Insertion
from nas.spec.space import SearchSpace

__all__ = ["example_profile", "small_space"]


def example_profile(*, backbone: str = "net", factor: float = 1.0) -> Profile:
    """Site a is empty; site b comes filled, and emptying it saves 0.1 ms.

    factor: what blocks take, more than usual.
    """

    def whole(measured_ms: float, fitted: bool, *labels: tuple[str, str]) -> WholeNetwork:
        insertions = tuple(Insertion.of(*item) for item in labels)
        architecture = Architecture(backbone, 32, insertions).to_json()
        return WholeNetwork(
            architecture=architecture, measured_ms=measured_ms, spread=0.01, fitted=fitted
        )

    both = (("a", "se/r24"), ("b", "coord/r32"))
    return Profile(
        device="onnxruntime",
        runtime="onnxruntime 1.0",
        processor="a processor",
        clock="thread",
        measured="2026-01-01T00:00:00+00:00",
        space="small",
        classes=10,
        branches=[
            BackboneLatencies(
                backbone=backbone,
                resolution=32,
                total_stride=None,
                plain_ms=5.0,
                added_ms={
                    "a": {"se/r24": 0.2 * factor},
                    "b": {"none": -0.1 * factor, "coord/r32": 0.7 * factor},
                },
            )
        ],
        networks=[
            whole(5.0, False),
            whole(5.22 / 1.02, False, ("a", "se/r24")),
            whole(5.77 / 1.02, False, ("b", "coord/r32")),
            whole(5.99 / 1.02, False, *both),
            whole(5.99, True, *both),
            whole(5.22, True, ("a", "se/r24")),
        ],
        correction=Correction(slope=1.1, noise=0.01, freedom=5.0),
        repeatability=0.02,
    )


def small_space(**changes: object) -> SearchSpace:
    """A space whose networks take a moment to build, and less to run."""
    data: dict[str, object] = {
        "name": "small",
        "backbones": ["mobilenetv2_035"],
        "resolutions": [32],
        "total_stride": 16,
        "blocks": {"se": {"reduction": [4, 8, 16]}, "coord": {}, "eca": {}},
    }
    return SearchSpace.model_validate(data | changes)
