"""Targets on an image's grid: label rasters, polygons and indices of the imagery, as indices into LabelSets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.errors import ClassError
from landseg.geo.grid import Grid, Rect
from landseg.labels.left_out import Masks, Reason
from landseg.labels.polygons import PolygonLabels, pixel_grid
from landseg.labels.reader import ClassLabels
from landseg.labels.regrid import AlignedLabels
from landseg.text.amounts import shorten_list

_DARK = 90  # the sum of three bands on a scale to 255: darker pixels have no colour to tell

Target = NDArray[np.uint8]
Pixels = NDArray[Any]


@dataclass
class UnmappedValues:
    """Values of a label raster that have no class, with their numbers of pixels."""

    name: str
    classes: ClassMap
    counts: Counter[float] = field(default_factory=Counter)


class Targets:
    """What is known of the classes under any rectangle of one image; a kind of them defines one of the two readers.

    Attributes:
        needs_pixels: whether `read` looks at the imagery.
        drawn: the polygons that all of it comes from, where nothing is known outside these; else None.
    """

    needs_pixels = False
    drawn: PolygonLabels | None = None

    def read(self, rect: Rect, pixels: Pixels | None) -> Target:
        """Target values (h, w), which the caller may write to; IGNORE_INDEX where nothing is known.

        Args:
            rect: of the image's pixels.
            pixels: (C, h, w) under it; may be None where they are not needed.
        """
        return self.read_reasons(rect, pixels)[0]

    def read_reasons(self, rect: Rect, pixels: Pixels | None) -> tuple[Target, Masks]:
        """Return target values (h, w) as `read` does, and where and why nothing is known."""
        target = self.read(rect, pixels)
        return target, {Reason.OUTSIDE_LABELS: target == IGNORE_INDEX}

    def strange(self) -> list[UnmappedValues]:
        """The values without a class among what was read."""
        return []

    def close(self) -> None:
        """Close every file."""
        return None


class UnknownTargets(Targets):
    """Of an image that has coarse labels only, and of which nothing is left out, therefore."""

    def read_reasons(self, rect: Rect, pixels: Pixels | None) -> tuple[Target, Masks]:
        return np.full(rect.shape, IGNORE_INDEX, np.uint8), {}


class RasterTargets(Targets):
    """A label raster, brought onto the image's grid where its own is another; ``table`` (256,) says what each class
    of its class map means as a target."""

    def __init__(self, labels: AlignedLabels, classes: ClassMap, table: NDArray[np.uint8]) -> None:
        self._truth = ClassLabels(labels, classes)
        self._table = table

    def read_reasons(self, rect: Rect, pixels: Pixels | None) -> tuple[Target, Masks]:
        indices, why = self._truth.read_reasons(rect)
        target: Target = self._table[indices]
        others = [mask for reason, mask in why.items() if reason != Reason.IGNORED]
        ignored = target == IGNORE_INDEX  # of the class map, and of classes that these labels do not know
        return target, {**why, Reason.IGNORED: ignored & ~np.logical_or.reduce(others) if others else ignored}

    def strange(self) -> list[UnmappedValues]:
        found = self._truth
        return [UnmappedValues(found.paths[0], found.classes, found.unknown.copy())] if found.unknown else []

    def close(self) -> None:
        self._truth.close()


class PolygonTargets(Targets):
    """Polygons burnt where they cover a pixel's centre: ``values`` by name, ``outside`` where there is none.

    They are brought into the image's pixels once, so that a part of the image is burnt as the whole is.

    Args:
        polygons: in any CRS.
        grid: of the image.
        outside: the target where no polygon is.
        values: by name; None: every polygon means ``inside``.
        inside: see ``values``.
    """

    def __init__(
        self,
        polygons: PolygonLabels,
        grid: Grid,
        outside: int,
        values: Mapping[str, int] | None = None,
        inside: int = IGNORE_INDEX,
    ) -> None:
        self._placed, self._pixels = polygons.in_pixels(grid), pixel_grid(grid)
        self._outside, self._values, self._inside = outside, values, inside
        self.drawn = polygons if outside == IGNORE_INDEX else None

    def read_reasons(self, rect: Rect, pixels: Pixels | None) -> tuple[Target, Masks]:
        part = self._pixels.crop(rect)
        if self._values is not None:
            target = self._placed.burn_names(part, self._values, self._outside)
        else:
            target = np.where(self._placed.burn(part), np.uint8(self._inside), np.uint8(self._outside))
        return target, {Reason.OUTSIDE_LABELS: target == IGNORE_INDEX}


@dataclass(frozen=True)
class IndexTargets(Targets):
    """An index of the imagery: ``yes`` from the second limit on, ``no`` up to the first, nothing known between them.

    ``kind`` is "ndvi", of the first (red) and the last (near infrared) band, or "greenness", the excess green of the
    first three (Woebbecke et al. 1995), which leaves pixels unknown whose mean is below 30/255 of the scale.
    Both are ratios, the same in any unit.

    Attributes:
        scale: what is white in imagery that is not of 8 bits (of that it is 255); None: the largest number of an
            integer dtype, 1 of floats.
    """

    kind: str
    limits: tuple[float, float]
    yes: int
    no: int
    scale: float | None = None
    needs_pixels = True

    def read_reasons(self, rect: Rect, pixels: Pixels | None) -> tuple[Target, Masks]:
        assert pixels is not None, "an index is computed from pixels"
        values = _ndvi(pixels) if self.kind == "ndvi" else _excess_green(pixels, self._scale(pixels.dtype))
        target = np.full(values.shape, IGNORE_INDEX, np.uint8)
        target[values >= self.limits[1]] = self.yes
        target[values <= self.limits[0]] = self.no
        return target, {Reason.UNDECIDED: target == IGNORE_INDEX}

    def _scale(self, dtype: np.dtype[Any]) -> float:
        """What is white in the imagery."""
        if dtype == np.uint8 or self.scale is None:
            return float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0
        return self.scale


class JoinedTargets(Targets):
    """One target of several: the first that says something, and a class before what is only excluded."""

    def __init__(self, parts: Sequence[Targets], classes: int) -> None:
        self._parts, self._classes = parts, classes
        self.needs_pixels = any(part.needs_pixels for part in parts)

    def read_reasons(self, rect: Rect, pixels: Pixels | None) -> tuple[Target, Masks]:
        joined, why = self._parts[0].read_reasons(rect, pixels)
        for part in self._parts[1:]:
            later = part.read(rect, pixels)
            better = (joined == IGNORE_INDEX) | ((joined >= self._classes) & (later < self._classes))
            joined[better] = later[better]
        unknown = joined == IGNORE_INDEX
        return joined, {reason: mask & unknown for reason, mask in why.items()}

    def strange(self) -> list[UnmappedValues]:
        return [one for part in self._parts for one in part.strange()]

    def close(self) -> None:
        for part in self._parts:
            part.close()


def refuse_unmapped(found: Sequence[UnmappedValues]) -> None:
    """Nothing, where every value had a class.

    Raises:
        ClassError: values without one, over all files in one sentence, with their numbers of pixels.
    """
    tables: list[ClassMap] = []
    for one in found:
        if one.counts and one.classes not in tables:
            tables.append(one.classes)
    sentences = []
    for classes in tables:
        mine = [one for one in found if one.classes == classes and one.counts]
        total = sum((one.counts for one in mine), Counter[float]())
        files = shorten_list(sorted({one.name for one in mine}))
        sentences.append(f"{files}: {classes.unmapped_text(total)}")
    if sentences:
        raise ClassError("; ".join(sentences))


def _ndvi(pixels: Pixels) -> NDArray[np.float32]:
    """(nir - red) / (nir + red): 0 where the sum is 0, nan where it is below, as no reflectance's is."""
    red, infrared = pixels[0].astype(np.float32), pixels[-1].astype(np.float32)
    return _ratio(infrared - red, infrared + red)


def _excess_green(pixels: Pixels, scale: float) -> NDArray[np.float32]:
    """(2 green - red - blue) / (red + green + blue): nan where their mean is below 30/255 of the scale."""
    red, green, blue = pixels[:3].astype(np.float32)
    total = red + green + blue
    ratio = _ratio(2 * green - red - blue, total)
    ratio[total < _DARK * scale / 255] = np.nan
    return ratio


def _ratio(part: NDArray[np.float32], total: NDArray[np.float32]) -> NDArray[np.float32]:
    ratio: NDArray[np.float32] = np.divide(part, total, out=np.zeros_like(total), where=total > 0)
    ratio[~(total >= 0)] = np.nan
    return ratio
