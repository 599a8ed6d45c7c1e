"""The checkerboard measure: known patterns, what must not count, and the operators that draw one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from benchmarks.checkerboard import checkerboard
from benchmarks.checkerboard_picture import plot_checkerboard
from landseg.errors import OutputError
from landseg.models.layers.upconv import upconvolution

ROWS, COLUMNS = np.mgrid[0:48, 0:60].astype(np.float64)


@given(st.integers(2, 5), st.integers(0, 1000), st.floats(-5, 5), st.floats(0.1, 10))
def test_a_pure_pattern_is_all_checkerboard(stride: int, seed: int, mean: float, scale: float) -> None:
    tile = np.random.default_rng(seed).normal(size=(stride, stride))
    maps = mean + scale * np.tile(tile, (8, 9))
    found = checkerboard(maps, stride)
    assert found.share == pytest.approx(1.0, abs=1e-9)
    assert found.energy.sum() == pytest.approx(maps.var(), rel=1e-6)


@pytest.mark.parametrize(
    "maps",
    [COLUMNS, ROWS**2, np.sin(ROWS / 9) * np.cos(COLUMNS / 7), (COLUMNS > 31.0).astype(float), 1.0 + 0 * ROWS],
    ids=["slope", "bowl", "waves", "edge", "flat"],
)
def test_what_does_not_repeat_is_none(maps: NDArray[np.float64]) -> None:
    share = checkerboard(maps, 2).share
    assert not share > 2e-3 and (maps.std() > 0) == np.isfinite(share)


def test_twin_without_a_window_a_slope_leaks() -> None:
    pattern = COLUMNS.reshape(24, 2, 30, 2).mean((0, 2))
    assert pattern.var() / COLUMNS.var() > 5e-4 > 100 * checkerboard(COLUMNS, 2).share


def test_a_faint_pattern_is_measured_on_top_of_a_map() -> None:
    clean = 10 * np.sin(ROWS / 9) * np.cos(COLUMNS / 7)
    found = checkerboard(clean + 0.3 * (-1) ** (ROWS + COLUMNS), 2)
    assert found.energy[1, 1] == pytest.approx(0.09, rel=0.01)
    assert found.energy[0, 1] + found.energy[1, 0] < 1e-4


def test_noise_has_the_share_that_is_stated() -> None:
    noise = np.random.default_rng(1).normal(size=(64, 64, 64))
    shares = [checkerboard(one, 4).share for one in noise]
    assert np.mean(shares) == pytest.approx(15 * 2.25 / 64**2, rel=0.15)


def _shares(name: str, *, kernel: int | None = None, start: bool = False) -> float:
    """The share at stride 2 of what random weights make of a smooth map; the mean over 8 outputs."""
    torch.manual_seed(4)
    up = upconvolution(name, 4, 8, factor=2, shift=0.0 if kernel and kernel % 2 else 0.5, kernel=kernel)
    if not start:
        nn.init.normal_(up.conv.weight)
    x = torch.sin(torch.arange(32.0) / 5)[None, None] * torch.cos(torch.arange(32.0) / 6)[:, None, None]
    x = 2 + x.permute(1, 0, 2)[None].expand(1, 4, 32, 32)
    with torch.inference_mode():
        y = up(x, torch.empty(1, 1, 64, 64))[0]
    return checkerboard(y.double().numpy(), 2).share


def test_operators_draw_what_is_said_of_them() -> None:
    assert _shares("nearest") < 2e-3 and _shares("bilinear") < 2e-3  # learnt or not
    assert _shares("transposed", start=True) < 2e-3 and _shares("shuffle", kernel=3, start=True) < 0.02
    assert _shares("transposed") > 0.05 and _shares("shuffle") > 0.05  # random weights draw one, even kernels too


def test_ones_draw_a_checkerboard_where_the_stride_does_not_divide() -> None:
    ones = torch.ones(1, 1, 24, 24)
    for kernel, drawn in ((3, True), (5, True), (4, False), (2, False)):
        layer = nn.ConvTranspose2d(1, 1, kernel, 2, bias=False).requires_grad_(False)
        nn.init.ones_(layer.weight)
        y = layer(ones)[0, 0, 6:-6, 6:-6].double().numpy()
        assert (np.ptp(y) > 0) == drawn
        assert not drawn or checkerboard(y, 2).share == pytest.approx(1.0)


def test_two_stacked_upconvolutions_repeat_every_two_and_every_four() -> None:
    layer = nn.ConvTranspose2d(1, 1, 3, 2, bias=False).requires_grad_(False)
    nn.init.ones_(layer.weight)
    y = layer(layer(torch.ones(1, 1, 24, 24)))[0, 0, 16:-16, 16:-16].double().numpy()
    four = checkerboard(y, 4)
    assert four.share == pytest.approx(1.0) and 0.05 < four.without(2) < 0.95
    assert checkerboard(y, 2).share == pytest.approx(four.share - four.without(2), rel=1e-3)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="every 2 pixels or more"):
        checkerboard(ROWS, 1)
    with pytest.raises(ValueError, match="no four periods of 16"):
        checkerboard(ROWS, 16)
    with pytest.raises(ValueError, match="does not divide"):
        checkerboard(ROWS, 4).without(3)


def test_the_picture_shows_map_and_marks(tmp_path: Path) -> None:
    out = tmp_path / "board.png"
    share = plot_checkerboard(ROWS + (-1) ** COLUMNS, 2, out)
    assert share == checkerboard(ROWS + (-1) ** COLUMNS, 2).share
    picture = np.asarray(Image.open(out))
    assert picture.shape == (384 + 5 * 28, 2 * 384 + 3 * 28, 3)
    assert (picture == (206, 62, 48)).all(-1).sum() > 100
    assert [file.name for file in tmp_path.iterdir()] == ["board.png"]
    with pytest.raises(OutputError, match="picture"):
        plot_checkerboard(ROWS, 2, tmp_path / "board.tif")
    plot_checkerboard(0 * ROWS, 2, out)  # flat: no division by zero
