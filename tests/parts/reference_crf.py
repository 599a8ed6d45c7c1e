"""The dense CRF by its definition, every pixel with every other: for images of some thousand pixels at most."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.crf.energy import Array, CrfOptions, Scene, Sums, mean_field
from landseg.errors import PlanError

MOST_PIXELS = 1 << 14  # their pairs fill 2 GiB


def refine_exactly(
    probs: NDArray[Any],
    scene: Scene,
    options: CrfOptions,
    *,
    own: bool = True,
    normalise: bool = True,
) -> Array:
    """Return the mean-field probabilities (K, H, W), in float64.

    Args:
        probs: (K, H, W) of the network.
        scene: the image and which of its pixels are valid.
        options: weights and widths.
        own: whether a pixel also hears itself. The paper's sum leaves it out; the authors' program, and ours for
            real images, keeps it.
        normalise: False gives the paper's kernels as they stand.

    Raises:
        PlanError: more pixels than can be paired in memory.
    """
    if scene.valid.size > MOST_PIXELS:
        raise PlanError(
            f"{scene.valid.size} pixels have too many pairs (at most {MOST_PIXELS} pixels); use landseg.crf.fast"
        )
    rows, columns = (place / options.spatial_xy for place in scene.places)
    kernels = (
        (options.bilateral_weight, scene.features(options)),
        (options.spatial_weight, np.stack([columns, rows], axis=1)),
    )
    sums = []
    for weight, features in kernels:
        kernel = gaussian(features) * scene.valid.ravel()
        if normalise:
            size = np.sqrt(np.maximum(kernel.sum(1), np.finfo(np.float64).tiny))
            kernel = kernel / size / size[:, None]
        if not own:
            np.fill_diagonal(kernel, 0.0)
        sums.append((weight, summing(kernel)))
    return mean_field(probs, scene, sums, options.iterations)


def gaussian(features: Array) -> Array:
    """``exp(-|f_i - f_j|^2 / 2)`` of all pairs of (N, D) features, (N, N)."""
    squares = sum((feature[:, None] - feature) ** 2 for feature in features.T)
    kernel: Array = np.exp(-0.5 * np.asarray(squares))
    return kernel


def summing(kernel: Array) -> Sums:
    """The sums with a kernel (N, N) over all pixels."""
    return lambda values: (values.reshape(len(values), -1) @ kernel.T).reshape(values.shape)
