"""Raw pixels as a network reads them: centred, divided, and filled where they hold no data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BAND = 1 << 16  # pixels scaled at a time: a few rows stay in the cache


class Scaling:
    """The scaling of the bands of a model: (pixel - mean) / std.

    Args:
        mean: one a band, in raw units; `std` likewise.
        fill: scaled value where a pixel is not valid.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], fill: float = 0.0) -> None:
        self.bands = len(mean)
        self._scale = (1.0 / np.asarray(std, np.float64)).astype(np.float32)
        self._shift = (-np.asarray(mean, np.float64) / np.asarray(std, np.float64)).astype(np.float32)
        self._fill = np.float32(fill)

    def write(self, pixels: NDArray[Any], valid: NDArray[np.bool_], out: NDArray[np.float32]) -> None:
        """Write raw pixels (bands, h, w), scaled, into an array of that shape and any strides.

        Args:
            pixels: as the raster stores them.
            valid: (h, w), where they hold data.
            out: float32, of the shape of `pixels`.
        """
        hole = None if valid.all() else ~valid
        with np.errstate(invalid="ignore", over="ignore"):  # values that are not finite are not valid either
            for number, band in enumerate(pixels):
                line = np.multiply(band, self._scale[number], dtype=np.float32, casting="unsafe")
                line += self._shift[number]
                if hole is not None:
                    line[hole] = self._fill
                out[number] = line

    def planar(self, pixels: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return raw pixels (bands, h, w) scaled, as (1, bands, h, w), band after band in memory."""
        made = np.empty((1, self.bands, *valid.shape), np.float32)
        for some in few_rows(valid.shape):
            self.write(pixels[:, some], valid[some], made[0, :, some])
        return made


def few_rows(shape: tuple[int, int]) -> list[slice]:
    """Return the rows of a picture (height, width) cut into slices whose pixels stay in the cache."""
    rows = max(1, _BAND // max(1, shape[1]))
    return [slice(start, start + rows) for start in range(0, shape[0], rows)]
