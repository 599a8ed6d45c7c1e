"""The results of `evaluate` and `compare`: figures alone, whatever way rasters were read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from landseg.metrics.calibration import Reliability
from landseg.metrics.seam import Seam
from landseg.text.amounts import counted
from landseg.text.results import html_table, json_values, one_line, three

if TYPE_CHECKING:
    from landseg.geo.grid import Rect


@dataclass(frozen=True)
class ClassFigures:
    """The figures of one class, by the conventions of docs/metrics.md; nan: without meaning, None: not measured.

    Attributes:
        value: in the rasters.
        name: of the class.
        color: red, green, blue; 0..255.
        iou: intersection over union; 0 for a class that is predicted and not in the truth, nan if in neither.
        precision: share of the pixels predicted as this class that are of it; nan without any. User's accuracy.
        recall: share of the true pixels that are predicted as this class; nan without any. Producer's accuracy.
        f1: harmonic mean of the two, also the Dice coefficient; defined where iou is.
        pixels: labelled pixels of this class in the truth.
        predicted: labelled pixels predicted as this class.
        area_ha: of ``pixels``, the labelled ones; None without georeference. All areas are on the ellipsoid.
        mapped_ha: area that the prediction gives the class, labelled or not; None without georeference.
        estimated_ha: area by the stratified estimator of Olofsson et al. 2014, the map's bias taken out.
        estimated_ha_ci: its 95 % interval, (low, high), by a bootstrap of spatial blocks; None where every pixel of
            the map is labelled.
        estimated_ha_ci_random: the interval of the paper, for labelled pixels that are a random sample.
        boundary_iou: nan without an outline between classes in the truth.
        surface_dice: nan without an outline between classes in the truth.
        iou_ci: 95 % interval of ``iou``, (low, high), by a bootstrap of spatial blocks.
        missed: labelled pixels of this class that the prediction leaves without data; counted as errors.
    """

    value: int
    name: str
    color: tuple[int, int, int]
    iou: float
    precision: float
    recall: float
    f1: float
    pixels: int
    predicted: int
    area_ha: float | None = None
    mapped_ha: float | None = None
    estimated_ha: float | None = None
    estimated_ha_ci: tuple[float, float] | None = None
    estimated_ha_ci_random: tuple[float, float] | None = None
    boundary_iou: float | None = None
    surface_dice: float | None = None
    iou_ci: tuple[float, float] | None = None
    missed: int = 0


class BorderBin(NamedTuple):
    """The error rate of pixels at a range of distances from the nearest border between windows; 0 adjoins it.

    Attributes:
        distance_px_from: first distance.
        distance_px_to: last distance, included; None for "and all beyond".
        pixels: number of labelled pixels.
        error_rate: share of these that is wrong; nan without any.
    """

    distance_px_from: int
    distance_px_to: int | None
    pixels: int
    error_rate: float


class WorstWindow(NamedTuple):
    """A square with a large share of errors.

    Attributes:
        rect: in pixels of the prediction.
        pixels: number of labelled pixels in it.
        error_rate: share of these that is wrong.
        scene: position in ``Evaluation.scenes`` of the raster that it lies in, from 0.
    """

    rect: Rect
    pixels: int
    error_rate: float
    scene: int = 0


@dataclass(frozen=True, repr=False)
class Evaluation:
    """The figures of a prediction against the truth.

    Attributes:
        prediction: the file or folder, as it was named.
        target: the truth, as it was named.
        classes: in the order of their indices.
        confusion: (K, K) pixels, rows truth, columns prediction. Labelled pixels without a prediction are in no
            column: ``ClassFigures.missed`` counts them.
        pixel_accuracy: share of the labelled pixels that are right.
        mean_iou: mean over the classes in the truth or in the prediction.
        averaged_over: number of those classes.
        frequency_weighted_iou: mean of the classes' IoU, weighted by their pixels in the truth.
        kappa: Cohen's; agreement beyond that of chance.
        commonest_class_accuracy: pixel accuracy of a map that has the truth's commonest class everywhere.
        commonest_class: its name; "" when nothing is labelled.
        pixel_ha: area of a pixel, of the mean one where they differ; None without georeference.
        confusion_ha: (K, K + 1) hectares by truth and prediction, the last column without one; None where all pixels
            are equally large.
        intervals: 95 % intervals (low, high) by the names of the fields above, by a bootstrap of spatial blocks.
        boundary_distance_px: width of the bands that the boundary IoU compares.
        boundary_distance_m: the same on the ground.
        mean_boundary_iou: over the classes that have an outline in the truth.
        surface_tolerance_px: distance within which outlines agree for the surface Dice.
        surface_tolerance_m: the same on the ground; None without georeference.
        mean_surface_dice: over the classes that have an outline in the truth.
        reliability: accuracy by confidence, and the calibration error; None without probabilities.
        border: errors by distance to the windows' borders; None where no tag names the windows.
        seam: the error rate near those borders against that elsewhere.
        worst: windows with the most errors, worst first, over all scenes.
        scenes: names of the predicted rasters, in the order in which they were counted.
        left_out: pixels that did not count, by reason (see `landseg.labels.left_out.Reason`).
        notes: sentences that a reader of the figures needs: alignment of the grids, pixels that do not count.
    """

    prediction: str
    target: str
    classes: tuple[ClassFigures, ...]
    confusion: NDArray[np.int64]
    pixel_accuracy: float
    mean_iou: float
    averaged_over: int
    frequency_weighted_iou: float
    kappa: float
    commonest_class_accuracy: float
    commonest_class: str
    pixel_ha: float | None = None
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    boundary_distance_px: int | None = None
    boundary_distance_m: float | None = None
    mean_boundary_iou: float | None = None
    surface_tolerance_px: float | None = None
    surface_tolerance_m: float | None = None
    mean_surface_dice: float | None = None
    reliability: Reliability | None = None
    border: tuple[BorderBin, ...] | None = None
    seam: Seam | None = None
    worst: tuple[WorstWindow, ...] = ()
    scenes: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    confusion_ha: NDArray[np.float64] | None = None

    def __repr__(self) -> str:
        over = counted(self.averaged_over, "class")
        return one_line(
            f"Evaluation of {self.prediction} against {self.target}:",
            f"mean IoU {three(self.mean_iou)} over {over}",
            f"pixel accuracy {three(self.pixel_accuracy)} ({three(self.commonest_class_accuracy)} by all "
            f"{self.commonest_class})",
        )

    def _repr_html_(self) -> str:
        rows = [
            [one.name, _bar(one.iou), *map(three, (one.iou, one.precision, one.recall, one.f1)), f"{one.pixels:,}"]
            for one in self.classes
        ]
        return html_table(repr(self)[1:-1], ["class", "", "IoU", "precision", "recall", "F1", "pixels"], rows)

    def to_json(self) -> dict[str, Any]:
        """Return the fields by their names as plain JSON values, None for nan and infinite numbers."""
        found: dict[str, Any] = json_values(vars(self))
        return found


@dataclass(frozen=True)
class Difference:
    """The difference of a figure to the first prediction's, with its 95 % interval by blocks drawn for both at once.

    Where 0 lies inside the interval, the truth at hand does not show that either of the two is better.
    """

    difference: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """True where the interval lies on one side of 0; False where there is none."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, repr=False)
class Comparison:
    """Several predictions against one truth.

    Attributes:
        evaluations: of each prediction, in the order given.
        mean_iou: difference to the first prediction's, of every other prediction.
        pixel_accuracy: likewise.
        iou: likewise for each class, by its name.
    """

    evaluations: tuple[Evaluation, ...]
    mean_iou: tuple[Difference, ...]
    pixel_accuracy: tuple[Difference, ...]
    iou: tuple[dict[str, Difference], ...]

    def __repr__(self) -> str:
        figures = (f"{one.prediction} {three(one.mean_iou)}" for one in self.evaluations)
        return one_line(f"Comparison against {self.evaluations[0].target}: mean IoU of", *figures)

    def _repr_html_(self) -> str:
        names = [one.prediction for one in self.evaluations]
        rows = [["mean IoU", *(three(one.mean_iou) for one in self.evaluations)]]
        rows += [["pixel accuracy", *(three(one.pixel_accuracy) for one in self.evaluations)]]
        for index, entry in enumerate(self.evaluations[0].classes):
            rows.append([f"IoU {entry.name}", *(three(one.classes[index].iou) for one in self.evaluations)])
        return html_table(f"against {self.evaluations[0].target}", ["figure", *names], rows)

    def to_json(self) -> dict[str, Any]:
        """Return evaluations and differences as plain JSON values."""
        return {
            "evaluations": [one.to_json() for one in self.evaluations],
            "left_out": dict(self.evaluations[0].left_out),
            "differences": [
                {
                    "mean_iou": json_values(mean),
                    "pixel_accuracy": json_values(accuracy),
                    "iou": {name: json_values(one) for name, one in classes.items()},
                }
                for mean, accuracy, classes in zip(self.mean_iou, self.pixel_accuracy, self.iou, strict=True)
            ],
        }


def _bar(share: float) -> str:
    """Return a share as a bar of twenty characters; empty for nan."""
    filled = 0 if math.isnan(share) else round(20 * share)
    return "\u2588" * filled + "\u2591" * (20 - filled)
