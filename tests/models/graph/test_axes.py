"""Where an output unit reads, held against PyTorch: sizes by running layers, reads by their gradient."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from landseg.models.graph.axes import part
from landseg.models.layers.upsample import AlignedUpsample
from tests.parts.axes import assert_reads, axis_of, reads

kernels = st.integers(1, 5)


@given(kernels, st.integers(1, 4), st.integers(1, 3), st.integers(0, 6), st.integers(1, 14), st.data())
def test_convolutions(kernel: int, stride: int, dilation: int, padding: int, units: int, data: st.DataObject) -> None:
    assume(units + 2 * padding > (kernel - 1) * dilation)
    layer = nn.Conv2d(1, 1, kernel, stride, padding, dilation)
    nn.init.ones_(layer.weight)
    axis = axis_of(layer)
    assert_reads(axis, layer, units)
    for unit, span in enumerate(reads(layer, units)):
        clipped = part(axis, unit, unit + 1, units)
        assert span is None or dilation > 1 or span == (clipped.first, clipped.end - 1)


@given(kernels, st.integers(1, 4), st.integers(0, 4), st.booleans(), st.integers(1, 14))
def test_pools(kernel: int, stride: int, padding: int, ceil: bool, units: int) -> None:
    padding = min(padding, kernel // 2)
    assume(units + 2 * padding >= kernel)
    layer = nn.AvgPool2d(kernel, stride, padding, ceil)
    assert_reads(axis_of(layer), layer, units)


@given(kernels, st.integers(1, 4), st.integers(0, 3), st.integers(0, 3), st.integers(1, 9))
def test_transposed_convolutions(kernel: int, stride: int, padding: int, extra: int, units: int) -> None:
    extra, padding = min(extra, stride - 1), min(padding, kernel - 1)
    assume((units - 1) * stride + kernel + extra - 2 * padding > 0)
    layer = nn.ConvTranspose2d(1, 1, kernel, stride, padding, extra)
    nn.init.ones_(layer.weight)
    assert_reads(axis_of(layer), layer, units)


@given(st.integers(1, 6), st.booleans(), st.integers(1, 30))
def test_upsamplers(factor: int, shifted: bool, size: int) -> None:
    layer = AlignedUpsample(factor, (factor - 1) / 2 if shifted else 0.0)
    assert_reads(axis_of(layer), layer, -(-size // factor), torch.zeros(1, 1, size, size))


def test_twin_a_unit_too_few_is_seen() -> None:
    layer = nn.Conv2d(1, 1, 5, padding=2)
    nn.init.ones_(layer.weight)
    with pytest.raises(AssertionError):
        assert_reads(axis_of(nn.Conv2d(1, 1, 3, padding=1)), layer, 9)
