"""Targets, as `LabelSets` numbers them, that are made from imagery, joined from several readers, or unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX
from landseg.geo.grid import Rect
from landseg.labels.left_out import Masks, Reason
from landseg.labels.reader import LabelReader, Pixels, UnmappedValues

Target = NDArray[np.uint8]

_DARK = 90  # the sum of three bands on a scale to 255: darker pixels have no colour to tell


class UnknownTargets(LabelReader):
    """Targets of an image that has coarse labels only: unknown everywhere, and nothing counts as left out."""

    def read_reasons(
        self, rect: Rect, pixels: Pixels | None = None, *, core: Rect | None = None
    ) -> tuple[Target, Masks]:
        return np.full(rect.shape, IGNORE_INDEX, np.uint8), {}


@dataclass(frozen=True)
class IndexTargets(LabelReader):
    """Targets by an index of the imagery: ``yes`` from the second limit on, ``no`` up to the first, unknown between.

    ``kind`` is "ndvi", of the first (red) and the last (near infrared) band, or "greenness", the excess green of the
    first three (Woebbecke et al. 1995), which leaves pixels unknown whose mean is below 30/255 of the scale.
    Both are ratios, the same in any unit.

    Attributes:
        scale: the number that is white in imagery that is not of 8 bits (of that it is 255); None: the largest number
            of an integer dtype, 1 of floats.
    """

    kind: str
    limits: tuple[float, float]
    yes: int
    no: int
    scale: float | None = None
    needs_pixels = True

    def read_reasons(
        self, rect: Rect, pixels: Pixels | None = None, *, core: Rect | None = None
    ) -> tuple[Target, Masks]:
        assert pixels is not None, "an index is computed from pixels"
        values = _ndvi(pixels) if self.kind == "ndvi" else _excess_green(pixels, self._white(pixels.dtype))
        target = np.full(values.shape, IGNORE_INDEX, np.uint8)
        target[values >= self.limits[1]] = self.yes
        target[values <= self.limits[0]] = self.no
        return target, {Reason.UNDECIDED: target == IGNORE_INDEX}

    def _white(self, dtype: np.dtype[Any]) -> float:
        if dtype == np.uint8 or self.scale is None:
            return float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0
        return self.scale


class JoinedTargets(LabelReader):
    """Targets of several readers: the first known one holds, and a class goes before what is only excluded.

    Args:
        readers: in order; they are closed with this one.
        classes: number of target values that are classes.
    """

    def __init__(self, readers: Sequence[LabelReader], classes: int) -> None:
        self._readers, self._classes = readers, classes
        self.needs_pixels = any(reader.needs_pixels for reader in readers)

    def read_reasons(
        self, rect: Rect, pixels: Pixels | None = None, *, core: Rect | None = None
    ) -> tuple[Target, Masks]:
        joined, masks = self._readers[0].read_reasons(rect, pixels, core=core)
        for reader in self._readers[1:]:
            later, _ = reader.read_reasons(rect, pixels, core=core)
            better = (joined == IGNORE_INDEX) | ((joined >= self._classes) & (later < self._classes))
            joined[better] = later[better]
        unknown = joined == IGNORE_INDEX
        return joined, {reason: mask & unknown for reason, mask in masks.items()}

    @property
    def unmapped(self) -> list[UnmappedValues]:
        return [values for reader in self._readers for values in reader.unmapped]

    def close(self) -> None:
        for reader in self._readers:
            reader.close()


def _ndvi(pixels: Pixels) -> NDArray[np.float32]:
    """Return (nir - red) / (nir + red): 0 where the sum is 0, nan where it is below, as no reflectance's is."""
    red, infrared = pixels[0].astype(np.float32), pixels[-1].astype(np.float32)
    return _ratio(infrared - red, infrared + red)


def _excess_green(pixels: Pixels, scale: float) -> NDArray[np.float32]:
    """Return (2 green - red - blue) / (red + green + blue): nan where their mean is below 30/255 of the scale."""
    red, green, blue = pixels[:3].astype(np.float32)
    total = red + green + blue
    ratio = _ratio(2 * green - red - blue, total)
    ratio[total < _DARK * scale / 255] = np.nan
    return ratio


def _ratio(part: NDArray[np.float32], total: NDArray[np.float32]) -> NDArray[np.float32]:
    ratio: NDArray[np.float32] = np.divide(part, total, out=np.zeros_like(total), where=total > 0)
    ratio[~(total >= 0)] = np.nan
    return ratio
