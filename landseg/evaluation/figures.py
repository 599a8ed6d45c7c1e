"""From the counts of an evaluation to its figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from landseg.evaluation.counts import EvaluationCounts
from landseg.evaluation.pair import LabelOptions, Pair
from landseg.evaluation.result import BorderBin, ClassFigures, Evaluation, WorstWindow
from landseg.geo.distance import Distance, row_spacings
from landseg.geo.grid import Grid, Rect
from landseg.geo.pixel_areas import PixelAreas
from landseg.geo.rasters.address import file_names
from landseg.geo.vectors.aoi import area_text
from landseg.labels.pairing import scene_names
from landseg.metrics import figures
from landseg.metrics.area import AreaEstimate, area_shares
from landseg.metrics.bootstrap import intervals
from landseg.metrics.boundary import BoundaryIoU
from landseg.metrics.surface import SurfaceDice, SurfaceDiceByRows
from landseg.text import amounts
from landseg.text.options import refuse_unknown

HEADLINES: dict[str, Callable[..., Any]] = {
    "pixel_accuracy": figures.pixel_accuracy,
    "mean_iou": figures.mean_iou,
    "frequency_weighted_iou": figures.frequency_weighted_iou,
    "kappa": figures.kappa,
}
_FEWEST = 100  # labelled pixels that a window needs to be among the worst, or a quarter of a very small one
_WORST = 12
_NEAR = 4  # pixels from a border between windows within which a seam would show
_FEW, _BLOCK = Distance(3), Distance(256)


@dataclass(frozen=True)
class EvaluateOptions:
    """How to evaluate.

    Attributes:
        naming: classes, ignored values, the area that counts.
        probs: the probability raster of the same run, for calibration and the report's map; for several predictions
            a folder, or several, named as the predictions are.
        boundary: width of the bands of the boundary IoU; None leaves it out.
        tolerance: of the surface Dice; None leaves it out.
        block: edge of the blocks of the bootstrap.
        samples: of the bootstrap; 0 leaves the intervals out.
        seed: of the bootstrap.
        workers: threads.
    """

    naming: LabelOptions = field(default_factory=LabelOptions)
    probs: str | Sequence[str] | None = None
    boundary: Distance | None = _FEW
    tolerance: Distance | None = _FEW
    block: Distance = _BLOCK
    samples: int = 1000
    seed: int = 0
    workers: int = 2

    def with_options(self, given: Mapping[str, Any]) -> EvaluateOptions:
        """Return these options with some, by the command's names for them, in place of theirs.

        Texts and numbers are taken as on the command line: "3px", "2m" or "none" for a distance, four numbers for an
        area, one ignored value or several.

        Raises:
            LandsegError: an unknown name, or a distance that means nothing.
        """
        refuse_unknown(given, OPTIONS, of="an evaluation")
        values = {_FIELDS.get(name, name): _VALUES.get(name, _same)(value) for name, value in given.items()}
        naming = {name: values.pop(name) for name in _NAMING if name in values}
        return replace(self, naming=replace(self.naming, **naming), **values)


_FIELDS = {"buffer": "buffer_m"}  # that are called otherwise on the command line
_NAMING = tuple(one.name for one in fields(LabelOptions))
OPTIONS = tuple(sorted({"buffer", *_NAMING, *(one.name for one in fields(EvaluateOptions))} - {"buffer_m", "naming"}))
"""Names that `EvaluateOptions.with_options` takes."""


def _same(value: Any) -> Any:
    return value


def _distance(value: Any) -> Distance | None:
    return None if value is None or value == "none" else Distance.of(value)


_VALUES: dict[str, Callable[[Any], Any]] = {
    "boundary": _distance,
    "tolerance": _distance,
    "block": _distance,
    "ignore": lambda value: (value,) if isinstance(value, int) else tuple(value or ()),
    "classes": lambda value: None if value is None else Path(value),
    "aoi": lambda value: None if value is None else str(area_text(value)),
    "probs": lambda value: None if value is None else file_names(value),
}


def build_evaluation(
    pairs: Sequence[Pair], counted: EvaluationCounts, options: EvaluateOptions, *, names: tuple[str, str]
) -> Evaluation:
    """Read all figures off the counts."""
    table = counted.blocks.table()
    classes = pairs[0].prediction.classes
    best = int(figures.commonest_class(table))
    measured = counted.measures
    metres = common_metres(pairs)
    width = None if measured.distance is None else options.boundary
    distance = None if width is None else width.pixels(pairs[0].grid)
    rows, hectares = _class_figures(pairs, counted, options), _hectares(pairs, counted)
    found = Evaluation(
        prediction=names[0],
        target=names[1],
        classes=tuple(rows),
        confusion=table[:, :-1],
        pixel_accuracy=float(figures.pixel_accuracy(table)),
        mean_iou=float(figures.mean_iou(table)),
        frequency_weighted_iou=float(figures.frequency_weighted_iou(table)),
        kappa=float(figures.kappa(table)),
        averaged_over=int(figures.averaged_over(table)),
        commonest_class_accuracy=float(figures.commonest_class_accuracy(table)),
        commonest_class=classes.names[best],
        pixel_ha=None if hectares is None else hectares.pixel,
        confusion_ha=hectares.table if hectares is not None and counted.measures.areas else None,
        intervals=_intervals(counted, options),
        boundary_distance_px=distance,
        boundary_distance_m=None if distance is None or metres is None else distance * metres,
        mean_boundary_iou=None if (bands := _judged(counted.boundary)) is None else bands.mean(),
        surface_tolerance_px=None if measured.tolerance is None else measured.tolerance / (metres or 1.0),
        surface_tolerance_m=measured.tolerance if metres is not None else None,
        mean_surface_dice=None if (outlines := _judged(counted.surface)) is None else outlines.mean(),
        reliability=None if counted.calibration is None else counted.calibration.compute(),
        border=_border(counted),
        seam=None if counted.border is None else counted.border.seam(_NEAR, count=options.samples, seed=options.seed),
        worst=_worst(counted, [pair.grid for pair in pairs]),
        scenes=scene_names([pair.prediction.paths[0] for pair in pairs]),
        left_out=counted.left_out.to_json(),
    )
    return replace(found, notes=tuple(_notes(pairs, counted, options)))


def _class_figures(pairs: Sequence[Pair], counted: EvaluationCounts, options: EvaluateOptions) -> list[ClassFigures]:
    table, classes = counted.blocks.table(), pairs[0].prediction.classes
    estimate, hectares = counted.area(), _hectares(pairs, counted)
    unit = None if hectares is None else hectares.unit
    areas = None if unit is None else estimate.areas(unit)
    random = None if unit is None or estimate.census else estimate.area_intervals(unit)
    spread = None if unit is None else _area_intervals(counted, estimate, options, unit=unit)
    by_name = {
        "iou": figures.iou(table),
        "precision": figures.precision(table),
        "recall": figures.recall(table),
        "f1": figures.f1(table),
    }
    ends = (
        intervals(counted.blocks, {"iou": figures.iou}, count=options.samples, seed=options.seed)
        if options.samples
        else {}
    )
    bands, outlines = _judged(counted.boundary), _judged(counted.surface)
    boundary = None if bands is None else bands.compute()
    surface = None if outlines is None else outlines.compute()
    rows = []
    for index, entry in enumerate(classes.classes):
        rows.append(
            ClassFigures(
                value=entry.value,
                name=entry.name,
                color=entry.color,
                **{name: float(values[index]) for name, values in by_name.items()},
                pixels=int(table[index].sum()),
                predicted=int(table[:, index].sum()),
                missed=int(table[index, -1]),
                area_ha=None if hectares is None else float(hectares.labelled[index]),
                mapped_ha=None if hectares is None else float(hectares.mapped[index]),
                estimated_ha=None if areas is None else float(areas[index]),
                estimated_ha_ci=None if spread is None else (float(spread[0, index]), float(spread[1, index])),
                estimated_ha_ci_random=None if random is None else (float(random[index, 0]), float(random[index, 1])),
                boundary_iou=None if boundary is None else float(boundary[index]),
                surface_dice=None if surface is None else float(surface[index]),
                iou_ci=(float(ends["iou"][0, index]), float(ends["iou"][1, index])) if ends else None,
            )
        )
    return rows


def _area_intervals(
    counted: EvaluationCounts, estimate: AreaEstimate, options: EvaluateOptions, *, unit: float
) -> NDArray[np.float64] | None:
    """Return the 95 % intervals (2, K) of the estimated areas by the bootstrap of blocks; None: there is none.

    Blocks hold numbers of pixels. Where pixels differ in size, intervals are in the proportion in which the estimate
    by areas is to the one by numbers.
    """
    if estimate.census or not options.samples:
        return None
    areas, mapped = estimate.areas(unit), counted.mapped_sizes()
    every = areas.sum()
    drawn: NDArray[np.float64] = intervals(
        counted.blocks,
        {"area": lambda matrices: area_shares(matrices, mapped) * every},
        count=options.samples,
        seed=options.seed,
    )["area"]
    if not counted.measures.areas:
        return drawn
    plain = area_shares(counted.blocks.table(), mapped) * every
    return np.asarray(drawn * np.divide(areas, plain, out=np.ones_like(areas), where=plain > 0))


def _border(counted: EvaluationCounts) -> tuple[BorderBin, ...] | None:
    """Distances 0, 1, 2-3, 4-7 ... and all beyond."""
    if counted.border is None:
        return None
    counts = counted.border.compute()
    edges = [0, 1, 2, 4, 8, 16, 32, 64]
    bins = []
    for first, end in zip(edges, [*edges[1:], None], strict=True):
        pixels, errors = counts[first:end].sum(0).tolist()
        last = None if end is None else end - 1
        bins.append(BorderBin(first, last, pixels, errors / pixels if pixels else math.nan))
    return tuple(bins)


def _intervals(counted: EvaluationCounts, options: EvaluateOptions) -> dict[str, tuple[float, float]]:
    if not options.samples:
        return {}
    found = intervals(counted.blocks, HEADLINES, count=options.samples, seed=options.seed)
    return {name: (float(ends[0]), float(ends[1])) for name, ends in found.items()}


def _worst(counted: EvaluationCounts, grids: Sequence[Grid]) -> tuple[WorstWindow, ...]:
    """Return the squares of any scene with the largest share of errors, of those with enough labelled pixels."""
    edge, rows = counted.blocks.edge, []
    for (scene, row, column), table in counted.blocks.tiles.sums.items():
        pixels = int(table.sum())
        errors = pixels - int(np.trace(table[:, :-1]))
        rect = Rect(row * edge, column * edge, edge, edge).intersection(grids[scene].rect)
        if rect is not None and errors and pixels >= min(_FEWEST, rect.area / 4):
            rows.append(WorstWindow(rect, int(pixels), float(errors / pixels), int(scene)))
    rows.sort(key=lambda one: (-one.error_rate, one.scene, one.rect.top, one.rect.left))
    return tuple(rows[:_WORST])


def _notes(pairs: Sequence[Pair], counted: EvaluationCounts, options: EvaluateOptions) -> list[str]:
    """What has to be known to read the figures."""
    notes = list(dict.fromkeys(pair.truth.note for pair in pairs))[:8]
    if (left_out := counted.left_out.line()) is not None:
        notes.append(left_out)
    missed = int(counted.blocks.table()[:, -1].sum())
    if missed:
        without = "no prediction" if not options.naming.ignore else "no prediction, or an ignored one"
        many = amounts.counted(missed, "labelled pixel has", "labelled pixels have")
        notes.append(f"{many} {without} and {'counts as an error' if missed == 1 else 'count as errors'}")
    if counted.unjudged:
        many = amounts.counted(counted.unjudged, "labelled pixel has", "labelled pixels have")
        notes.append(f"{many} no probabilities; the calibration error is that of the others")
    notes += _outline_notes(pairs, counted)
    if options.samples:
        blocks, edge = len(counted.blocks), counted.blocks.edge
        few = "; with so few take the intervals for a hint" if blocks < 30 else ""
        notes.append(
            f"95 % intervals by a bootstrap of {amounts.counted(blocks, 'block')} of {edge} x {edge} px{few}"
        )
    sizes = [pair.grid.resolution_m for pair in pairs]
    if common_metres(pairs) is None and None not in sizes:
        notes.append("scenes have pixels of different sizes, so no areas are given")
    if counted.measures.areas:
        notes.append("pixels differ in size: areas are summed pixel by pixel, on the ellipsoid")
    if counted.measures.bands and counted.measures.tolerance is not None:
        notes.append("the surface Dice takes the distance between pixels from the latitude of each band of rows")
    asked = options.boundary
    if counted.measures.distance is not None and asked is not None and asked.metres and row_spacings(pairs[0].grid):
        notes.append("the width of the boundary bands in pixels is that at the raster's centre")
    return notes


def _outline_notes(pairs: Sequence[Pair], counted: EvaluationCounts) -> list[str]:
    """Say which outlines are not judged: those of all classes, or of which ones."""
    measures = [measure for measure in (counted.boundary, counted.surface) if measure is not None]
    if any(not measure.judged for measure in measures):
        return ["outlines are not judged: nowhere in the truth do two classes meet"]
    if not measures:
        return []
    labelled = counted.blocks.table().sum(1) > 0
    found = np.any([np.asarray(measure.true, bool) for measure in measures], axis=0)
    names = [name for name, bare in zip(pairs[0].prediction.classes.names, labelled & ~found, strict=True) if bare]
    if not names:
        return []
    return [f"outlines of {', '.join(names)} are not judged: nowhere in the truth do they meet another class"]


@dataclass(frozen=True)
class _Hectares:
    """What pixels cover.

    Attributes:
        table: (K, K + 1) hectares by truth and map, the last column without a prediction.
        labelled: (K,) hectares of each class by the truth.
        mapped: (K,) hectares that the map gives each class.
        pixel: hectares of a pixel; of the mean one where they differ.
        unit: hectares of what `AreaEstimate` counts in.
    """

    table: NDArray[np.float64]
    labelled: NDArray[np.float64]
    mapped: NDArray[np.float64]
    pixel: float
    unit: float


def _hectares(pairs: Sequence[Pair], counted: EvaluationCounts) -> _Hectares | None:
    """The areas that were counted; None where scenes have pixels of different sizes, or of none that is known."""
    metres, table = common_metres(pairs), counted.blocks.table().astype(np.float64)
    if metres is None:
        return None
    pixel = PixelAreas(pairs[0].grid).pixel / 10_000
    if not counted.measures.areas:
        labelled, mapped = np.asarray(table.sum(1) * pixel), np.asarray(counted.mapped() * pixel, np.float64)
        return _Hectares(table * pixel, labelled, mapped, pixel, pixel)
    unit = counted.measures.area_unit / 10_000
    areas = counted.area_table.astype(np.float64) * unit
    mapped = areas[:, :-1].sum(0) + counted.area_unlabelled.astype(np.float64) * unit
    mean = float(areas.sum() / table.sum()) if table.any() else pixel
    return _Hectares(areas, np.asarray(areas.sum(1)), mapped, mean, 1 / 10_000)


def common_metres(pairs: Sequence[Pair]) -> float | None:
    """The size of a pixel that all scenes share, to a hundredth; None where they do not, or where one has none."""
    sizes = [size for pair in pairs if (size := pair.grid.resolution_m) is not None]
    return sizes[0] if len(sizes) == len(pairs) and max(sizes) <= 1.01 * min(sizes) else None


Outlines = TypeVar("Outlines", bound=BoundaryIoU | SurfaceDice | SurfaceDiceByRows)


def _judged(measure: Outlines | None) -> Outlines | None:
    """A measure of outlines, unless the truth has none: samples with nothing known around them."""
    return measure if measure is not None and measure.judged else None
