"""Evaluation: what a comparison of a class raster with the truth found, and nothing of how it was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from landseg.metrics.calibration import Reliability
from landseg.metrics.seam import Seam
from landseg.text.json_values import json_values

if TYPE_CHECKING:
    from landseg.geo.grid import Rect


@dataclass(frozen=True)
class ClassFigures:
    """One class: docs/metrics.md has the conventions. A figure that means nothing is nan, one not asked for None.

    Attributes:
        value: in the rasters.
        name: of the class.
        color: red, green, blue; 0..255.
        iou: intersection over union; 0 for a class that is predicted and not in the truth, nan if in neither.
        precision: share of the pixels called this class that are; nan if none is called so. User's accuracy.
        recall: share of the class's pixels that are found; nan if the truth has none. Producer's accuracy.
        f1: harmonic mean of the two, also the Dice coefficient; defined where iou is.
        pixels: labelled pixels of this class in the truth.
        predicted: labelled pixels called this class.
        area_ha: of ``pixels``, the labelled ones; None without georeference. All areas are on the ellipsoid.
        mapped_ha: area that the prediction gives the class, labelled or not; None without georeference.
        estimated_ha: area by the stratified estimator of Olofsson et al. 2014, the map's bias taken out.
        estimated_ha_ci: its 95 % interval, (low, high), by a bootstrap of spatial blocks; None where every pixel of
            the map is labelled.
        estimated_ha_ci_random: the interval of the paper, for labelled pixels that are a random sample.
        boundary_iou: nan without an outline between known classes in the truth.
        surface_dice: nan without an outline between known classes in the truth.
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
    """Pixels by their distance to the nearest border between windows; 0 adjoins it.

    Attributes:
        distance_px_from: first distance.
        distance_px_to: last distance, included; None for "and all beyond".
        pixels: labelled ones.
        error_rate: share of them that is wrong; nan without any.
    """

    distance_px_from: int
    distance_px_to: int | None
    pixels: int
    error_rate: float


class WorstWindow(NamedTuple):
    """A place to look at.

    Attributes:
        rect: in pixels of the prediction.
        pixels: labelled ones in it.
        error_rate: share of them that is wrong.
        scene: which of ``Evaluation.scenes`` it lies in, from 0.
    """

    rect: Rect
    pixels: int
    error_rate: float
    scene: int = 0


@dataclass(frozen=True)
class Evaluation:
    """Everything that one prediction's comparison with the truth found.

    Attributes:
        prediction: the file or folder, as it was named.
        target: the truth, as it was named.
        classes: in the order of their indices.
        confusion: (K, K) pixels, rows truth, columns prediction. Labelled pixels without a prediction are in no
            column: ``ClassFigures.missed`` counts them.
        pixel_accuracy: share of the labelled pixels that are right.
        mean_iou: mean over the classes in the truth or in the prediction.
        averaged_over: how many classes those are.
        frequency_weighted_iou: mean of the classes' IoU, weighted by their pixels in the truth.
        kappa: Cohen's; agreement beyond that of chance.
        commonest_class_accuracy: pixel accuracy of the map that calls everything by the truth's commonest class.
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
        reliability: how far confidences can be believed; None without probabilities.
        border: errors by distance to the windows' borders; None when the windows are not known.
        seam: the error rate near those borders against that elsewhere.
        worst: windows with the most errors, worst first, over all scenes.
        scenes: names of the predicted rasters, in the order in which they were counted.
        left_out: pixels that did not count, by reason (see `landseg.labels.left_out.Reason`).
        notes: what the reader has to know: how the grids were aligned, what void was, what was left out.
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

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: the fields by their names, and null for what is nan, infinite or None."""
        found: dict[str, Any] = json_values(vars(self))
        return found


@dataclass(frozen=True)
class Difference:
    """How much a prediction is above the first, and the 95 % interval of that, by blocks drawn for both at once.

    Where 0 lies inside the interval, the truth at hand does not tell which of the two is better.
    """

    difference: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0; False where there is none."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Compared:
    """Several predictions against one truth.

    Attributes:
        evaluations: one a prediction, in the order given.
        mean_iou: for every prediction but the first.
        pixel_accuracy: the same.
        iou: the same for each class, by its name.
    """

    evaluations: tuple[Evaluation, ...]
    mean_iou: tuple[Difference, ...]
    pixel_accuracy: tuple[Difference, ...]
    iou: tuple[dict[str, Difference], ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
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
