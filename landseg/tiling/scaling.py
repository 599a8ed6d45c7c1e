"""Raw pixels as a network reads them: scaled band by band, and filled where there is no data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.runtime.array_pool import ArrayPool

_BAND = 1 << 16  # pixels at a time: they stay in the cache between two steps


class Scaling:
    """The scale of a network's input: (value - mean) / std, band by band, in float32.

    Args:
        mean: one a band, in raw units; `std` likewise.
        fill: scaled value where a pixel is not valid.

    Attributes:
        bands: their number.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], fill: float = 0.0) -> None:
        self.bands, self._pool = len(mean), ArrayPool()
        self._scale = (1.0 / np.asarray(std, np.float64)).astype(np.float32)
        self._shift = (-np.asarray(mean, np.float64) / np.asarray(std, np.float64)).astype(np.float32)
        self._fill = np.float32(fill)

    def write(self, pixels: NDArray[Any], valid: NDArray[np.bool_], out: NDArray[np.float32]) -> None:
        """Write scaled pixels into ``out`` (bands, h, w), which may lie in memory in any order.

        Args:
            pixels: raw ones (bands, h, w), of any real dtype.
            valid: (h, w); where it is False ``out`` gets the fill, whatever the pixels are.
            out: the result; the same for one order in memory as for another, to the last bit.
        """
        rows = max(1, _BAND // max(1, valid.shape[1]))
        full = bool(valid.all())
        with np.errstate(invalid="ignore", over="ignore"):  # values that are not finite are not valid either
            for start in range(0, len(valid), rows):
                some = slice(start, start + rows)
                hole = None if full else ~valid[some]
                for number, band in enumerate(pixels[:, some]):
                    self._write_band(number, band, hole, out[number, some])

    def planar(self, pixels: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return raw pixels (bands, h, w) scaled, as (1, bands, h, w), band after band in memory."""
        made = self._pool.take((1, self.bands, *valid.shape), np.float32)
        self.write(pixels, valid, made[0])
        return made

    def _write_band(
        self, number: int, band: NDArray[Any], hole: NDArray[np.bool_] | None, out: NDArray[np.float32]
    ) -> None:
        line = out if out.flags.c_contiguous else np.empty(band.shape, np.float32)
        np.multiply(band, self._scale[number], out=line, dtype=np.float32, casting="unsafe")
        line += self._shift[number]
        if hole is not None:
            line[hole] = self._fill
        if line is not out:
            out[...] = line
