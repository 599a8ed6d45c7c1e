"""Scaled pixels: the formula, in any order in memory, and the fill where there is no data."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from landseg.tiling.scaling import Scaling

MEAN, STD, FILL = (100.0, 30.5, 7.0), (50.0, 12.5, 3.0), -0.25
DTYPES = ["uint8", "int16", "uint16", "int32", "float32", "float64"]


def scaled(pixels: NDArray[Any], valid: NDArray[np.bool_], *, interleaved: bool) -> NDArray[np.float32]:
    """Return the scaled pixels (bands, h, w)."""
    bands, height, width = pixels.shape
    out = np.empty((height, width, bands), np.float32).transpose(2, 0, 1) if interleaved else None
    out = np.empty(pixels.shape, np.float32) if out is None else out
    Scaling(MEAN, STD, FILL).write(pixels, valid, out)
    return out


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_formula_holds_and_no_order_in_memory_changes_a_bit(dtype: str, rng: Any) -> None:
    pixels = rng.integers(0, 120, (3, 90, 1100)).astype(dtype)
    valid = rng.random((90, 1100)) > 0.1
    planes = scaled(pixels, valid, interleaved=False)
    mean, std = (np.array(values)[:, None, None] for values in (MEAN, STD))
    expected = np.where(valid, (pixels.astype(np.float64) - mean) / std, FILL)
    np.testing.assert_allclose(planes, expected, atol=1e-5)
    assert planes.tobytes() == np.ascontiguousarray(scaled(pixels, valid, interleaved=True)).tobytes()


def test_twin_a_filled_pixel_more_is_noticed(rng: Any) -> None:
    pixels = rng.integers(0, 120, (3, 40, 50)).astype("uint8")
    valid = np.ones((40, 50), np.bool_)
    whole = scaled(pixels, valid, interleaved=False)
    valid[39, 49] = False
    assert (scaled(pixels, valid, interleaved=False) != whole).sum() == 3


def test_what_is_no_number_is_filled() -> None:
    pixels = np.full((3, 4, 5), np.nan, np.float32)
    pixels[:, 0] = np.inf
    assert (scaled(pixels, np.zeros((4, 5), np.bool_), interleaved=False) == np.float32(FILL)).all()
