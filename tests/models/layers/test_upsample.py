"""The aligned upsampler: unit f lands on pixel factor * f + shift, whatever the size."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from landseg.errors import ModelError
from landseg.models.layers.upsample import AlignedUpsample


def _units(size: int, factor: int, shift: float) -> Tensor:
    """A ramp sampled at the units' positions: (1, 1, 1, ceil(size / factor))."""
    count = -(-size // factor)
    return (torch.arange(count, dtype=torch.float64) * factor + shift)[None, None, None]


def _check_ramp(up: torch.nn.Module, size: int, factor: int, shift: float) -> None:
    units = _units(size, factor, shift)
    out = up(units, torch.empty(1, 1, 1, size))[0, 0, 0]
    pixels = torch.arange(size, dtype=torch.float64).clamp(shift, float(units.max()))
    assert out.shape == (size,)
    assert torch.allclose(out, pixels, atol=1e-9)


@given(size=st.integers(1, 200), factor=st.sampled_from([1, 2, 3, 4, 8, 16, 32]), half=st.booleans())
def test_reproduces_a_ramp_of_any_length(size: int, factor: int, half: bool) -> None:
    shift = (factor - 1) / 2 if half else 0.0
    _check_ramp(AlignedUpsample(factor, shift), size, factor, shift)


def test_twin_half_pixel_resizing_of_whole_pixel_units_fails() -> None:
    class Plain(torch.nn.Module):
        def forward(self, x: Tensor, like: Tensor) -> Tensor:
            return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)

    with pytest.raises(AssertionError):
        _check_ramp(Plain(), 64, 4, 0.0)


@given(
    width=st.integers(1, 150),
    cut=st.integers(0, 12),
    factor=st.sampled_from([2, 4, 8]),
    half=st.booleans(),
)
def test_a_window_cut_at_a_unit_gives_the_same_pixels(width: int, cut: int, factor: int, half: bool) -> None:
    shift = (factor - 1) / 2 if half else 0.0
    up = AlignedUpsample(factor, shift)
    count = -(-width // factor)
    cut = min(cut, count - 1)
    x = torch.randn(1, 2, 3, count, dtype=torch.float64)
    like = torch.empty(1, 1, 3 * factor, width)
    whole, part = up(x, like), up(x[..., cut:], like[..., cut * factor :])
    reach = factor if half and cut else 0  # half-pixel units look one unit back across the cut
    assert torch.allclose(whole[..., cut * factor + reach :], part[..., reach:], atol=1e-12)


def test_refuses_what_fits_no_grid() -> None:
    with pytest.raises(ModelError, match="at least 1"):
        AlignedUpsample(0)
    with pytest.raises(ModelError, match=r"use 0\.0 or 3\.5"):
        AlignedUpsample(8, 1.0)
