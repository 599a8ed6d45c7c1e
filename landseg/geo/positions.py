"""Pixel positions of one grid in another, whatever their CRSs."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from landseg.geo.crs import as_pyproj, degree, is_mercator, period, transformer
from landseg.geo.globe import footprint
from landseg.geo.grid import Grid, Rect
from landseg.geo.horizontal import same_place
from landseg.geo.resample import HALF

EDGE_POINTS = 33  # along each edge of a grid, to find its curved outline on another


def mover(source: Grid, target: Grid) -> Any:
    """Return a function from pixel positions (x, y) of one grid to those of the other; it gives inf without a place.

    Where longitudes, or the x of a cylinder, come round, a position beyond the target is moved by whole turns.

    Raises:
        GridError: no transformation is known between their CRSs.
    """
    direct, turn = _direct(source, target), turn_of(target)
    if turn is None:
        return direct

    def nearest(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[Any, Any]:
        x, y = direct(x, y)
        beyond = ~((x >= 0) & (x <= target.width) & (y >= 0) & (y <= target.height)) & np.isfinite(x) & np.isfinite(y)
        if beyond.any():
            # Whole turns to the middle: along the axis of x, which lies in rows unless the grid is turned.
            along = (x - target.width / 2) * turn[0] + (y - target.height / 2) * turn[1]
            turns = np.where(beyond, np.round(along / (turn[0] ** 2 + turn[1] ** 2)), 0)
            x, y = np.where(turns == 0, x, x - turns * turn[0]), np.where(turns == 0, y, y - turns * turn[1])
        return x, y

    return nearest


def turn_of(grid: Grid) -> tuple[float, float] | None:
    """Return a whole turn around the globe in pixels (x, y) of a grid; None where its CRS does not come round."""
    around = None if grid.crs is None else period(grid.crs)
    if around is None:
        return None
    back = ~grid.transform
    return back.a * around, back.d * around


def turned_near(grid: Grid, other: Grid) -> Grid:
    """Return another grid, moved by the whole turns of the globe that bring it nearest to a grid.

    Grids of different CRSs, and of CRSs that do not come round, stay where they are.
    """
    turn = turn_of(grid) if same_place(grid.crs, other.crs) else None
    if turn is None:
        return other
    x, y = (~grid.transform @ other.transform) @ (other.width / 2, other.height / 2)
    along = (grid.width / 2 - x) * turn[0] + (grid.height / 2 - y) * turn[1]
    return turned(other, round(along / (turn[0] ** 2 + turn[1] ** 2)))


def offset_on(grid: Grid, other: Grid) -> tuple[int, int] | None:
    """Return the (row, column) of a grid at which another grid starts, after whole turns of the globe if needed.

    None where its pixels are not the grid's, or where it goes so far around that it meets the grid from both sides:
    then it has two offsets.
    """
    near = turned_near(grid, other)
    offset, turn = grid.offset_of(near), turn_of(grid)
    if offset is None or turn is None:
        return offset
    here = other.rect.shifted(*offset)
    turns = [here.shifted(round(way * turn[1]), round(way * turn[0])) for way in (-1, 1)]
    return None if any(rect.intersection(grid.rect) for rect in turns) else offset


def turned(grid: Grid, turns: int) -> Grid:
    """Return a grid moved eastwards by whole turns of the globe: the same place in other coordinates."""
    around = None if grid.crs is None else period(grid.crs)
    if not turns or around is None:
        return grid
    return replace(grid, transform=Affine.translation(turns * around, 0.0) @ grid.transform)


def outline_on(grid: Grid, other: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return the outline of another grid in pixels (x, y) of a grid and its continuation, near it and in one piece.

    An outline around a pole reaches it along a whole turn. None where a part of it has no place.
    """
    along = np.linspace(0, 1, EDGE_POINTS)
    rest = along[1:]
    ring = np.concatenate([along, np.ones(len(rest)), 1 - rest, np.zeros(len(rest))])
    side = np.concatenate([np.zeros(len(along)), rest, np.ones(len(rest)), 1 - rest])
    x, y = _direct(other, grid)(ring * other.width, side * other.height)
    turn = turn_of(grid)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return None
    if turn is None:
        return x, y
    long = turn[0] ** 2 + turn[1] ** 2
    if not same_place(grid.crs, other.crs):  # in one CRS an outline is where its coordinates say
        steps = np.round((np.diff(x) * turn[0] + np.diff(y) * turn[1]) / long)
        turns = np.concatenate([[0.0], np.cumsum(steps)])
        x, y = x - turns * turn[0], y - turns * turn[1]
        if turns[-1]:  # it comes back a turn further: there is a pole inside
            pole = _pole(grid, other)
            if pole is None:
                return None
            x, y = np.append(x, [x[0], x[0] - turns[-1] * turn[0]]), np.append(y, [pole, pole])
    middle = (x.min() + x.max()) / 2 - grid.width / 2, (y.min() + y.max()) / 2 - grid.height / 2
    shift = round((middle[0] * turn[0] + middle[1] * turn[1]) / long)
    return (x - shift * turn[0], y - shift * turn[1]) if shift else (x, y)


def _pole(grid: Grid, other: Grid) -> float | None:
    """Return the row of a grid on which the pole lies that another grid holds; None where the pole has no row."""
    base = as_pyproj(grid.crs).geodetic_crs
    if base is None or is_mercator(as_pyproj(grid.crs)):
        return None
    ground = footprint(other, base)
    if ground.is_empty:
        return None
    _, south, _, north = ground.bounds
    latitude = 90.0 if north > -south else -90.0
    x, y = transformer(base, grid.crs).transform(0.0, latitude / degree(base))
    row = (~grid.transform @ (x, y))[1]
    return float(row) if math.isfinite(row) else None


def _direct(source: Grid, target: Grid) -> Any:
    """Return a function from pixel positions of one grid to those of the other, without turns of the globe."""
    out, into = source.transform, ~target.transform
    if same_place(source.crs, target.crs):
        return lambda x, y: _apply(into @ out, x, y)
    move = transformer(source.crs, target.crs)
    return lambda x, y: _apply(into, *move.transform(*_apply(out, x, y)))


def _apply(transform: Affine, x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[Any, Any]:
    a, b, c, d, e, f = tuple(transform)[:6]
    with np.errstate(invalid="ignore"):  # positions without a place are inf, and 0 * inf is nan
        return a * x + b * y + c, d * x + e * y + f


def pixel_ratio(base: Grid, grid: Grid) -> float:
    """Return the width of a pixel of `grid` in pixels of `base`, at the middle of `grid`."""
    x, y = grid.width / 2, grid.height / 2
    xs, ys = mover(grid, base)(np.array([x, x + 1, x]), np.array([y, y, y + 1]))
    xs, ys, turn = xs - xs[0], ys - ys[0], turn_of(base)
    if turn is not None:  # the three may lie on both sides of where a turn ends
        with np.errstate(invalid="ignore"):
            turns = np.round((xs * turn[0] + ys * turn[1]) / (turn[0] ** 2 + turn[1] ** 2))
            xs, ys = xs - turns * turn[0], ys - turns * turn[1]
    area = abs(xs[1] * ys[2] - xs[2] * ys[1])
    return math.sqrt(area) if math.isfinite(area) and area > 0 else 1.0


def needed_for(x: NDArray[np.float64], y: NDArray[np.float64], rect: Rect) -> Rect | None:
    """Return the pixels that interpolation at (x, y) reads; None where no position lies inside `rect`."""
    inside = (x >= 0) & (x <= rect.width) & (y >= 0) & (y <= rect.height)
    if not inside.any():
        return None
    x, y = x[inside], y[inside]
    top, left = math.floor(y.min() - HALF), math.floor(x.min() - HALF)
    bottom, right = math.floor(y.max() - HALF) + 2, math.floor(x.max() - HALF) + 2
    return Rect(top, left, bottom - top, right - left).intersection(rect)
