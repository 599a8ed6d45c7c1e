"""Objects by boxes: rows of the whole raster go through the network and a detector."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from landseg.dense.detection_files import LABELS, STATE, state_of
from landseg.dense.detections import DetectionTask
from landseg.geo.grid import Rect
from landseg.geo.vectors.aoi import Aoi
from landseg.inference.options import PredictOptions
from landseg.inference.scope import Scope, inside_of
from landseg.inference.whole_rows import Finder, PixelRows, WholeRows
from landseg.output.outputs import Outputs


class DetectionStrategy(WholeRows):
    """Objects that are those of the whole raster."""

    def finder(self, outputs: Outputs, aoi: Aoi | None) -> Finder:
        options, task = self.scope.options, cast(DetectionTask, self.scope.engine.task)
        own = task.with_options(options.objects) if isinstance(options, PredictOptions) else task
        return _ObjectFinder(outputs, self.scope, own, aoi)


class _ObjectFinder:
    """A detector, and the labels of finished rows on their way to the outputs."""

    def __init__(self, outputs: Outputs, scope: Scope, task: DetectionTask, aoi: Aoi | None) -> None:
        self._shape, self._stride = scope.raster.placement.network, int(scope.engine.field.stride)
        self._outputs, self._task, self._detector = outputs, task, task.detector(self._shape)
        width = self._shape[1]
        self._valid, self._others, self._packed = PixelRows(width, np.bool_), PixelRows(width, np.uint8), 0
        self._writer = _Writer(outputs, scope, task, aoi, self._valid, self._others)

    def see(self, valid: NDArray[np.bool_]) -> None:
        self._valid.add(valid)

    def take(self, output: NDArray[np.float32]) -> int:
        made, free = self._task.split(output, self._shape[1])
        top, count = self._packed * self._stride, made.shape[1]
        bottom = min(self._shape[0], top + count * self._stride)
        self._others.add(free[: bottom - top])
        labels = self._detector.add(made, self._valid.between(top, bottom))
        self._packed += count
        return self._writer.write(labels, self._detector.kinds)

    def end(self) -> None:
        self._writer.write(self._detector.end(), self._detector.kinds)
        self._outputs.set_state(STATE, state_of(self._detector.detections()))


@dataclass
class _Writer:
    """Finished rows of labels on their way to the layers of a region.

    Where the network has pixels of another size, a pixel of the source takes the label of the one that its centre
    lies in.

    Attributes:
        outputs: of the run.
        scope: the region.
        task: makes classes of labels.
        aoi: the area of interest; None is all of the region.
        valid: the pixels with data, of the network.
        others: the class index of each pixel without an object, likewise.
        top: the next row of the network.
        next: the next row of the source.
    """

    outputs: Outputs
    scope: Scope
    task: DetectionTask
    aoi: Aoi | None
    valid: PixelRows
    others: PixelRows
    top: int = 0
    next: int = 0

    def write(self, labels: NDArray[np.uint32], kinds: NDArray[np.int64]) -> int:
        """Write the next rows (n, width) of labels where they lie in the region; return the number of pixels."""
        rows = Rect(self.top, 0, *labels.shape)
        there, others = (part.between(rows.top, rows.bottom) for part in (self.valid, self.others))
        self.valid.forget(rows.bottom)
        self.others.forget(rows.bottom)
        self.top = rows.bottom
        target = Rect(self.next, 0, self._ready() - self.next, self.scope.raster.placement.source[1])
        self.next = target.bottom
        rect = target.intersection(self.scope.region)
        if rect is None or not rect.area:
            return 0
        if self.scope.raster.placement.factor == 1.0:
            part: Any = rect.relative_to(rows).slices
            there = there[part]
        else:
            part, there = self._nearest(rows, rect), self.scope.raster.source.read(rect)[1]
        found, others = labels[part], others[part]
        inside, place = inside_of(self.aoi, rect, there), rect.relative_to(self.scope.outputs)
        self.outputs.write("classes", place, self.task.class_values(found, kinds, others, inside), inside)
        if any(layer.name == LABELS for layer in self.outputs.layers):
            self.outputs.write(LABELS, place, found, inside)
        return rect.area

    def _ready(self) -> int:
        """Return the row of the source up to which centres lie in the network's rows so far."""
        placement = self.scope.raster.placement
        if self.top >= placement.network[0]:
            return placement.source[0]
        return min(placement.source[0], max(self.next, ceil(self.top * placement.factor - 0.5)))

    def _nearest(self, rows: Rect, rect: Rect) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the rows (h, 1) and columns (w,), in rows of the network, of a rectangle of the source."""
        factor = self.scope.raster.placement.factor
        row = ((np.arange(rect.top, rect.bottom) + 0.5) / factor).astype(np.int64) - rows.top
        column = ((np.arange(rect.left, rect.right) + 0.5) / factor).astype(np.int64)
        return np.clip(row, 0, rows.height - 1)[:, None], np.clip(column, 0, rows.width - 1)
