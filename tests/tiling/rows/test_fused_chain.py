"""Convolutions in a row as one step: found where they should be, and the same values."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from landseg.models.graph.axes import Part
from landseg.tiling.rows import fused_chain as chain
from landseg.tiling.rows import sections
from landseg.tiling.rows.fused_chain import Chain
from landseg.tiling.rows.program import StepProgram, program_of
from tests.parts.row_networks import network_of
from tests.parts.streamed import difference, image, lively, streamed, whole


def block(*, bands: int = 2, wide: int = 12, stride: int = 1, kernel: int = 3, dilation: int = 1) -> nn.Sequential:
    """Widen, slide, narrow, as mobile networks do it."""
    padding = (kernel - 1) // 2 * dilation
    slide = nn.Conv2d(wide, wide, kernel, stride, padding, dilation, groups=wide)
    return nn.Sequential(nn.Conv2d(bands, wide, 1), nn.ReLU6(), slide, nn.ReLU6(), nn.Conv2d(wide, 3, 1))


class Branching(nn.Module):
    """What is widened is read twice."""

    def __init__(self) -> None:
        super().__init__()
        self.widen, self.narrow = nn.Conv2d(2, 6, 1), nn.Conv2d(6, 6, 1)
        self.slide = nn.Conv2d(6, 6, 3, padding=1, groups=6)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.widen(x)
        joined: Tensor = self.narrow(self.slide(wide)) + wide
        return joined


def chains(program: StepProgram) -> list[str]:
    return [step.name for step in program.steps if isinstance(step.operator, Chain)]


def assert_same(network: nn.Module, height: int = 37, width: int = 29, **options: Any) -> None:
    x = image(height, width)
    assert difference(streamed(network, x, **options), whole(network, x)) <= 1e-12


@pytest.mark.parametrize("cache", [1, 3000, 1 << 20])
@pytest.mark.parametrize("strip", [1, 5, 40])
@pytest.mark.parametrize(
    "options", [{}, {"stride": 2}, {"kernel": 5}, {"kernel": 3, "dilation": 4}, {"kernel": 5, "stride": 2}]
)
def test_a_chain_gives_the_same_values(
    options: dict[str, int], strip: int, cache: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain, "CACHE", cache)
    network = lively(block(**options))
    assert chains(program_of(network)) == ["0 to 4"]
    assert_same(network, strip=strip, chunk=None)
    assert_same(network, strip=strip, chunk=7)
    assert_same(network, height=2, width=1, strip=strip, chunk=7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])  # those that networks run in
def test_the_size_of_the_cache_changes_no_byte(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    network = lively(block(kernel=5)).to(dtype)
    x, made = image(97, 61).to(dtype), set()
    for cache in (3000, 1 << 16, 1 << 20, 1 << 25):
        monkeypatch.setattr(chain, "CACHE", cache)
        monkeypatch.setattr(sections, "CACHE", cache)
        made.add(streamed(network, x, strip=40, chunk=None).float().contiguous().numpy().tobytes())
    assert len(made) == 1


def test_twin_a_cache_that_changed_a_value_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = chain.Chain._few
    network, x, made = lively(block()), image(97, 61), set()

    def few(self: Any, *args: Any) -> int:
        x.mul_(1 + 1e-9)
        return honest(self, *args)

    monkeypatch.setattr(chain.Chain, "_few", few)
    for cache in (3000, 1 << 20):
        monkeypatch.setattr(chain, "CACHE", cache)
        made.add(streamed(network, x, strip=40, chunk=None).contiguous().numpy().tobytes())
    assert len(made) == 2


def test_twin_rows_that_are_missed_where_two_bands_meet_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = chain.part

    def short(axis: Any, start: int, stop: int, units: int) -> Part:
        found = honest(axis, start, stop, units)
        return found if start == 0 else Part(start, stop, found.first + 1, found.end, 1, found.after, units)

    monkeypatch.setattr(chain, "CACHE", 3000)
    monkeypatch.setattr(chain, "part", short)
    with pytest.raises(AssertionError):
        assert_same(lively(block()), strip=40)


def test_what_is_read_twice_is_not_swallowed() -> None:
    network = lively(Branching())
    assert chains(program_of(network)) == ["slide to narrow"]
    assert_same(network, strip=5, chunk=8)


def test_coarse_rows_are_kept_rather_than_computed_again() -> None:
    down = [layer for _ in range(4) for layer in (nn.Conv2d(2, 2, 3, 2, 1), nn.LeakyReLU())]
    network = lively(nn.Sequential(*down, *block()))
    assert chains(program_of(network)) == ["10 to 12"]  # stride 16: without the widening
    assert chains(program_of(lively(nn.Sequential(*down[:6], *block())))) == ["6 to 10"]  # stride 8


def test_blocks_of_the_shipped_network_are_chains_of_their_own() -> None:
    program = program_of(network_of("deeplab-v3plus", "efficientnet-lite0"))
    found = chains(program)
    prefix = "encoder.body.model.blocks"
    assert found[:3] == [
        f"{prefix}.0.0.conv_dw to {prefix}.0.0.conv_pw",
        f"{prefix}.1.0.conv_pw to {prefix}.1.0.conv_pwl",
        f"{prefix}.1.1.conv_pw to {prefix}.1.1.conv_pwl",
    ]
    channels = program.channels(3)
    fine = [channels[number + 1] for number, step in enumerate(program.steps) if step.name in found[:6]]
    assert max(fine) <= 80  # nothing that was widened is kept at the fine strides


def test_chains_under_upsamplers_and_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of("deeplab-v3plus", "efficientnet-lite0")
    x = image(61, 45, bands=3)
    monkeypatch.setattr(chain, "CACHE", 5000)
    assert difference(streamed(network, x, strip=16, chunk=32), whole(network, x)) <= 1e-10
