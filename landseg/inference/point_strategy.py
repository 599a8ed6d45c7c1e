"""Points: rows of the whole raster go through the network, and peaks are found in them."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from landseg.dense.point_files import SEEN, STATE, state_of
from landseg.dense.point_rows import Points, join_points, keep_apart
from landseg.dense.points import PointTask
from landseg.geo.pieces import cut, rows_within
from landseg.geo.vectors.aoi import Aoi
from landseg.inference.options import PredictOptions
from landseg.inference.scope import Scope, inside_of
from landseg.inference.whole_rows import Finder, PixelRows, WholeRows
from landseg.output.outputs import Outputs

_PIXELS = 1 << 20  # of the raster, looked at at a time


class PointStrategy(WholeRows):
    """Points that are those of the whole raster."""

    def finder(self, outputs: Outputs, aoi: Aoi | None) -> Finder:
        options, task = self.scope.options, cast(PointTask, self.scope.engine.task)
        given = options.objects if isinstance(options, PredictOptions) else {}
        own = task.with_options({key: value for key, value in given.items() if key in task.options})
        return _PointFinder(outputs, self.scope, own, aoi)


class _PointFinder:
    """The points of finished rows, and where the raster has data."""

    def __init__(self, outputs: Outputs, scope: Scope, task: PointTask, aoi: Aoi | None) -> None:
        self._outputs, self._scope, self._aoi = outputs, scope, aoi
        self._shape, self._stride = scope.raster.placement.network, int(scope.engine.field.stride)
        self._rows, self._valid = task.finder(self._shape), PixelRows(self._shape[1], np.bool_)
        self._packed, self._found, self._distance = 0, list[Points](), task.options["distance_m"]

    def see(self, valid: NDArray[np.bool_]) -> None:
        self._valid.add(valid)

    def take(self, output: NDArray[np.float32]) -> int:
        top = self._packed * self._stride
        bottom = min(self._shape[0], top + output.shape[1] * self._stride)
        self._found.append(self._rows.add(output, self._valid.between(top, bottom)))
        self._valid.forget(bottom)
        self._packed += output.shape[1]
        return int((bottom - top) * self._shape[1])

    def end(self) -> None:
        found = join_points([*self._found, self._rows.end()])
        factor = self._scope.raster.placement.factor
        found = Points(found.place * factor, found.level, found.kind, found.size * factor)
        inside = np.zeros(len(found), np.bool_)
        region, source = self._scope.region, self._scope.raster.source
        pixel = np.floor(found.place).astype(np.int64)
        for rect in cut(region, rows_within(_PIXELS, region.width)):
            there = inside_of(self._aoi, rect, source.read(rect)[1])
            self._outputs.write(SEEN, rect.relative_to(self._scope.outputs), there.astype(np.uint8), there)
            own = ((pixel >= (rect.top, rect.left)) & (pixel < (rect.bottom, rect.right))).all(axis=1)
            rows, columns = (pixel[own] - (rect.top, rect.left)).T
            inside[own] = there[rows, columns]
        size = source.grid.pixel_size_m or (1.0, 1.0)
        kept = keep_apart(found.chosen(inside), self._distance, size)
        corner = np.array([self._scope.outputs.top, self._scope.outputs.left])
        kept = Points(kept.place - corner, kept.level, kept.kind, kept.size)
        self._outputs.set_state(STATE, state_of(kept))
