"""The upconvolution operators: which of them are the same, how they start, and what is refused."""

from __future__ import annotations

import logging

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from landseg.errors import ModelError
from landseg.models.layers.upconv import (
    UPCONVOLUTIONS,
    MaxUnpool,
    Resize,
    Transposed,
    bilinear_taps,
    icnr_,
    overlaps,
    upconvolution,
)
from landseg.models.layers.upconv_parts import AlignedNearest, BedOfNails, MaxMask
from tests.parts import streamed as shared

EXACT = 1e-12
GRIDS = [(2, 0.0), (2, 0.5), (3, 0.0), (3, 1.0), (4, 0.0), (4, 1.5)]


def difference(got: Tensor, expected: Tensor) -> float:
    return shared.difference(got.detach(), expected.detach())


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.mark.parametrize(
    ("kernel", "stride", "counts"),
    [(3, 2, {1, 2}), (4, 2, {2}), (2, 2, {1}), (5, 2, {2, 3}), (5, 3, {1, 2}), (6, 3, {2}), (4, 3, {1, 2})],
)
def test_overlaps_are_those_of_a_kernel_of_ones(kernel: int, stride: int, counts: set[int]) -> None:
    assert set(overlaps(kernel, stride)) == counts
    ones = F.conv_transpose1d(torch.ones(1, 1, 20), torch.ones(1, 1, kernel), stride=stride)[0, 0, kernel:-kernel]
    assert set(ones.int().tolist()) == counts


@pytest.mark.parametrize(("k", "s", "p", "extra"), [(3, 2, 1, 1), (4, 2, 1, 0), (2, 2, 0, 0), (5, 3, 2, 2)])
def test_transposed_convolution_is_the_gradient_of_convolution(k: int, s: int, p: int, extra: int) -> None:
    x, weight = noise(1, 3, 4 * s, 4 * s).requires_grad_(), noise(5, 3, k, k)
    y = F.conv2d(x, weight, stride=s, padding=p)
    v = noise(*y.shape)
    (back,) = torch.autograd.grad(y, x, v)
    assert torch.allclose(back, F.conv_transpose2d(v, weight, None, s, p, extra), rtol=0, atol=EXACT)


@pytest.mark.parametrize(("factor", "shift"), GRIDS)
def test_fractional_is_transposed_with_the_kernel_turned(factor: int, shift: float) -> None:
    one = upconvolution("transposed", 3, 2, factor=factor, shift=shift).double()
    two = upconvolution("fractional", 3, 2, factor=factor, shift=shift).double()
    one.conv.weight.data = noise(*one.conv.weight.shape)
    two.conv.weight.data = one.conv.weight.data.transpose(0, 1).flip(2, 3).clone()
    two.conv.bias.data = one.conv.bias.data
    x, like = noise(1, 3, 5, 4), noise(1, 1, 5 * factor - 1, 4 * factor)
    assert difference(one(x, like), two(x, like)) <= EXACT
    two.conv.weight.data = one.conv.weight.data.transpose(0, 1).clone()
    assert difference(one(x, like), two(x, like)) > 0.1  # twin: not turned


@pytest.mark.parametrize(("kernel", "taps"), [(2, 1), (4, 3), (6, 3)])
def test_transposed_is_convolution_and_shuffle(kernel: int, taps: int) -> None:
    transposed = upconvolution("transposed", 3, 2, factor=2, shift=0.5, kernel=kernel).double()
    shuffle = upconvolution("shuffle", 3, 2, factor=2, shift=0.5, kernel=taps).double()
    weight = transposed.conv.weight.data = noise(3, 2, kernel, kernel)
    shuffle.conv.weight.data = as_shuffle(weight, taps)
    shuffle.conv.bias.data = transposed.conv.bias.data.repeat_interleave(4)
    x, like = noise(1, 3, 6, 7), noise(1, 1, 12, 13)
    assert difference(transposed(x, like), shuffle(x, like)) <= EXACT


def as_shuffle(weight: Tensor, taps: int) -> Tensor:
    """Output 2 f + phase of a centred stride-2 kernel reads unit f + t with tap ``phase + padding - 2 t``."""
    inputs, outputs, kernel, _ = weight.shape
    padding, middle = (kernel - 2) // 2, taps // 2
    made = torch.zeros(outputs, 2, 2, inputs, taps, taps, dtype=weight.dtype)
    for a in range(2):
        for b in range(2):
            for i in range(taps):
                for j in range(taps):
                    u, v = a + padding - 2 * (i - middle), b + padding - 2 * (j - middle)
                    if 0 <= u < kernel and 0 <= v < kernel:
                        made[:, a, b, :, i, j] = weight[:, :, u, v].T
    return made.reshape(outputs * 4, inputs, taps, taps)


def test_nearest_and_convolution_is_one_transposed_convolution() -> None:
    resize = upconvolution("nearest", 2, 3, factor=2, shift=0.5).double()
    small = resize.conv.weight.data = noise(3, 2, 3, 3)
    # Nearest upsampling is a kernel of ones on a bed of nails, so the two kernels are convolved with each other.
    composed = F.conv2d(small.flip(2, 3).flatten(0, 1)[:, None], torch.ones(1, 1, 2, 2).double(), padding=1)
    transposed = upconvolution("transposed", 2, 3, factor=2, shift=0.5, kernel=4).double()
    transposed.conv.weight.data = composed.view(3, 2, 4, 4).transpose(0, 1).contiguous()
    transposed.conv.bias.data = resize.conv.bias.data
    x, like = noise(1, 2, 5, 6), noise(1, 1, 10, 12)
    assert difference(resize(x, like), transposed(x, like)) <= EXACT
    # The reverse fails: 16 weights against 9.
    rank = torch.linalg.matrix_rank(torch.stack([kernel.flatten() for kernel in _composed_basis()]))
    assert rank == 9 < 16


def _composed_basis() -> list[Tensor]:
    basis = torch.eye(9, dtype=torch.float64).view(9, 1, 3, 3)
    return list(F.conv2d(basis, torch.ones(1, 1, 2, 2).double(), padding=1)[:, 0])


def test_nearest_is_a_bed_of_nails_under_ones() -> None:
    x = noise(1, 1, 4, 5)
    ones = F.conv2d(F.pad(BedOfNails(2)(x), (1, 0, 1, 0)), torch.ones(1, 1, 2, 2).double())
    assert torch.equal(ones, F.interpolate(x, scale_factor=2, mode="nearest"))
    assert torch.equal(ones, AlignedNearest(2, 0.5)(x, ones))


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
def test_icnr_starts_as_nearest_upsampling(factor: int) -> None:
    shuffle = upconvolution("shuffle", 3, 2, factor=factor, shift=(factor - 1) / 2).double()
    x, like = noise(1, 3, 4, 5), noise(1, 1, 4 * factor, 5 * factor)
    first = nn.Conv2d(3, 2, 3, padding=1, bias=False).double()
    first.weight.data = shuffle.conv.weight.data[:: factor**2]
    expected = F.interpolate(first(x), scale_factor=factor, mode="nearest")
    assert difference(shuffle(x, like), expected) <= EXACT
    nn.init.normal_(shuffle.conv.weight)
    first.weight.data = shuffle.conv.weight.data[:: factor**2]
    expected = F.interpolate(first(x), scale_factor=factor, mode="nearest")
    assert difference(shuffle(x, like), expected) > 0.1  # twin: drawn one by one


def test_shuffled_on_whole_pixels_starts_as_aligned_nearest_upsampling() -> None:
    for factor in (2, 3, 4):
        shuffle = upconvolution("shuffle", 1, 1, factor=factor, kernel=1).double()
        x, like = noise(1, 1, 5, 6), noise(1, 1, 5 * factor, 6 * factor)
        expected = AlignedNearest(factor)(x * shuffle.conv.weight.data[0, 0, 0, 0], like)
        inside = slice(0, -factor)  # below and to the right a convolution sees zeros, and nearest holds
        got = shuffle(x, like)
        assert torch.allclose(got[..., factor:, factor:][..., inside, inside],
                              expected[..., factor:, factor:][..., inside, inside], rtol=0, atol=EXACT)  # fmt: skip


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_bilinear_taps_are_linear_interpolation(factor: int) -> None:
    kernel = 2 * factor - factor % 2
    ups = nn.ConvTranspose2d(1, 1, kernel, factor, (kernel - factor) // 2, bias=False).double()
    taps = bilinear_taps(kernel, factor)
    ups.weight.data = torch.outer(taps, taps)[None, None]
    x = noise(1, 1, 6, 7)
    inside = slice(factor, -factor)
    expected = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    assert torch.allclose(ups(x)[..., inside, inside], expected[..., inside, inside], rtol=0, atol=EXACT)
    assert not torch.allclose(ups(x), expected, atol=0.01)  # at the border it sees zeros


@given(st.integers(1, 9), st.integers(1, 5))
def test_every_phase_of_the_taps_sums_to_one(extra: int, factor: int) -> None:
    taps = bilinear_taps(factor + extra - 1, factor)
    for phase in range(factor):
        assert abs(float(taps[phase::factor].sum()) - 1) < EXACT


@given(st.integers(1, 6), st.booleans(), st.integers(1, 30))
def test_nearest_is_the_mean_of_the_units_that_are_nearest(factor: int, half: bool, size: int) -> None:
    shift = (factor - 1) / 2 if half else 0.0
    units = torch.arange(-(-size // factor), dtype=torch.float64)
    got = AlignedNearest(factor, shift)(units[None, None, None] ** 2, torch.empty(1, 1, 1, size))[0, 0, 0]
    for pixel in range(size):
        away = (factor * torch.arange(len(units) + 1) + shift - pixel).abs()  # one more, where the last is held
        near = torch.nonzero(away == away.min()).flatten().clamp(max=len(units) - 1)
        assert got[pixel] == (units[near] ** 2).mean()


@pytest.mark.parametrize("size", [(8, 8), (9, 11), (1, 5)])
def test_max_unpooling_is_pytorchs(size: tuple[int, int]) -> None:
    like = noise(2, 3, *size).round()  # with ties
    pooled, index = F.max_pool2d(like, 2, ceil_mode=True, return_indices=True)
    expected = torch.zeros_like(like).flatten(2).scatter(2, index.flatten(2), pooled.flatten(2)).view(like.shape)
    up = MaxUnpool(3, 3, 2, None)
    assert torch.equal(up.hold(pooled, like) * up.winners(like), expected)
    assert float(MaxMask(2)(like).sum()) == pooled.numel()


@pytest.mark.parametrize(("factor", "shift"), GRIDS)
@pytest.mark.parametrize("name", UPCONVOLUTIONS)
def test_a_constant_stays_one_at_the_start(name: str, factor: int, shift: float) -> None:
    if name == "unpool" and shift:
        return  # puts the constant at maxima
    up = upconvolution(name, 3, 2, factor=factor, shift=shift).double()
    x, like = torch.ones(1, 3, 9, 9).double(), torch.empty(1, 1, 9 * factor, 9 * factor)
    inside = up(x, like).detach()[..., 3 * factor : -3 * factor, 3 * factor : -3 * factor]
    assert float((inside - inside.mean((2, 3), keepdim=True)).abs().max()) <= 1e-6  # weights are made in float32


def test_an_uneven_kernel_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        upconvolution("transposed", 2, 2, factor=2, shift=0.5, kernel=4)
        upconvolution("fractional", 2, 2, factor=3, kernel=3)
    assert not caplog.records
    upconvolution("transposed", 2, 2, factor=2, kernel=5)
    assert "a kernel of 5 with stride 2 covers pixels 2 or 3 times" in caplog.text
    assert "a multiple of 2 where the units allow one" in caplog.text


def test_refusals() -> None:
    with pytest.raises(ModelError, match="nearest, bilinear, fractional, transposed, shuffle, unpool"):
        upconvolution("deconv", 1, 1, factor=2)
    with pytest.raises(ModelError, match=r"use a factor of 1 or more and a shift of 0\.0 or 1\.5"):
        upconvolution("nearest", 1, 1, factor=4, shift=1.0)
    with pytest.raises(ModelError, match=r"cannot be centred .* use 3"):
        upconvolution("transposed", 1, 1, factor=2, kernel=4)
    with pytest.raises(ModelError, match="use 4"):
        upconvolution("fractional", 1, 1, factor=2, shift=0.5, kernel=3)
    with pytest.raises(ModelError, match="no middle pixel; use 5"):
        upconvolution("bilinear", 1, 1, factor=2, kernel=4)
    assert isinstance(upconvolution("bilinear", 1, 1, factor=2), Resize)
    assert isinstance(upconvolution("transposed", 1, 1, factor=1), Transposed)
    assert icnr_(torch.empty(8, 1, 1, 1), 2).flatten().unique().numel() == 2
