"""Pixel positions of one grid in another, whatever their CRSs."""

import math
from typing import Any

import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray

from landseg.geo.grid import Grid, Rect
from landseg.geo.horizontal import horizontal, same_place
from landseg.geo.resample import HALF


def mover(source: Grid, target: Grid) -> Any:
    """A function from pixel positions (x, y) of one grid to those of the other; inf where there are none."""
    out, into = source.transform, ~target.transform
    if same_place(source.crs, target.crs):
        return lambda x, y: _apply(into @ out, x, y)
    here, there = horizontal(source.crs), horizontal(target.crs)
    transformer = pyproj.Transformer.from_crs(here, there, always_xy=True)
    return lambda x, y: _apply(into, *transformer.transform(*_apply(out, x, y)))


def _apply(transform: Affine, x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[Any, Any]:
    a, b, c, d, e, f = tuple(transform)[:6]
    with np.errstate(invalid="ignore"):  # positions without a place are inf, and 0 * inf is nan
        return a * x + b * y + c, d * x + e * y + f


def pixel_ratio(base: Grid, grid: Grid) -> float:
    """How many pixels of `base` one pixel of `grid` is wide, at the middle of `grid`."""
    x, y = grid.width / 2, grid.height / 2
    xs, ys = mover(grid, base)(np.array([x, x + 1, x]), np.array([y, y, y + 1]))
    area = abs((xs[1] - xs[0]) * (ys[2] - ys[0]) - (xs[2] - xs[0]) * (ys[1] - ys[0]))
    return math.sqrt(area) if math.isfinite(area) and area > 0 else 1.0


def needed_for(x: NDArray[np.float64], y: NDArray[np.float64], rect: Rect) -> Rect | None:
    """The pixels that interpolation at (x, y) reads, or None where no position lies inside `rect`."""
    inside = (x >= 0) & (x <= rect.width) & (y >= 0) & (y <= rect.height)
    if not inside.any():
        return None
    x, y = x[inside], y[inside]
    top, left = math.floor(y.min() - HALF), math.floor(x.min() - HALF)
    bottom, right = math.floor(y.max() - HALF) + 2, math.floor(x.max() - HALF) + 2
    return Rect(top, left, bottom - top, right - left).intersection(rect)
