"""Points recognised: vector files whose layers hold points, on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from landseg.errors import ClassError
from landseg.evaluation.objects.coco import is_coco
from landseg.evaluation.objects.scenes import objects_in, paired
from landseg.evaluation.objects.sides import refuse_given
from landseg.evaluation.options import EvaluateOptions
from landseg.evaluation.points.pair import PointPair, join_scenes, pair_points
from landseg.geo.rasters.address import label
from landseg.geo.vectors.layers import geometry_types
from landseg.geo.vectors.names import is_vector
from landseg.labels.point_files import POINTS, read_points

_OF_OTHERS = (
    "classes", "ignore", "background", "buffer", "label_colors", "probs", "errors", "areas", "report", "image",
)  # fmt: skip
_ADVICE = "name a layer of points on both sides; for polygons name their centroids (ogr2ogr -dialect sqlite)"


def are_points(prediction: Sequence[str], target: Sequence[str], options: EvaluateOptions) -> bool:
    """Return whether predictions and truths are points, by the geometries of their layers.

    They are if a prediction is a vector file of points, or without any feature against a truth of points.

    Raises:
        LandsegError: points on one side alone, or beside polygons, or options that mean nothing for them, or
            the other way round.
    """
    found = [path for one in prediction for path in objects_in(one)]
    kinds = {path: _types(path) for path in found}
    if all(kinds[path] is not None for path in found):
        true = [path for one in target for path in objects_in(one, truth=True)]
        kinds |= {path: _types(path) for path in true}
        with_points = [path for path in (*found, *true) if (kinds[path] or set()) & POINTS]
        if with_points:
            _refuse_mixed(found, true, kinds)
            refuse_given(options, _OF_OTHERS, "other predictions, and these are points")
            return True
    refuse_given(options, ("radius",), "points, and the prediction holds none")
    return False


def _refuse_mixed(found: Sequence[str], true: Sequence[str], kinds: dict[str, set[str] | None]) -> None:
    """Raise ClassError if a file among those of points holds other shapes, or is no vector file."""
    holding = next(path for path in (*found, *true) if (kinds[path] or set()) & POINTS)
    for path in (*found, *true):
        kind = kinds[path]
        if kind is None:
            raise ClassError(f"{label(holding)} holds points, {label(path)} is no vector file: {_ADVICE}")
        if odd := sorted(kind - POINTS):
            raise ClassError(f"{label(holding)} holds points, {label(path)} holds {' and '.join(odd)}: {_ADVICE}")


def refuse_points(paths: Sequence[str]) -> None:
    """Raise ClassError if one of the paths is a vector file of points."""
    for path in (one for name in paths for one in objects_in(name)):
        if (_types(path) or set()) & POINTS:
            raise ClassError(f"{label(path)} holds points, which compare does not take: evaluate each prediction")


def open_points(prediction: Sequence[str], target: Sequence[str], options: EvaluateOptions) -> PointPair:
    """Return the points of predictions and of their truths.

    Args:
        prediction: a file, or several and folders, one file for each scene.
        target: the truth: a file, or several and folders, paired by name.
        options: for both.

    Raises:
        LandsegError: a file cannot be read, holds other shapes, or the two do not belong together.
    """
    found = [path for one in prediction for path in objects_in(one)]
    true = [path for one in target for path in objects_in(one, truth=True)]
    pairs, notes = paired(found, true)
    scenes = [
        pair_points(
            read_points(one, options.class_field), read_points(other, options.class_field, truth=True), options
        )
        for one, other in pairs
    ]
    return join_scenes(scenes, [Path(label(one)).name for one, _ in pairs], options, notes)


def _types(path: str) -> set[str] | None:
    """Return the types of the geometries of a vector file; None for other files."""
    return geometry_types(path) if is_vector(path) and not is_coco(path) else None
