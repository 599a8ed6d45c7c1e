"""Several predictions of objects, one truth: their evaluations, and their differences to the first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from landseg.errors import ClassError
from landseg.evaluation.objects.figures import evaluate_objects
from landseg.evaluation.objects.pair import ObjectPair
from landseg.evaluation.objects.result import ObjectComparison
from landseg.evaluation.objects.sides import open_objects
from landseg.evaluation.options import EvaluateOptions
from landseg.evaluation.result import Difference
from landseg.geo.rasters.address import label
from landseg.labels.pairing import named
from landseg.metrics.detection import Detection, differences


def compare_objects(predictions: Sequence[str], target: Sequence[str], options: EvaluateOptions) -> ObjectComparison:
    """Return the evaluation of each prediction, and the differences of all but the first to the first.

    Raises:
        LandsegError: as `open_objects`, or predictions that lie on different pixels or have different classes.
    """
    pairs = [open_objects([path], target, options) for path in predictions]
    names = [label(path) for path in predictions]
    for pair, name in zip(pairs[1:], names[1:], strict=True):
        _check_same(pairs[0], pair, names[0], name)
    made = [
        evaluate_objects(pair, options, names=(name, named(target))) for pair, name in zip(pairs, names, strict=True)
    ]
    scored = [pair.scored for pair in pairs]
    f1: list[dict[str, Difference]] = [{} for _ in pairs[1:]]
    ap50: list[dict[str, Difference]] = [{} for _ in pairs[1:]]
    for index, name in enumerate(pairs[0].classes):
        detections: list[Detection] = [of_classes[index] for _, of_classes in made]
        found = differences(detections, options.score, count=options.samples, seed=options.seed)
        for number in range(len(pairs) - 1):
            for key, into in (("f1", f1), ("ap50", ap50)):
                values, ends = found[key][0][number], found[key][1][number]
                if key == "ap50" and not (scored[0] and scored[number + 1]):
                    values, ends = np.nan, np.full(2, np.nan)
                into[number][name] = Difference(float(values), float(ends[0]), float(ends[1]))
    return ObjectComparison(tuple(one for one, _ in made), tuple(f1), tuple(ap50))


def _check_same(first: ObjectPair, other: ObjectPair, name: str, of: str) -> None:
    """Raise ClassError if the truth of two predictions is not the same, object by object."""
    if first.classes != other.classes:
        raise ClassError(
            f"{of} has the classes {', '.join(other.classes)}, {name} {', '.join(first.classes)}: compare "
            "predictions of the same classes"
        )
    for one, two in zip(first.images, other.images, strict=True):
        places = one.overlaps.true.place, two.overlaps.true.place
        if places[0].shape != places[1].shape or not np.allclose(places[0], places[1]):
            raise ClassError(
                f"{of} and {name} are compared with the truth on other pixels: compare polygons with polygons, or "
                "rasters of ids on one grid"
            )
