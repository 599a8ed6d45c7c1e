"""The dense CRF on real images: time and memory grow with the number of pixels, not with that of their pairs.

The bilateral kernel has 2 + C dimensions: position and bands. A sum over windows of a few widths has (2 * 2 * 67)^2
terms a pixel with the published widths; a grid over all dimensions does not fit in memory beyond two bands; the
permutohedral lattice, which the paper uses, costs (3 + C)^2 a pixel for any width and any number of bands, and its
influence ends at a known distance, so that windows with a halo give exactly the result of the whole image. The
spatial kernel is a separable Gaussian, cut off at four widths.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.crf.energy import Array, CrfOptions, Scene, Sums, mean_field, normalised
from landseg.crf.permutohedral import Lattice, reach

_CUT = 4.0  # widths of the spatial kernel in the sums; beyond them lies 3e-4 of its weight


def refine(probs: NDArray[Any], scene: Scene, options: CrfOptions) -> Array:
    """Return the mean-field probabilities (K, H, W) in float64; pixels that are not valid keep their probabilities.

    Each sum includes the pixel itself, as in the authors' program. The kernels are those of `landseg.crf.energy`,
    with that of the lattice in place of the bilateral Gaussian; docs/crf.md measures the difference.

    Args:
        probs: probabilities (K, H, W) of the network.
        scene: the image and which of its pixels are valid.
        options: weights and widths.
    """
    sums: list[tuple[float, Sums]] = []
    if options.bilateral_weight and scene.valid.any():
        sums.append((options.bilateral_weight, normalised(_bilateral(scene, options), scene.valid)))
    if options.spatial_weight:
        sums.append((options.spatial_weight, normalised(_spatial(scene, options), scene.valid)))
    return mean_field(probs, scene, sums, options.iterations)


def halo(options: CrfOptions, *, bands: int, pixel_size: tuple[float, float] = (1.0, 1.0)) -> int:
    """Return the halo, in pixels, with which windows give exactly the result of the whole image.

    Each update reaches as far as the wider kernel, and the normalisation of the outermost pixels as far again.
    """
    columns, rows = reach(2 + bands)[:2] * options.bilateral_xy * bool(options.bilateral_weight)
    far = 0
    for distance, size in zip((rows, columns), pixel_size, strict=True):
        far = max(far, math.ceil(distance / size), _radius(options, size) if options.spatial_weight else 0)
    return (options.iterations + 1) * far if options.iterations else 0


def _bilateral(scene: Scene, options: CrfOptions) -> Sums:
    lattice = Lattice(scene.features(options)[scene.valid.ravel()])

    def total(values: Array) -> Array:
        out = np.zeros(values.shape)
        out[:, scene.valid] = lattice(values[:, scene.valid])
        return out

    return total


def _spatial(scene: Scene, options: CrfOptions) -> Sums:
    taps = []
    for size in scene.pixel_size:
        radius = _radius(options, size)
        taps.append(np.exp(-0.5 * (np.arange(-radius, radius + 1) * size / options.spatial_xy) ** 2))
    return lambda values: _along(_along(values, taps[0], 1), taps[1], 2)


def _radius(options: CrfOptions, size: float) -> int:
    return math.ceil(_CUT * options.spatial_xy / size)


def _along(values: Array, taps: Array, axis: int) -> Array:
    """Return values convolved with symmetric taps along one axis, with zeros outside."""
    moved = np.moveaxis(values, axis, 0)
    out, radius = taps[len(taps) // 2] * moved, len(taps) // 2
    for away in range(1, min(radius, len(moved) - 1) + 1):
        out[away:] += taps[radius + away] * moved[:-away]
        out[:-away] += taps[radius - away] * moved[away:]
    return np.moveaxis(out, 0, axis)
