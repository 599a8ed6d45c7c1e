"""What a CRF looks at, read from files: a raster's class probabilities, and the imagery on the same pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from landseg.errors import BandError, GridError
from landseg.geo.grid import Rect
from landseg.geo.rasters.mixed_members import refuse_mixed_members
from landseg.geo.rasters.mosaic import open_source
from landseg.geo.rasters.rescaled import refuse_indices
from landseg.geo.rasters.warp import warp_onto
from landseg.labels.probabilities import ProbsFile

_SQUARE = 128  # edge of a sampled square, in pixels
_SQUARES = 5  # along each axis
_TYPICAL = 50.0  # grey levels: about the standard deviation of a band of 8-bit imagery


class Evidence:
    """Probabilities and imagery, read a rectangle at a time.

    Attributes:
        probs: the probabilities; their pixels are those of everything else.
        image: the imagery, on the probabilities' grid.

    Raises:
        GridError: the imagery cannot be laid over the probabilities.
        BandError: it holds palette indices, or numbers that do not mean the same in all of its files.
        LandsegError: either cannot be read.
    """

    def __init__(
        self,
        probs: ProbsFile,
        images: Sequence[str],
        bands: Sequence[int] | None = None,
        *,
        stored_values: bool = False,
    ) -> None:
        self.probs = probs
        source = open_source(list(images), bands=bands, stored_values=stored_values)
        try:
            refuse_indices(source, "whose differences mean nothing")
            if not stored_values:
                refuse_mixed_members(source.paths)
            self.remarks = source.remarks
            self.image = warp_onto(source, probs.grid, of=probs.name)
        except BaseException:
            source.close()
            raise

    def read(self, rect: Rect) -> tuple[NDArray[np.float64], NDArray[Any], NDArray[np.bool_]]:
        """Probabilities (K, h, w), image (C, h, w), and where both hold data (h, w)."""
        probs, valid = self.probs.read(rect)
        image, seen = self.image.read(rect)
        return probs, image, valid & seen

    def pixel_size(self, units: str) -> tuple[float, float]:
        """(height, width) of a pixel in "pixels" or "metres", at the raster's centre.

        Raises:
            GridError: metres, and the raster does not say how many.
        """
        if units == "pixels":
            return 1.0, 1.0
        size = self.probs.grid.pixel_size_m
        if size is None:
            raise GridError(
                f"{self.probs.name} does not say how large its pixels are: give widths with --units pixels"
            )
        return size

    def widths(self, levels: float) -> tuple[float, ...]:
        """A width for each band, as large a part of its range as so many grey levels are of 8-bit imagery.

        8-bit bands have that width. Others have it over 50 of their standard deviations, taken over squares that are
        spread over the raster.

        Raises:
            BandError: no imagery under any square.
        """
        if set(self.image.dtypes) == {"uint8"}:
            return (levels,) * self.image.count
        count, total, squares = 0, np.zeros(self.image.count), np.zeros(self.image.count)
        base: NDArray[np.float64] | None = None
        for rect in _spread(self.probs.grid.shape):
            _, image, valid = self.read(rect)
            values = image[:, valid].astype(np.float64)
            if not values.size:
                continue
            base = values[:, :1] if base is None else base  # differences from a value near: floats have enough digits
            count, total = count + values.shape[1], total + (values - base).sum(1)
            squares += ((values - base) ** 2).sum(1)
        if not count:
            raise BandError(
                f"{self.image.name} shows nothing at the sampled pixels of {self.probs.name}: give "
                "--bilateral-bands, a width in the imagery's own numbers"
            )
        spreads = np.sqrt(np.maximum(squares / count - (total / count) ** 2, 0.0))
        each = zip(spreads.tolist(), self.image.dtypes, strict=True)
        return tuple(levels if dtype == "uint8" else levels / _TYPICAL * s or 1.0 for s, dtype in each)

    def fingerprint(self) -> dict[str, Any]:
        """What identifies the pixels of both, as JSON."""
        files = [*self.probs.source._files(), *self.image.fingerprint()["files"]]
        return {"probs": self.probs.source.fingerprint(), "image": self.image.fingerprint(), "files": files}

    def close(self) -> None:
        """Close every file but the probabilities', which were given."""
        self.image.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _spread(shape: tuple[int, int]) -> list[Rect]:
    """Squares from corner to corner, the same for the same raster."""
    tops, lefts = (
        sorted({round(share * max(0, length - _SQUARE)) for share in np.linspace(0, 1, _SQUARES)}) for length in shape
    )
    height, width = (min(_SQUARE, length) for length in shape)
    return [Rect(top, left, height, width) for top in tops for left in lefts]
