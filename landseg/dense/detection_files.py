"""The ids of a finished run's detections: numbered from the labels that were written along with the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.dense.instance_files import IDS, PixelSizes
from landseg.dense.rcnn import Detections
from landseg.dense.task import Request
from landseg.geo.pieces import cut, rows_within
from landseg.labels.id_rasters import NODATA
from landseg.output.outputs import Outputs

LABELS = "labels"
"""The layer of labels: numbers of objects in the order in which they were found."""
STATE = "detections"
"""The key of a run's state that holds the objects."""
_PIXELS = 1 << 19  # numbered at a time


@dataclass(frozen=True)
class Numbered:
    """The objects of a raster of ids.

    Attributes:
        scores: by id less one ``(n,)``.
        below_area: the number of objects that were left out because they are small.
    """

    scores: NDArray[np.float32]
    below_area: int


def state_of(found: Detections) -> dict[str, Any]:
    """Return the objects as JSON values, in reading order of their anchors."""
    return {"labels": found.label.tolist(), "scores": [float(score) for score in found.score]}


def write_detected_ids(outputs: Outputs, request: Request, *, least_area: float) -> Numbered:
    """Write the layer of ids, and return the objects that have pixels there; ids are 1 to n.

    Args:
        outputs: with the layer of labels complete, and the objects in the run's state.
        request: of the run, with its progress.
        least_area: in square metres, or pixels without a CRS; smaller objects are left out.
    """
    state, sizes = outputs.state[STATE], PixelSizes(outputs.grid)
    labels, scores = np.array(state["labels"], np.int64), np.array(state["scores"], np.float32)
    area, pixels = np.zeros(len(labels) + 1), np.zeros(len(labels) + 1, np.int64)
    rects = [rect for part in outputs.parts for rect in cut(part, rows_within(_PIXELS, part.width))]
    for rect in rects:
        values = outputs.read(LABELS, rect)[0]
        there = values != NODATA
        weights = sizes.weights(rect)
        counts = np.bincount(values[there], minlength=len(pixels))
        pixels += counts
        if weights is not None:
            counts = np.bincount(values[there], np.broadcast_to(weights, values.shape)[there], len(area))
        area += counts
    seen, large = pixels[labels] > 0, area[labels] * sizes.unit >= least_area
    kept = seen & large
    table = np.zeros(len(labels) + 1, np.uint32)
    table[labels[kept]] = np.arange(1, int(kept.sum()) + 1)
    with request.shown(sum(part.area for part in outputs.parts)) as progress:
        for rect in rects:
            values = outputs.read(LABELS, rect)[0]
            there = values != NODATA
            outputs.write(IDS, rect, table[np.where(there, values, 0)], there)
            progress.add(rect.area)
    return Numbered(scores[kept], int((seen & ~large).sum()))
