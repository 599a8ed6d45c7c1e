"""The counts of an evaluation: taken from strips of rows, and merged in any order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX
from landseg.geo.grid import Rect
from landseg.geo.pixel_areas import PixelAreas
from landseg.labels.left_out import LeftOut
from landseg.metrics.area import AreaEstimate, stratified
from landseg.metrics.bootstrap import Blocks
from landseg.metrics.boundary import BoundaryIoU, Reach
from landseg.metrics.calibration import ReliabilityCounts
from landseg.metrics.confusion import weighted_pairs
from landseg.metrics.seam import BorderErrors
from landseg.metrics.surface import SurfaceDice, SurfaceDiceByRows

Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class MeasureOptions:
    """The figures to count for, besides the confusion matrix.

    Attributes:
        classes: K.
        block: edge of a spatial block of the bootstrap, in pixels.
        distance: width of the boundary bands in pixels; None: no boundary IoU.
        tolerance: of the surface Dice, in the unit of ``spacing``; None: none.
        spacing: (row, column) distance between pixels.
        bands: that by rows of a single raster, see `SurfaceDiceByRows`; empty: it is the same everywhere.
        areas: of the pixels of each raster, where they differ too much to be counted as equally large; else empty.
        area_unit: that those areas are summed in, in square metres.
        borders: rows and columns where windows meet; None where no tag names them.
        confidences: whether there are probabilities to judge.
        prob_bands: of these; None: one for each class. The first are those of the classes.
    """

    classes: int
    block: int = 256
    distance: Reach | None = None
    tolerance: float | None = None
    spacing: tuple[float, float] = (1.0, 1.0)
    bands: tuple[tuple[int, tuple[float, float]], ...] = ()
    areas: tuple[PixelAreas, ...] = ()
    area_unit: float = 1.0
    borders: tuple[Sequence[int], Sequence[int]] | None = None
    confidences: bool = False
    prob_bands: int | None = None


class EvaluationCounts:
    """Counts over any part of one raster or several; `merge` puts parts together, in whatever order.

    Attributes:
        blocks: confusion matrices by spatial block.
        unlabelled: (K,) pixels that the map gives each class where the truth is void.
        left_out: pixels that do not count, by reason.
        unjudged: labelled pixels without probabilities, where there are any of others.
        area_table: (K, K + 1) areas by truth and map, in whole `MeasureOptions.area_unit`; zeros if not measured.
        area_unlabelled: (K,) the areas of those that are unlabelled.
    """

    def __init__(self, measures: MeasureOptions) -> None:
        self.measures = m = measures
        self.blocks = Blocks(m.classes, m.block)
        self.unlabelled = np.zeros(m.classes, np.int64)
        self.left_out = LeftOut()
        self.unjudged = 0
        self.boundary = None if m.distance is None else BoundaryIoU(m.classes, m.distance)
        self.area_table = np.zeros((m.classes, m.classes + 1), object)  # Python's numbers: no sum overflows
        self.area_unlabelled = np.zeros(m.classes, object)
        self.surface = None if m.tolerance is None else _surface(m)
        self.border = None if m.borders is None else BorderErrors(*m.borders)
        self.calibration = ReliabilityCounts(m.prob_bands or m.classes) if m.confidences else None

    @property
    def halo(self) -> int:
        """Pixels beyond a core that the outlines need."""
        distance = self.measures.distance or 0
        bands = (distance,) if isinstance(distance, int) else distance
        return max(*bands, *(self.surface.halo if self.surface else (0,)), 0)

    def update(
        self,
        truth: Labels,
        predicted: Labels,
        rect: Rect,
        core: Rect,
        *,
        raster: int = 0,
        probs: NDArray[np.floating[Any]] | None = None,
    ) -> None:
        """Add the core of a window.

        Args:
            truth: (h, w) class indices under ``rect``, which is the core and a halo.
            predicted: the same.
            rect: of the raster's pixels.
            core: inside it.
            raster: number of the raster, from 0.
            probs: (bands, h, w) of the core alone.
        """
        part = core.relative_to(rect).slices
        true_core, predicted_core = truth[part], predicted[part]
        self.blocks.update(true_core, predicted_core, top=core.top, left=core.left, raster=raster)
        self._count_unlabelled(true_core, predicted_core)
        if self.measures.areas:
            self._count_areas(true_core, predicted_core, self.measures.areas[raster], core)
        if self.boundary is not None:
            self.boundary.update(truth, predicted, core=part)
        if self.surface is not None:
            self._count_surface(truth, predicted, part, rect.top)
        if self.border is not None:
            self.border.update(true_core, predicted_core, top=core.top, left=core.left)
        if probs is not None and self.calibration is not None:
            self.calibration.update(probs, true_core)
            self.unjudged += int((np.isnan(probs[0]) & (true_core < self.measures.classes)).sum())

    def merge(self, other: EvaluationCounts) -> None:
        """Take over what another has counted."""
        self.blocks.merge(other.blocks)
        self.unlabelled += other.unlabelled
        self.left_out.merge(other.left_out)
        self.unjudged += other.unjudged
        self.area_table += other.area_table
        self.area_unlabelled += other.area_unlabelled
        for name in ("boundary", "surface", "border", "calibration"):
            own = getattr(self, name)
            if own is not None:
                own.merge(getattr(other, name))

    def mapped(self) -> NDArray[np.int64]:
        """Return the pixels (K,) that the map gives each class, labelled or not."""
        total: NDArray[np.int64] = self.blocks.table()[:, :-1].sum(0) + self.unlabelled
        return total

    def mapped_sizes(self) -> NDArray[np.float64]:
        """Return the area of each class (K,) on the map: square metres where pixels differ in size, else pixels."""
        if not self.measures.areas:
            return self.mapped().astype(np.float64)
        sums = self.area_table[:, :-1].sum(0) + self.area_unlabelled
        return np.asarray(sums.astype(np.float64) * self.measures.area_unit)

    def area(self) -> AreaEstimate:
        """Return the areas of the classes, by the stratified estimator."""
        counts, unit = self.blocks.table()[:, :-1], self.measures.area_unit
        if not self.measures.areas:
            return stratified(counts, self.mapped())
        labelled = self.area_table[:, :-1].astype(np.float64) * unit
        return stratified(counts, self.mapped(), sizes=(labelled, self.mapped_sizes()))

    def _count_areas(self, true_core: Labels, predicted_core: Labels, areas: PixelAreas, core: Rect) -> None:
        classes, weights = self.measures.classes, areas.weights(core, self.measures.area_unit)
        self.area_table += _whole(weighted_pairs(true_core, predicted_core, classes, weights))
        void = np.where(true_core >= classes, np.uint8(0), np.uint8(IGNORE_INDEX))
        self.area_unlabelled += _whole(weighted_pairs(void, predicted_core, classes, weights)[0, :-1])

    def _count_surface(self, truth: Labels, predicted: Labels, core: tuple[slice, slice], top: int) -> None:
        if isinstance(self.surface, SurfaceDiceByRows):
            self.surface.update(truth, predicted, core=core, top=top)
        elif self.surface is not None:
            self.surface.update(truth, predicted, core=core)

    def _count_unlabelled(self, true_core: Labels, predicted_core: Labels) -> None:
        classes = self.measures.classes
        void = true_core >= classes
        if void.any():
            self.unlabelled += np.bincount(predicted_core[void], minlength=256)[:classes]


def _surface(m: MeasureOptions) -> SurfaceDice | SurfaceDiceByRows:
    assert m.tolerance is not None, "there is a tolerance"
    if m.bands:
        return SurfaceDiceByRows(m.classes, m.tolerance, m.bands)
    return SurfaceDice(m.classes, m.tolerance, m.spacing)


def _whole(values: NDArray[np.float64]) -> NDArray[Any]:
    """Return values rounded to whole numbers of Python, which have any size."""
    return np.rint(values).astype(np.int64).astype(object)
