"""The permutohedral lattice: Gaussian sums in many dimensions, in time that grows with the number of pixels alone.

Adams, Baek, Davis 2010. Features (position and bands, divided by their widths) lie in a lattice whose cells are
simplices. Every pixel gives its value to the d + 1 corners of its simplex, the corners are blurred along the
lattice's d + 1 directions, and every pixel takes from its corners. Only corners of a pixel's simplex exist. The
kernel is close to a Gaussian, with a property that a Gaussian lacks: beyond a fixed distance no pixel has any
influence.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from landseg.crf.energy import Array

_SEED = 20110612


class Lattice:
    """The lattice of the features (N, d) of N pixels.

    Positions in feature space are absolute: a pixel has the same corners in every window that holds it.
    """

    def __init__(self, features: Array) -> None:
        count, d = features.shape
        elevated = _elevated(features)
        corner = np.rint(elevated / (d + 1))
        rest = elevated - corner * (d + 1)
        rank = np.argsort(np.argsort(-rest, axis=1, kind="stable"), axis=1, kind="stable")
        rank += corner.sum(1).astype(np.int64)[:, None]
        over = (rank < 0).astype(np.int64) - (rank > d)  # back to the simplex that holds the pixel
        rank += over * (d + 1)
        corner = corner.astype(np.int64) + over
        self._weights = _barycentric((elevated - corner * (d + 1)) / (d + 1), rank)
        drawn = np.random.default_rng(_SEED).integers(1, 1 << 62, d, dtype=np.uint64)
        factors = np.asarray(2 * drawn + 1, np.uint64)
        keys = _keys(corner, rank, factors)
        found, numbers = np.unique(keys, return_inverse=True)
        self._corners = numbers.reshape(count, d + 1)
        self._around = _neighbours(found, factors)
        self.size = len(found)

    def __call__(self, values: Array) -> Array:
        """Return the sums (K, N) of values (K, N) over all pixels, weighted by the kernel times a constant."""
        out = np.empty_like(values, dtype=np.float64)
        spread, take = self._weights.ravel(), self._corners.ravel()
        corners = np.zeros(self.size + 1)  # the last entry stands for all corners that do not exist
        for row, value in zip(out, values, strict=True):
            given = np.repeat(value, self._weights.shape[1]) * spread
            corners[:-1] = np.bincount(take, given, minlength=self.size)
            for before, after in self._around:
                corners[:-1] += 0.5 * (corners[before] + corners[after])
            row[:] = (corners[self._corners] * self._weights).sum(1)
        return out


def elevation(d: int) -> Array:
    """Return the matrix (d + 1, d) from features to the lattice's plane, scaled for a kernel of width 1."""
    scale = np.sqrt(2 / 3) * (d + 1) / np.sqrt(np.arange(1, d + 1) * np.arange(2, d + 2))
    matrix = np.triu(np.ones((d + 1, d)))
    matrix[np.arange(1, d + 1), np.arange(d)] = -np.arange(1, d + 1)
    elevated: Array = matrix * scale
    return elevated


def _elevated(features: Array) -> Array:
    """Return the features in the lattice's plane, (N, d + 1); each row sums to 0.

    There is no matrix product here: it may round differently in windows of different sizes, and for features on the
    border of two simplices rounding decides which corners exist.
    """
    matrix = elevation(features.shape[1])
    out = np.zeros((len(features), len(matrix)))
    for column, weights in zip(features.T, matrix.T, strict=True):
        out += column[:, None] * weights
    return out


def reach(d: int) -> Array:
    """Return the largest distance of a pixel's influence along each feature, (d,), in widths of that feature.

    A pixel and a corner of its simplex differ by at most half the length of all directions, once when the pixel gives
    and once when a pixel takes; blurring moves by one step in every direction.
    """
    directions = np.ones((d + 1, d + 1)) - (d + 1) * np.eye(d + 1)
    steps = np.linalg.pinv(elevation(d)) @ directions  # (d, d + 1)
    far: Array = 2 * np.abs(steps).sum(1)
    return far


def _barycentric(offset: Array, rank: NDArray[np.int64]) -> Array:
    """Return the weight of each corner of a pixel's simplex, (N, d + 1); each row sums to 1."""
    ordered = np.empty_like(offset)
    np.put_along_axis(ordered, rank, offset, axis=1)
    weights = np.empty_like(offset)
    weights[:, 0] = 1 + ordered[:, -1] - ordered[:, 0]
    weights[:, 1:] = (ordered[:, :-1] - ordered[:, 1:])[:, ::-1]
    return weights


def _keys(corner: NDArray[np.int64], rank: NDArray[np.int64], factors: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a number for each corner, (N, d + 1): a linear hash, so that neighbours differ by a constant.

    The first d coordinates name a corner. Numbers are 64 bits wide and wrap around: two corners of a million share
    one with a probability of about 3e-8.
    """
    d = len(factors)
    base = (corner[:, :d].astype(np.uint64) * np.uint64(d + 1) * factors).sum(1, dtype=np.uint64)
    keys = np.empty(corner.shape, np.uint64)
    for k in range(d + 1):
        low = np.where(rank[:, :d] > d - k, factors, np.uint64(0)).sum(1, dtype=np.uint64)
        keys[:, k] = base + (np.uint64(k) * factors).sum(dtype=np.uint64) - np.uint64(d + 1) * low
    return keys


def _neighbours(found: NDArray[np.uint64], factors: NDArray[np.uint64]) -> list[list[NDArray[np.int64]]]:
    """Return for each direction the corners before and after each corner; the number of corners where none exists."""
    last = np.zeros(1, np.uint64)  # the coordinate that is not part of the key
    steps = factors.sum(dtype=np.uint64) - np.uint64(len(factors) + 1) * np.concatenate([factors, last])
    around = []
    for step in steps:
        both = []
        for key in (found - step, found + step):
            at = np.minimum(np.searchsorted(found, key), len(found) - 1)
            both.append(np.where(found[at] == key, at, len(found)))
        around.append(both)
    return around
