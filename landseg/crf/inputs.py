"""The inputs of a CRF, read from files: class probabilities, and the imagery on the same pixels."""

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
    """Class probabilities and imagery on one grid, read a rectangle at a time.

    Attributes:
        probs: the probabilities, whose grid is that of all results.
        image: the imagery, on the grid of the probabilities.

    Raises:
        GridError: the imagery cannot be resampled onto the grid of the probabilities.
        BandError: the imagery holds palette indices, or values whose meaning differs between its files.
        LandsegError: probabilities or imagery cannot be read.
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
        """Return probabilities (K, h, w), image (C, h, w), and booleans (h, w): True where both hold data."""
        probs, valid = self.probs.read(rect)
        image, image_valid = self.image.read(rect)
        return probs, image, valid & image_valid

    def pixel_size(self, units: str) -> tuple[float, float]:
        """Return (height, width) of a pixel in "pixels" or "metres", at the raster's centre.

        Raises:
            GridError: the unit is metres, and the raster has no pixel size in metres.
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
        """Return a width for each band, equivalent to a width in grey levels of 8-bit imagery.

        An 8-bit band has the width ``levels``, any other ``levels / 50`` of its standard deviations, which are
        measured on squares spread over the raster.

        Raises:
            BandError: no square holds imagery.
        """
        if set(self.image.dtypes) == {"uint8"}:
            return (levels,) * self.image.count
        count, total, squares = 0, np.zeros(self.image.count), np.zeros(self.image.count)
        base: NDArray[np.float64] | None = None
        for rect in _sampled_squares(self.probs.grid.shape):
            _, image, valid = self.read(rect)
            values = image[:, valid].astype(np.float64)
            if not values.size:
                continue
            base = values[:, :1] if base is None else base  # differences from a close value keep enough digits
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
        """Return the facts that identify the pixels of both, as JSON values."""
        files = [*self.probs.source._files(), *self.image.fingerprint()["files"]]
        return {"probs": self.probs.source.fingerprint(), "image": self.image.fingerprint(), "files": files}

    def close(self) -> None:
        """Close the imagery; the probabilities belong to the caller."""
        self.image.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _sampled_squares(shape: tuple[int, int]) -> list[Rect]:
    """Return squares spread from corner to corner, always the same for a raster of the same shape."""
    tops, lefts = (
        sorted({round(share * max(0, length - _SQUARE)) for share in np.linspace(0, 1, _SQUARES)}) for length in shape
    )
    height, width = (min(_SQUARE, length) for length in shape)
    return [Rect(top, left, height, width) for top in tops for left in lefts]
