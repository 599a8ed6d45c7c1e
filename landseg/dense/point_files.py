"""The vector file of the points of a finished run."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import ClassMap
from landseg.dense.point_rows import Points
from landseg.dense.task import Request
from landseg.output.outputs import Outputs
from landseg.vector.points import write_point_file

SEEN = "seen"
"""The layer of pixels with data."""
POLYGONS = "polygons"
"""The name of the vector file among the files of a run."""
STATE = "points"
"""The key of a run's state that holds the points."""


def state_of(found: Points) -> dict[str, Any]:
    """Return points, in pixels of the run's grid, as JSON values."""
    size = [] if np.isnan(found.size).all() else found.size.tolist()
    return {"place": found.place.tolist(), "level": found.level.tolist(), "kind": found.kind.tolist(), "size": size}


def points_of(state: dict[str, Any]) -> Points:
    """Return the points of a state."""
    count = len(state["level"])
    size = np.array(state["size"], np.float64).reshape(-1, 2) if state["size"] else np.full((count, 2), np.nan)
    place = np.array(state["place"], np.float64).reshape(-1, 2)
    return Points(place, np.array(state["level"], np.uint16), np.array(state["kind"], np.uint8), size)


def write_points(outputs: Outputs, request: Request, classes: ClassMap) -> int:
    """Write the vector file of the points in a run's state, and return their number."""
    from landseg.dense.class_files import write_style

    found, path = points_of(outputs.state[STATE]), request.files[POLYGONS]
    place, grid = outputs.extra(path), outputs.grid
    things = [classes.classes[index] for index in classes.things]
    columns: dict[str, NDArray[Any]] = {
        "id": np.arange(1, len(found) + 1),
        "value": np.array([one.value for one in things], np.int32)[found.kind],
        "name": np.array([one.name for one in things], object)[found.kind],
        "score": np.round(found.scores.astype(np.float64), 5),
    }
    if len(found) and not np.isnan(found.size).all():
        metres = grid.resolution_m or 1.0
        columns["diameter_m" if grid.crs is not None else "diameter_px"] = found.size.mean(axis=1) * metres
    write_point_file(place, found.place, columns, grid=grid, classes=things, called=path)
    write_style(request, place, classes)
    return len(found)
