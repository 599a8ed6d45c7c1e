"""Opener: an image and its labels, named by their files, to be opened together as often as they are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.geo.grid import Grid
from landseg.geo.rasters.rescaled import with_tags
from landseg.geo.rasters.source import FileSource, Source
from landseg.geo.rasters.value_tags import ValueTags
from landseg.labels.burnt_polygons import BurntPolygons
from landseg.labels.instances import IdClasses, IdFile, ObjectPolygons
from landseg.labels.label_colors import Colors
from landseg.labels.polygons import PolygonLabels
from landseg.labels.raster_labels import ClassLabels, open_labels
from landseg.labels.reader import LabelReader
from landseg.scenes.coarse_labels import CoarseLabels
from landseg.scenes.opened import Opened
from landseg.scenes.targets import JoinedTargets


@dataclass(frozen=True)
class LabelRaster:
    """A label raster of one image: its class table, and the target value of each index (256,).

    ``colors`` are given where it is a picture in these (see `landseg.labels.label_colors`), and ``objects`` where a
    raster of ids lies beside it.
    """

    path: Path
    classes: ClassMap
    table: NDArray[np.uint8]
    colors: Colors | None = None
    objects: IdFile | None = None

    def on(self, grid: Grid) -> LabelReader:
        """Open the raster on the grid of its image."""
        values = open_labels(self.path, grid, table=self.classes, colors=self.colors, of="its image")
        return ClassLabels(values, self.classes, self.table)


@dataclass(frozen=True)
class LabelPolygons:
    """Polygons for all images: see `BurntPolygons`; ``outside_name`` is the class outside them, for sentences.

    Where they are ``objects``, these are burnt, so that classes and objects are those of the same polygons.
    """

    polygons: PolygonLabels
    outside: int
    values: dict[str, int] | None = None
    inside: int = IGNORE_INDEX
    outside_name: str | None = None
    objects: ObjectPolygons | None = None

    def on(self, grid: Grid) -> LabelReader:
        """Return the polygons burnt on the grid of an image."""
        burnt = None if self.objects is None else self.objects.polygons
        return BurntPolygons(self.polygons, grid, self.outside, self.values, self.inside, burnt=burnt)


@dataclass(frozen=True)
class LabelIds:
    """A raster of ids of one image, and the target values where an object is and elsewhere."""

    objects: IdFile
    inside: int
    outside: int

    def on(self, grid: Grid) -> LabelReader:
        """Open the raster on the grid of its image."""
        return IdClasses(self.objects.on(grid), self.objects.path, self.inside, self.outside)


ImageLabels = LabelRaster | LabelPolygons | LabelIds | LabelReader
"""Labels of an image: a file to be opened on its grid, or a reader that does not depend on the grid."""


@dataclass(frozen=True)
class CoarseRaster:
    """Coarse labels of one image: the files of a raster or mosaic, its classes, and the width of a label in pixels of
    the image where the files do not show it (see `CoarseLabels`)."""

    paths: tuple[Path, ...]
    classes: ClassMap
    side: int | None = None

    def on(self, grid: Grid) -> CoarseLabels:
        """Open the raster on the grid of its image."""
        return CoarseLabels(self.paths, grid, self.classes, side=self.side)


@dataclass(frozen=True)
class Opener:
    """An image and its labels, to be opened by a call; it can be pickled.

    Attributes:
        tags: scale and offset that the stored numbers of the image's first bands are brought over to; None takes
            them as they are.
    """

    image: Path
    bands: tuple[int, ...] | None
    labels: tuple[ImageLabels, ...]
    classes: int
    coarse: CoarseRaster | None = None
    tags: tuple[ValueTags, ...] | None = None

    def __call__(self) -> Opened:
        """Open the files.

        Raises:
            RasterError, GridError, BandError: a file cannot be opened, or does not fit the others.
        """
        source: Source = FileSource(self.image, self.bands)
        opened: list[LabelReader] = []
        try:
            if self.tags is not None:
                more = source.bands.value_tags[len(self.tags) :]  # of bands that only labels look at
                source = with_tags(source, (*self.tags, *more), like="the recipe's bands have")
            for one in self.labels:
                opened.append(one if isinstance(one, LabelReader) else one.on(source.grid))
            coarse = None if self.coarse is None else self.coarse.on(source.grid)
            objects = None if self._objects is None else self._objects.on(source.grid)
        except BaseException:
            source.close()
            for targets in opened:
                targets.close()
            raise
        targets = opened[0] if len(opened) == 1 else JoinedTargets(opened, self.classes)
        return Opened(source, targets, coarse, stored=self.tags is None, objects=objects)

    @property
    def _objects(self) -> IdFile | ObjectPolygons | None:
        """The first objects among the labels."""
        there = (one.objects for one in self.labels if not isinstance(one, LabelReader))
        return next((one for one in there if one is not None), None)
