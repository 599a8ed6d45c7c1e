"""A small evaluation and its layers, for tests of the report."""

from typing import Any

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from landseg.evaluation.result import BorderBin, ClassFigures, Evaluation, WorstWindow
from landseg.geo.grid import Grid, Rect
from landseg.metrics.calibration import Reliability, ReliabilityBin
from landseg.metrics.seam import Seam
from landseg.report.html.map_layers import MapLayers, Picture

NAN = float("nan")
COLORS = ((200, 40, 40), (40, 120, 200), (90, 90, 90))
WORST = Rect(16, 32, 32, 32)


def make_evaluation(names: tuple[str, str, str] = ("roof", "water", "road"), **changes: Any) -> Evaluation:
    """Three classes, the last of which is nowhere; every part of a report is there."""
    iou, pixels = (0.75, 0.4, NAN), (600, 300, 0)
    classes = tuple(
        ClassFigures(
            value=index + 1,
            name=name,
            color=COLORS[index],
            iou=iou[index],
            precision=0.8,
            recall=0.9,
            f1=0.85,
            pixels=pixels[index],
            predicted=500,
            mapped_ha=1.5,
            estimated_ha=1.4,
            estimated_ha_ci=(1.2, 1.6),
            boundary_iou=0.3,
            iou_ci=(0.7, 0.8) if index == 0 else None,
            missed=7 if index == 0 else 0,
        )
        for index, name in enumerate(names)
    )
    given: dict[str, Any] = {
        "prediction": "maps/town.tif",
        "target": "truth.tif",
        "classes": classes,
        "confusion": np.array([[500, 93, 0], [100, 200, 0], [0, 0, 0]]),
        "pixel_accuracy": 0.778,
        "mean_iou": 0.575,
        "averaged_over": 2,
        "frequency_weighted_iou": 0.63,
        "kappa": 0.5,
        "commonest_class_accuracy": 0.667,
        "commonest_class": names[0],
        "pixel_ha": 0.0025,
        "intervals": {"mean_iou": (0.5, 0.61)},
        "boundary_distance_px": 3,
        "mean_boundary_iou": 0.3,
        "reliability": Reliability(
            (ReliabilityBin(0.0, 0.5, 0, NAN, NAN), ReliabilityBin(0.5, 1.0, 900, 0.8, 0.7)), 0.1
        ),
        "border": (BorderBin(0, 7, 100, 0.25), BorderBin(8, None, 800, 0.2)),
        "seam": Seam(0.25, 0.2, 1.25, 1.05, 1.4, 8),
        "worst": (WorstWindow(WORST, 1024, 0.5),),
        "notes": ("Truth and prediction lie on one grid.",),
    }
    return Evaluation(**(given | changes))


def make_picture(rect: Rect, seed: int = 0) -> Picture:
    """Random layers over a rectangle, pixel by pixel."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, rect.shape, dtype=np.uint8)
    truth[0, :2] = 255
    image = rng.integers(0, 255, (*rect.shape, 3), dtype=np.uint8)
    confidence = rng.random(rect.shape, dtype=np.float32)
    confidence[0, 0] = np.nan
    return Picture(rect, image, truth, np.roll(truth, 1, axis=1), confidence)


def make_scenes() -> tuple[Evaluation, list[MapLayers]]:
    """Two scenes of different sizes, the second twice as coarse; the third worst window lies in the first."""
    coarse = Grid(CRS.from_epsg(32633), Affine(1, 0, 600_000, 0, -1, 5_500_000), 60, 200)
    places = ((1, Rect(150, 10, 32, 32)), (1, Rect(0, 0, 32, 32)), (0, WORST))
    worst = tuple(WorstWindow(rect, 1024, 0.5 - 0.1 * n, scene) for n, (scene, rect) in enumerate(places))
    second = MapLayers(coarse, make_picture(coarse.rect, 2), tuple(make_picture(r, 3) for s, r in places if s), 1)
    return make_evaluation(scenes=("town.tif", "<b>village & co.tif"), worst=worst), [make_layers(), second]


def make_layers() -> MapLayers:
    """A map of 96 x 128 pixels of half a metre, and one worst window."""
    grid = Grid(CRS.from_epsg(32633), Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000), 128, 96)
    return MapLayers(grid, make_picture(grid.rect), (make_picture(WORST, 1),))
