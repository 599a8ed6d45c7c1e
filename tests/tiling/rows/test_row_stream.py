"""Streamed rows are the whole image's: any network, any size, any strip, any cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from landseg.errors import PlanError
from landseg.geo.grid import Rect
from landseg.models.layers.fold import fold_batch_norm
from landseg.models.networks.build import build_network
from landseg.tiling.rows import buffers, schedule
from landseg.tiling.rows.program import program_of
from landseg.tiling.rows.row_stream import Rows
from tests.parts.row_networks import NETWORKS, network_of
from tests.parts.streamed import Random, UpAndDown, collected, difference, image, lively, streamed, whole

sizes = st.integers(1, 40)
pieces = st.one_of(st.none(), st.integers(1, 50))


def assert_streams(network: nn.Module, x: Tensor, tolerance: float = 1e-10, **options: Any) -> None:
    assert difference(streamed(network, x, **options), whole(network, x)) <= tolerance


@settings(max_examples=120)
@given(
    seed=st.integers(0, 10**6),
    height=sizes,
    width=sizes,
    strip=st.integers(1, 50),
    chunk=pieces,
    pushes=st.lists(st.integers(1, 20), min_size=1, max_size=3),
)
def test_random_graphs(seed: int, height: int, width: int, strip: int, chunk: int | None, pushes: list[int]) -> None:
    network, x = lively(Random(seed), seed), image(height, width)
    try:
        program_of(network).shapes((height, width))
        whole(network, x)
    except (PlanError, RuntimeError):
        assume(False)  # branches that do not meet, or an image smaller than a kernel
    assert_streams(network, x, strip=strip, chunk=chunk, pushes=pushes)


@settings(max_examples=60)
@given(seed=st.integers(0, 1000), height=sizes, width=sizes, strip=st.integers(1, 50), chunk=pieces)
def test_coarse_beside_fine(seed: int, height: int, width: int, strip: int, chunk: int | None) -> None:
    assert_streams(lively(UpAndDown(seed), seed), image(height, width), strip=strip, chunk=chunk)


@settings(max_examples=60)
@given(data=st.data(), seed=st.integers(0, 1000), strip=st.integers(1, 40), chunk=pieces)
def test_any_region_is_cut_out_exactly(data: st.DataObject, seed: int, strip: int, chunk: int | None) -> None:
    network, x = lively(UpAndDown(seed), seed), image(37, 41)
    top, left = data.draw(st.integers(0, 36)), data.draw(st.integers(0, 40))
    height, width = data.draw(st.integers(1, 37 - top)), data.draw(st.integers(1, 41 - left))
    assert_region(network, x, Rect(top, left, height, width), strip, chunk)


def assert_region(network: nn.Module, x: Tensor, region: Rect, strip: int, chunk: int | None) -> None:
    expected = whole(network, x)[:, :, region.top : region.bottom, region.left : region.right]
    stream = Rows(
        program_of(network), x.shape[2:], bands=x.shape[1], region=region, strip=strip, chunk=chunk, dtype=x.dtype
    )
    assert difference(collected(stream, x), expected) <= 1e-10


@pytest.mark.parametrize(("arch", "encoder"), NETWORKS)
@pytest.mark.parametrize(
    ("height", "width", "strip", "chunk"),
    [(1, 1, 16, None), (67, 45, 100, 32), (129, 83, 16, None), (90, 131, 37, 50)],
)
def test_shipped_networks(arch: str, encoder: str, height: int, width: int, strip: int, chunk: int | None) -> None:
    network = network_of(arch, encoder)
    assert_streams(network, image(height, width, bands=3), strip=strip, chunk=chunk, pushes=(16, 5, 40))


@pytest.mark.parametrize(("arch", "encoder"), NETWORKS)
def test_single_precision(arch: str, encoder: str) -> None:
    network = build_network(arch, encoder=encoder, bands=3, channels=4)
    network = fold_batch_norm(lively(network)).float()
    x = image(61, 97, bands=3, dtype=torch.float32)
    assert_streams(network, x, tolerance=2e-5, strip=32, chunk=40)


def test_a_network_that_is_not_folded_streams_too() -> None:
    network = lively(build_network("fcn32s", encoder="resnet18", bands=3, channels=2))
    assert_streams(network, image(50, 40, bands=3), strip=16)


def test_every_unit_is_computed_once() -> None:
    program = program_of(network_of("deeplab-v3plus", "resnet18"))
    sizes = [height for height, _ in program.shapes((333, 40))]
    plan = schedule.Schedule(program, 0, sizes, (0, 333), 48)
    at = list(plan.starts)
    for piece in plan:
        assert [start for start, _ in piece.spans] == at
        at = [stop for _, stop in piece.spans]
    assert at == sizes


def test_a_restart_gives_the_same_rows() -> None:
    network, x = network_of("deeplab-v3plus", "efficientnet-lite0").float(), image(400, 70, bands=3).float()
    program = program_of(network)
    full = collected(Rows(program, (400, 70), bands=3, strip=32, dtype=torch.float32), x)
    rest = Rows(program, (400, 70), bands=3, region=Rect(352, 0, 48, 70), strip=32, dtype=torch.float32)
    assert difference(collected(rest, x), full[:, :, 352:]) <= 1e-5
    network.double()


class Odd(nn.Module):
    """Layers around one that cannot be streamed."""

    def __init__(self, layer: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.odd, self.last = nn.Conv2d(2, 4, 3), layer, nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(self.odd(self.first(x)))
        return y


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (nn.GroupNorm(2, 4), "odd"),
        (nn.AdaptiveAvgPool2d(1), "odd"),
        (nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), "odd"),
        (nn.LocalResponseNorm(2), "odd"),
        (lambda x: torch.fft.fft2(x).real, "fft"),
        (lambda x: torch.cat([x, x], 2), "cat"),
        (lambda x: x.add_(1) if x is None else torch.relu_(x) + x, "relu_"),
    ],
)
def test_what_cannot_be_streamed_is_named(layer: Callable[[Tensor], Tensor], name: str) -> None:
    with pytest.raises(PlanError, match=name):
        program_of(Odd(layer).eval())


def test_refusals() -> None:
    with pytest.raises(PlanError, match="eval"):
        program_of(nn.Conv2d(1, 1, 1).train())
    program = program_of(nn.Conv2d(1, 1, 5).eval())
    with pytest.raises(PlanError, match="too small"):
        Rows(program, (4, 9), bands=1)
    with pytest.raises(PlanError, match="region"):
        Rows(program, (9, 9), bands=1, region=Rect(0, 0, 9, 10))


def test_twin_one_row_too_few_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A buffer that has forgotten its oldest row, and gives zeros in its place."""
    network, x = network_of("deeplab-v3plus", "resnet18"), image(90, 50, bands=3)
    assert_streams(network, x, strip=16)
    save = buffers.RowBuffer._save

    def forget(self: Any, lines: tuple[int, int], columns: tuple[int, int]) -> None:
        save(self, lines, columns)
        for slots, _ in self._slots(lines[0], lines[0] + 1):
            self._ring[:, :, slots].zero_()

    monkeypatch.setattr(buffers.RowBuffer, "_save", forget)
    with pytest.raises(AssertionError):
        assert_streams(network, x, strip=16)


def test_twin_a_shallower_buffer_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = network_of("fcn32s", "resnet18"), image(90, 50, bands=3)
    deep = schedule.Schedule.depths
    monkeypatch.setattr(schedule.Schedule, "depths", lambda self: [max(0, depth - 1) for depth in deep(self)])
    with pytest.raises(AssertionError):
        assert_streams(network, x, strip=16)


def test_twin_padding_at_a_cut_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A column block whose sides are taken for the raster's edges."""
    network, x = network_of("fcn32s", "resnet18"), image(64, 700, bands=3)
    region = Rect(0, 320, 64, 64)
    assert_region(network, x, region, 32, None)
    block = x[:, :, :, 320:384]
    expected = whole(network, x)[..., 320:384]
    with pytest.raises(AssertionError):
        assert difference(streamed(network, block), expected) <= 1e-4
    part = schedule.part
    monkeypatch.setattr(
        schedule, "part", lambda axis, start, stop, units: part(axis, start, stop, min(units, units - units // 3))
    )
    with pytest.raises((AssertionError, RuntimeError)):
        assert_region(network, x, region, 32, None)
