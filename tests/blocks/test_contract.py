"""One contract for every block: whatever is listed in BLOCKS is tested here."""

from __future__ import annotations

import io
import itertools
import sys
import warnings

import onnxruntime
import pytest
import torch

from nas.base.errors import SpecError
from nas.blocks import BLOCKS, make_block
from nas.blocks.block import WINDOWS, Shape, paper_width
from nas.models.cost import cost_of_module
from nas.spec.architecture import Option

every_block = pytest.mark.parametrize("name", sorted(BLOCKS))


SHAPE = (96, 14, 14)
"""A map that every block fits."""


def images_for(shape: tuple[int, int, int], batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, *shape, generator=torch.Generator().manual_seed(0))


def made(name: str, shape: tuple[int, int, int] = SHAPE, **options: Option) -> torch.nn.Module:
    channels, height, width = shape
    return make_block(name, channels=channels, height=height, width=width, **options)


def stirred(block: torch.nn.Module) -> torch.nn.Module:
    """Random weights everywhere and batch norm that has seen data: fresh ones hide faults."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        block.train()
        for _ in range(3):
            block(torch.randn(4, *SHAPE))
    return block.eval()


def combinations(name: str) -> list[dict[str, Option]]:
    options = BLOCKS[name].options
    return [
        dict(zip(options, values, strict=True)) for values in itertools.product(*options.values())
    ]


@every_block
@pytest.mark.parametrize("shape", [SHAPE, (96, 7, 5), (32, 3, 9), (64, 1, 1), (17, 5, 5)])
def test_every_choice_keeps_the_shape_or_is_refused_with_a_reason(
    name: str, shape: tuple[int, int, int]
) -> None:
    for options in combinations(name):
        if BLOCKS[name].applies(Shape(*shape), options):
            with pytest.raises(SpecError, match=name):
                made(name, shape, **options)
            continue
        block, images = made(name, shape, **options), images_for(shape)
        for mode in (True, False):
            output = block.train(mode)(images)
            assert output.shape == images.shape
            assert torch.isfinite(output).all(), options


@every_block
@pytest.mark.parametrize("shape", [(1, 7, 7), (1, 7, 14), (2, 7, 7), (3, 2, 2), (1, 1, 1)])
def test_a_few_channels_are_refused_or_fit_a_single_image(
    name: str, shape: tuple[int, int, int]
) -> None:
    """Costs, latencies and packs are of single images, which a norm of one value refuses."""
    for options in combinations(name):
        if BLOCKS[name].applies(Shape(*shape), options) is None:
            block = made(name, shape, **options).eval()
            assert torch.isfinite(block(images_for(shape, batch=1))).all(), options


@pytest.mark.parametrize(
    ("name", "option"),
    [(name, option) for name in sorted(BLOCKS) for option in BLOCKS[name].options.keys() & WINDOWS],
)
def test_a_window_beyond_a_small_map_is_refused_and_one_that_covers_it_is_not(
    name: str, option: str
) -> None:
    """A window of 1001 on a map of 7x5 would take minutes and gigabytes for what is padding."""
    shape, listed = (96, 7, 5), max(map(int, BLOCKS[name].options[option]))
    most = max(13, listed)
    reason = BLOCKS[name].applies(Shape(*shape), {option: 1001})
    assert reason == f"{option} 1001 reaches beyond its map of 7x5; at most {most} there"
    with pytest.raises(SpecError, match="reaches beyond") as caught:
        made(name, shape, **{option: 1001})
    assert "\n" not in str(caught.value)
    covering = {option: most}
    if BLOCKS[name].applies(Shape(*shape), covering) is None:
        assert made(name, shape, **covering).eval()(images_for(shape)).shape == (2, *shape)


def test_attention_among_channels_needs_more_than_one() -> None:
    for window in (4, 7):
        reason = BLOCKS["pcsa"].applies(Shape(1, 14, 14), {"window": window})
        assert reason == "its one channel has no others to attend to"


@every_block
def test_every_choice_fits_a_usual_map(name: str) -> None:
    assert [BLOCKS[name].applies(Shape(*SHAPE), options) for options in combinations(name)] == [
        None for _ in combinations(name)
    ]


@every_block
def test_batches_of_one_train_or_are_refused(name: str) -> None:
    block = made(name).train()
    try:
        block(images_for(SHAPE, batch=1).requires_grad_()).sum().backward()
    except ValueError as error:
        assert "more than 1 value per channel" in str(error)


@every_block
def test_identity_start_is_an_identity_and_can_leave_it(name: str) -> None:
    for options in combinations(name):
        torch.manual_seed(0)
        block = made(name, start="identity", **options)
        images = images_for(SHAPE, batch=4)
        started = block.eval()(images)
        assert torch.equal(started, images), options
        # Laid out otherwise in memory, the layers behind it would round otherwise.
        assert started.stride() == images.stride(), options
        block.train()
        optimiser = torch.optim.SGD(block.parameters(), lr=0.1)
        for _ in range(3):
            loss = (block(images) - torch.randn(4, *SHAPE)).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        assert not torch.equal(block.eval()(images), images), options


@every_block
def test_a_block_does_something(name: str) -> None:
    images = images_for(SHAPE)
    assert not torch.allclose(stirred(made(name))(images), images)


@every_block
def test_an_image_does_not_depend_on_its_batch(name: str) -> None:
    block, images = stirred(made(name)), images_for(SHAPE, batch=3)
    with torch.no_grad():
        together, alone = block(images), torch.cat([block(image[None]) for image in images])
    # Matrix products of other sizes round otherwise.
    torch.testing.assert_close(together, alone, atol=1e-5 * float(together.abs().max()), rtol=1e-4)


@every_block
def test_gates_multiply_as_often_as_they_say(name: str) -> None:
    """Closed and not doubled, a block gives its input times 2 ** -gates."""
    block = BLOCKS[name]
    if block.open:
        pytest.skip("opened in a way of its own")
    module = block.make(*SHAPE, **block.defaults).eval()
    for parameter in block.closed_by:
        torch.nn.init.zeros_(module.get_parameter(parameter))
    images = images_for(SHAPE)
    assert torch.equal(module(images), images * 0.5**block.gates)


@every_block
def test_exported_it_gives_the_same_with_any_batch(name: str) -> None:
    block = stirred(made(name))
    session = exported(block, images_for(SHAPE))
    for batch in (1, 3):
        images = images_for(SHAPE, batch)
        output = session.run(None, {"images": images.numpy()})[0]
        torch.testing.assert_close(torch.from_numpy(output), block(images), atol=1e-4, rtol=1e-4)


def exported(block: torch.nn.Module, images: torch.Tensor) -> onnxruntime.InferenceSession:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            block,
            (images,),
            file,
            input_names=["images"],
            dynamic_axes={"images": {0: "batch"}},
            opset_version=17,
            dynamo=False,
        )
    return onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])


@every_block
def test_its_multiply_adds_are_counted(name: str) -> None:
    counted = cost_of_module(made(name), torch.zeros(1, *SHAPE))
    assert not counted.unsupported


@every_block
def test_what_a_block_says_about_itself(name: str) -> None:
    block = BLOCKS[name]
    assert block.name == name
    assert block.paper.startswith("https://")
    assert block.complete({}) == block.defaults
    module = sys.modules[block.make.__module__]
    assert module.__doc__ is not None
    assert block.paper in module.__doc__


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [
        # m = max(8, 96 // 24) = 8, except CBAM: 96 // 24 = 4
        ("se", {"reduction": 24}, 2 * 96 * 8 + 8 + 96),
        ("cbam", {"reduction": 24, "kernel_size": 7}, 2 * 96 * 4 + 4 + 96 + 2 * 49 + 2),
        ("coord", {"reduction": 32}, 3 * 96 * 8 + 3 * 8 + 2 * 96),
        ("eca", {}, 3),
    ],
)
def test_parameters_follow_the_formula(name: str, options: dict[str, int], parameters: int) -> None:
    block = make_block(name, channels=96, height=7, width=7, **options)
    assert sum(item.numel() for item in block.parameters()) == parameters


def test_coordinate_attention_equals_the_formula_of_its_paper() -> None:
    """Equations 4 to 8 of arXiv:2103.02907, written out."""
    torch.manual_seed(0)
    block = make_block("coord", channels=64, height=6, width=5, reduction=32).eval()
    x = torch.randn(2, 64, 6, 5)
    z_h = x.mean(dim=3)  # (N, C, H)
    z_w = x.mean(dim=2)  # (N, C, W)
    joined = torch.cat([z_h, z_w], dim=2)[..., None]
    f = block.act(block.bn1(block.conv1(joined)))
    g_h = torch.sigmoid(block.conv_h(f[:, :, :6]))[..., 0]
    g_w = torch.sigmoid(block.conv_w(f[:, :, 6:]))[..., 0]
    expected = x * g_h[:, :, :, None] * g_w[:, :, None, :]
    torch.testing.assert_close(block(x), expected, atol=1e-6, rtol=1e-6)


def test_paper_width_has_a_floor() -> None:
    assert [paper_width(channels, 32) for channels in (16, 96, 256, 960)] == [8, 8, 8, 30]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "sea"}, "unknown block 'sea'; known: .*cbam, .*coord, .*eca, .*se"),
        ({"name": "se", "ratio": 4}, "no option 'ratio'; it has: reduction"),
        ({"name": "eca", "reduction": 4}, "it has: none"),
        ({"name": "se", "reduction": 0}, "at least 1"),
        ({"name": "se", "reduction": 2.5}, "whole number"),
        ({"name": "se", "reduction": True}, "whole number"),
        ({"name": "se", "reduction": 128}, "reduction 128 is larger than its 96 channels"),
        ({"name": "cbam", "kernel_size": 4}, "odd whole number"),
        ({"name": "se", "start": "warm"}, "allowed: paper, identity"),
        ({"name": "se", "channels": 0}, "at least 1"),
    ],
)
def test_wrong_input_is_said_in_one_line(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        make_block(**({"channels": 96, "height": 4, "width": 4} | arguments))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
@pytest.mark.parametrize("name", BLOCKS)
def test_it_trains_by_autocast(name: str, dtype: torch.dtype) -> None:
    """Spectra, sorts and powers too: nothing of them overflows or refuses half of the bits."""
    if (name, dtype) == ("lambda", torch.bfloat16):
        pytest.skip("oneDNN's gradient of a 23x23x1 convolution in bf16 is not finite on a CPU")
    torch.manual_seed(0)
    block = make_block(name, channels=32, height=8, width=8).train()
    images = torch.randn(2, 32, 8, 8).to(memory_format=torch.channels_last).requires_grad_()
    with torch.autocast("cpu", dtype=dtype):
        maps = torch.nn.functional.conv2d(images, torch.ones(32, 1, 3, 3), padding=1, groups=32)
        assert maps.dtype == dtype
        found = block(maps)
    found.float().square().mean().backward()
    assert found.isfinite().all()
    for weight in block.parameters():
        assert weight.grad is None or weight.grad.isfinite().all()
