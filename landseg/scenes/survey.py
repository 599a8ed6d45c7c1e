"""ImageSurvey: facts about one image and its labels, which are read once, and a small picture of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX
from landseg.errors import LandsegError
from landseg.geo.crs import crs_text
from landseg.geo.grid import Grid, Rect
from landseg.geo.pixel_areas import PixelAreas
from landseg.geo.rasters.rescaled import NO_BRIGHTNESS, comparable, refuse_indices, rescale
from landseg.geo.rasters.source import FileSource
from landseg.geo.rasters.statistics import BandStatistics
from landseg.geo.rasters.value_tags import ValueTags
from landseg.geo.reduce import fitted, nearest
from landseg.labels.left_out import LeftOut, Reason, known_under
from landseg.labels.polygons import PolygonLabels
from landseg.labels.reader import LabelReader
from landseg.labels.value_mapping import ValueMapping
from landseg.scenes.blocks import Blocks
from landseg.scenes.lookalikes import Sketch, Sketcher
from landseg.scenes.related import PixelHash
from landseg.scenes.scene import Scene
from landseg.scenes.survey_labels import OpenLabels

_PIECE = 2048  # pixels along the edge of what is read at a time

Statistics = dict[tuple[int, str], BandStatistics]
"""Statistics by band number and dtype."""


@dataclass
class ImageSurvey:
    """Facts about one image and its labels.

    Attributes:
        value_tags: scale and offset that each band declares.
        valid_px: pixels with data.
        values: labelled pixels with data, by value.
        areas_ha: hectares of these, by value, where pixels differ in size; None: each has `pixel_ha`.
        label_fault: a sentence about labels that could not be read; None where they could, or where there are none.
        left_out: pixels without a label or without imagery, by reason; ignored values are among ``values``.
        digest: equal for equal pixels.
        sketch: short description of its middle, by which nearly equal pictures are found.
        odd_alpha: an alpha band, 1-based, that is no opacity (`is_opacity`); it is read as neither a mask nor a band.
        thumb: label values (h, w) and where they are known (h, w), for a small picture.
        objects: numbers of objects (h, w) in that picture; None where there are none.
    """

    name: str
    path: Path
    labels: str | None
    grid: Grid
    dtypes: tuple[str, ...]
    band_names: tuple[str | None, ...]
    value_tags: tuple[ValueTags, ...] = ()
    valid_px: int = 0
    values: Counter[float] = field(default_factory=Counter)
    areas_ha: dict[float, float] | None = None
    label_fault: str | None = None
    label_note: str | None = None
    left_out: LeftOut = field(default_factory=LeftOut)
    digest: str | None = None
    sketch: Sketch | None = field(default=None, repr=False)
    odd_alpha: int | None = None
    thumb: tuple[NDArray[Any], NDArray[np.bool_]] | None = None
    objects: NDArray[np.int32] | None = None

    @property
    def pixels(self) -> int:
        """Number of all pixels."""
        return self.grid.width * self.grid.height

    @property
    def pixel_ha(self) -> float | None:
        """Hectares of a pixel; None where its place is not known."""
        return None if self.grid.resolution_m is None else self.grid.resolution_m**2 / 10_000

    def left_out_by(self, mapping: ValueMapping | None) -> LeftOut:
        """Return all pixels that do not count, by reason."""
        total = LeftOut(self.left_out.pixels.copy())
        for value, count in self.values.items():
            if mapping is not None and mapping.index(value) == IGNORE_INDEX:
                total.add(Reason.IGNORED, count)
        return total

    def hectares(self, value: float) -> float:
        """Return the hectares of the labelled pixels of a value; 0 where a pixel's place is not known."""
        if self.areas_ha is not None:
            return self.areas_ha.get(value, 0.0)
        return self.values[value] * (self.pixel_ha or 0)

    def to_json(self, mapping: ValueMapping | None) -> dict[str, Any]:
        """Return the facts as plain JSON values."""
        by_class: dict[str, int] = {}
        for value, count in sorted(self.values.items()):
            index = None if mapping is None else mapping.index(value)
            if mapping is not None and index is not None and index != IGNORE_INDEX:
                name = mapping.classes.names[index]
                by_class[name] = by_class.get(name, 0) + count
        return {
            "name": self.name,
            "image": str(self.path),
            "labels": self.labels,
            "width": self.grid.width,
            "height": self.grid.height,
            "crs": None if self.grid.crs is None else crs_text(self.grid.crs),
            "resolution_m": self.grid.resolution_m,
            "bands": len(self.dtypes),
            "dtypes": sorted(set(self.dtypes)),
            **self._tags_json(),
            "nodata_share": 1 - self.valid_px / self.pixels,
            "pixels_by_class": by_class,
            "left_out": self.left_out_by(mapping).to_json(),
        }

    def _tags_json(self) -> dict[str, Any]:
        """Return scale and offset by band, where any is declared."""
        if not any(one.declared for one in self.value_tags):
            return {}
        return {"scale": [one.scale for one in self.value_tags], "offset": [one.offset for one in self.value_tags]}


def survey_image(
    name: str,
    path: Path,
    labels: str | None,
    open_labels: OpenLabels,
    statistics: Statistics,
    *,
    picture: int,
    tags: tuple[ValueTags, ...] | None = None,
) -> ImageSurvey:
    """Read an image and its labels once, in pieces, and add its values to the statistics of all.

    Args:
        name: name of the scene.
        path: file of the image.
        labels: file of its labels, for reports.
        open_labels: see OpenLabels; a LandsegError that it or reading raises is kept as the labels' fault.
        statistics: statistics of all images; changed only if the whole image can be read.
        picture: pixels along the edge of the small picture of labels; 0: no picture.
        tags: scale and offset that values are brought over to before they are counted, where they can be; None
            counts them as they are stored.

    Raises:
        LandsegError: the image cannot be read.
        BandError: it holds palette indices.
    """
    with FileSource(path) as source:
        refuse_indices(source, NO_BRIGHTNESS)
        have = source.bands.value_tags
        found = ImageSurvey(name, path, labels, source.grid, source.dtypes, source.band_names, have)
        moved = None if tags is None or len(tags) != source.count or not comparable(have, tags) else tags
        dtypes = source.dtypes if moved is None else ("float32",) * source.count
        own = {(n, d): BandStatistics(d) for n, d in zip(source.band_numbers, dtypes, strict=True)}
        found.odd_alpha = _odd_alpha(source)
        opened = _opened(open_labels, found)
        thumb = _Thumb(source.grid.shape, picture) if picture else None
        hashed, sketcher = PixelHash(source.grid.shape), Sketcher(source.grid.shape)
        sizes = PixelAreas(source.grid) if source.grid.resolution_m is not None else None
        sizes = sizes if sizes is not None and sizes.vary else None
        found.areas_ha = None if sizes is None else {}
        try:
            for rect in Blocks.of(source.grid.shape, _PIECE):
                pixels, valid = source.read(rect)
                hashed.update(pixels, valid)
                sketcher.update(rect, pixels, valid)
                found.valid_px += int(valid.sum())
                if moved is not None:
                    pixels = rescale(pixels, [one.onto(to) for one, to in zip(have, moved, strict=True)], "float32")
                for band, one in zip(pixels, own.values(), strict=True):
                    one.update(band[valid].astype(one.dtype, copy=False))
                if opened is not None and found.label_fault is None:
                    _count(found, opened, rect, valid, thumb, sizes)
        finally:
            if opened is not None:
                opened.close()
    found.digest, found.sketch = hashed.digest(), sketcher.sketch()
    found.thumb = None if thumb is None or opened is None or found.label_fault else (thumb.values, thumb.known)
    for key, one in own.items():
        statistics.setdefault(key, BandStatistics(one.dtype)).merge(one)
    return found


def _odd_alpha(source: FileSource) -> int | None:
    """Return the number of an alpha band that is no opacity, such as near infrared under that name; else None."""
    misnamed = source.file.validity.misnamed_alpha
    return next((number for number in misnamed if number not in source.band_numbers), None)


def _opened(open_labels: OpenLabels, found: ImageSurvey) -> LabelReader | None:
    try:
        opened = open_labels(found.grid)
    except LandsegError as error:
        found.label_fault = str(error)
        return None
    found.label_note = None if opened is None else opened.note or None
    return opened


def _count(
    found: ImageSurvey,
    labels: LabelReader,
    rect: Rect,
    valid: NDArray[np.bool_],
    thumb: _Thumb | None,
    sizes: PixelAreas | None,
) -> None:
    try:
        values, masks = labels.read_reasons(rect)
    except LandsegError as error:
        found.label_fault, found.values, found.areas_ha = str(error), Counter(), None
        found.left_out = LeftOut()
        return
    labelled = known_under(masks, rect.shape)
    known = labelled & valid
    found.left_out.add_masks(masks)
    found.left_out.add(Reason.NO_IMAGERY, int(labelled.sum()) - int(known.sum()))
    if sizes is not None and found.areas_ha is not None:
        weights = np.broadcast_to(sizes.weights(rect, sizes.unit), rect.shape)[known]
        kinds, which = np.unique(values[known], return_inverse=True)
        for value, area in zip(kinds.tolist(), np.bincount(which.ravel(), weights).tolist(), strict=True):
            found.areas_ha[value] = found.areas_ha.get(value, 0.0) + area * sizes.unit / 10_000
    if values.dtype.kind == "u" and values.dtype.itemsize <= 2:
        counts = np.bincount(values[known])
        found.values.update({int(value): int(counts[value]) for value in np.flatnonzero(counts)})
    else:
        kinds, numbers = np.unique(values[known], return_counts=True)
        found.values.update(dict(zip(kinds.tolist(), numbers.tolist(), strict=True)))
    if thumb is not None:
        thumb.add(rect, values, known)


class _Thumb:
    """Labels at the centres of a small picture's pixels."""

    def __init__(self, shape: tuple[int, int], edge: int) -> None:
        small = fitted(shape, edge)
        self._rows, self._columns = nearest(shape[0], small[0]), nearest(shape[1], small[1])
        self.values: NDArray[Any] = np.zeros(small, np.float64)
        self.known: NDArray[np.bool_] = np.zeros(small, np.bool_)

    def add(self, rect: Rect, values: NDArray[Any], known: NDArray[np.bool_]) -> None:
        """Add the labels under a rectangle."""
        rows = slice(*np.searchsorted(self._rows, (rect.top, rect.bottom)).tolist())
        columns = slice(*np.searchsorted(self._columns, (rect.left, rect.right)).tolist())
        at = np.ix_(self._rows[rows] - rect.top, self._columns[columns] - rect.left)
        self.values[rows, columns], self.known[rows, columns] = values[at], known[at]


class SurveyScene(Scene):
    """A surveyed image as a scene to split; its files are opened for every reading."""

    def __init__(self, found: ImageSurvey, open_labels: OpenLabels, mapping: ValueMapping) -> None:
        self.name, self.weight, self.zoom = found.name, 1.0, (1.0, 1.0)
        self._found, self._open_labels, self._mapping = found, open_labels, mapping

    @property
    def shape(self) -> tuple[int, int]:
        return self._found.grid.shape

    @property
    def channels(self) -> int:
        return len(self._found.dtypes)

    @property
    def grid(self) -> Grid | None:
        return self._found.grid

    @property
    def drawn(self) -> PolygonLabels | None:
        labels = self._open_labels(self._found.grid)
        assert labels is not None, "only labelled images are split"
        labels.close()
        return labels.drawn

    def read(self, rect: Rect) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.uint8]]:
        with FileSource(self._found.path) as source:
            pixels, valid = source.read(rect)
        labels = self._open_labels(self._found.grid)
        assert labels is not None, "only labelled images are split"
        try:
            values, known = labels.read_known(rect)
        finally:
            labels.close()
        return pixels, valid, self._mapping.indices(values, known & valid)

    def survey(self) -> Iterator[tuple[Rect, NDArray[np.uint8]]]:
        for rect in Blocks.of(self.shape, _PIECE):
            yield rect, self.read(rect)[2]
