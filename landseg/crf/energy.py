"""The energy of a dense CRF and its mean-field updates (Krähenbühl, Koltun 2011), for any way to compute the sums.

A labelling costs ``-log p`` at each pixel, and for every pair of pixels with different classes

    w1 exp(-|dp|^2 / 2 s1^2 - |dI|^2 / 2 s2^2) + w2 exp(-|dp|^2 / 2 s3^2)

with dp their distance and dI their difference in the image's bands. Each of the two kernels is normalised
symmetrically, ``k(i, j) / sqrt(sum_j k(i, j) * sum_i k(i, j))``, as in the authors' program, for which the published
weights were found.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.errors import BandError, PlanError
from landseg.text.amounts import counted

Array = NDArray[np.float64]
Sums = Callable[[Array], Array]
"""A function from (K, H, W) to (K, H, W): at each pixel the sum over all pixels, weighted by a kernel."""

SMALLEST = 1e-5  # smallest probability, so that a pixel that is certain can still be changed


@dataclass(frozen=True)
class CrfOptions:
    """The weights and widths of the energy; the defaults are those published for DeepLab v2 on 8-bit RGB.

    Attributes:
        iterations: number of mean-field updates.
        bilateral_weight: w1, the weight of pixels that are near and look alike.
        bilateral_xy: s1, in the unit of ``pixel_size``: pixels or metres.
        bilateral_bands: s2, in the values of the image; one number for all bands or one for each.
        spatial_weight: w2, the weight of pixels that are near.
        spatial_xy: s3, in the unit of ``pixel_size``.
    """

    iterations: int = 10
    bilateral_weight: float = 4.0
    bilateral_xy: float = 67.0
    bilateral_bands: float | tuple[float, ...] = 3.0
    spatial_weight: float = 3.0
    spatial_xy: float = 1.0

    def __post_init__(self) -> None:
        bands = self.bilateral_bands
        widths = (self.bilateral_xy, self.spatial_xy, *(bands if isinstance(bands, tuple) else (bands,)))
        if not all(math.isfinite(width) and width > 0 for width in widths):
            raise PlanError(f"the widths of a CRF should be above 0, got {widths}")
        weights = (self.iterations, self.bilateral_weight, self.spatial_weight)
        if not all(math.isfinite(weight) and weight >= 0 for weight in weights):
            raise PlanError(f"the iterations and weights of a CRF should be 0 or more, got {weights}")


@dataclass(frozen=True)
class Scene:
    """The image of a CRF on one window.

    Attributes:
        image: (C, H, W), any number of bands, in the unit of ``bilateral_bands``.
        valid: (H, W) booleans; pixels that are not valid take no part and keep their probabilities.
        pixel_size: (height, width) of a pixel; (1, 1) counts in pixels.
        origin: (row, column) of the window's first pixel in the raster.
    """

    image: Array
    valid: NDArray[np.bool_]
    pixel_size: tuple[float, float] = (1.0, 1.0)
    origin: tuple[int, int] = (0, 0)

    @classmethod
    def of(
        cls,
        image: NDArray[Any],
        valid: NDArray[np.bool_] | None = None,
        pixel_size: tuple[float, float] = (1.0, 1.0),
        origin: tuple[int, int] = (0, 0),
    ) -> Scene:
        """Return the scene of an image; every pixel is valid if ``valid`` is None.

        Raises:
            BandError: the image is not finite at a valid pixel.
            PlanError: the size of a pixel is not above 0.
        """
        valid = np.ones(image.shape[1:], np.bool_) if valid is None else valid
        if not np.isfinite(image[:, valid]).all():
            raise BandError("the image holds no numbers at some valid pixels: mark those pixels as nodata")
        if not min(pixel_size) > 0:
            raise PlanError(f"a pixel of {pixel_size[0]} x {pixel_size[1]} has no size: give both edges, above 0")
        return cls(np.where(valid, np.asarray(image, np.float64), 0.0), valid, pixel_size, origin)

    @property
    def places(self) -> tuple[Array, Array]:
        """The rows and columns (N,) of the pixels, in the unit of ``pixel_size``, from the raster's first pixel."""
        rows, columns = np.indices(self.valid.shape, dtype=np.float64)
        (top, left), (height, width) = self.origin, self.pixel_size
        return ((rows + top) * height).ravel(), ((columns + left) * width).ravel()

    def features(self, options: CrfOptions) -> Array:
        """Return the features (N, 2 + C) of the pixels: position and bands, each divided by its width.

        Raises:
            BandError: the widths are for another number of bands.
        """
        bands = options.bilateral_bands
        if isinstance(bands, tuple) and len(bands) != len(self.image):
            raise BandError(
                f"the CRF has widths for {counted(len(bands), 'band')} and the image has {len(self.image)}: "
                "give one for each"
            )
        rows, columns = (place / options.bilateral_xy for place in self.places)
        values = self.image.reshape(len(self.image), -1) / np.reshape(bands, (-1, 1))
        return np.stack([columns, rows, *values], axis=1)


def mean_field(probs: NDArray[Any], scene: Scene, sums: list[tuple[float, Sums]], iterations: int) -> Array:
    """Return the probabilities (K, H, W) after ``iterations`` updates of all pixels at once.

    Args:
        probs: probabilities (K, H, W) of the network.
        scene: the image, with the pixels that take part.
        sums: the kernels, each with its weight.
        iterations: number of updates; 0 returns a copy of the probabilities.

    Raises:
        PlanError: probabilities, image and validity have different sizes.
    """
    probs = np.asarray(probs, np.float64)
    if probs.shape[1:] != scene.valid.shape or scene.image.shape[1:] != scene.valid.shape:
        raise PlanError(
            f"probabilities {probs.shape}, image {scene.image.shape} and validity {scene.valid.shape} are of "
            "different sizes: give them for the same pixels"
        )
    if not iterations or not scene.valid.any():
        return probs.copy()
    unary = np.log(np.clip(np.where(scene.valid, probs, 1.0), SMALLEST, 1.0))
    q = _softmax(unary)
    for _ in range(iterations):
        # Different classes cost. A term that is equal for all classes drops out: the sum over the same class is left.
        q = _softmax(unary + sum(weight * total(q * scene.valid) for weight, total in sums))
    return np.where(scene.valid, q, probs)


def normalised(total: Sums, valid: NDArray[np.bool_]) -> Sums:
    """Return the sums with the kernel normalised symmetrically over the valid pixels."""
    size = total(valid[None].astype(np.float64))
    scale = np.where(valid, 1 / np.sqrt(np.maximum(size, np.finfo(np.float64).tiny)), 0.0)
    return lambda values: scale * total(scale * values)


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(0))
    result: Array = powers / powers.sum(0)
    return result
