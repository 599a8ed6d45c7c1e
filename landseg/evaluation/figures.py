"""The figures of an evaluation, made from its counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from landseg.evaluation.counts import EvaluationCounts
from landseg.evaluation.options import EvaluateOptions
from landseg.evaluation.pair import Pair
from landseg.evaluation.result import BorderBin, ClassFigures, Evaluation, WorstWindow
from landseg.geo.distance import row_spacings
from landseg.geo.grid import Grid, Rect
from landseg.geo.pixel_areas import PixelAreas
from landseg.labels.pairing import scene_names
from landseg.metrics import figures
from landseg.metrics.area import AreaEstimate, area_shares
from landseg.metrics.bootstrap import intervals
from landseg.metrics.boundary import BoundaryIoU
from landseg.metrics.surface import SurfaceDice, SurfaceDiceByRows
from landseg.text import amounts

HEADLINES: dict[str, Callable[..., Any]] = {
    "pixel_accuracy": figures.pixel_accuracy,
    "mean_iou": figures.mean_iou,
    "frequency_weighted_iou": figures.frequency_weighted_iou,
    "kappa": figures.kappa,
}
_FEWEST = 100  # labelled pixels that a window needs to be among the worst, or a quarter of a very small one
_WORST = 12
_NEAR = 4  # pixels from a border between windows within which a seam would show


def build_evaluation(
    pairs: Sequence[Pair], counts: EvaluationCounts, options: EvaluateOptions, *, names: tuple[str, str]
) -> Evaluation:
    """Return the figures of an evaluation, read off the counts."""
    table = counts.blocks.table()
    classes = pairs[0].prediction.classes
    best = int(figures.commonest_class(table))
    measured = counts.measures
    metres = common_metres(pairs)
    width = None if measured.distance is None else options.boundary
    distance = None if width is None else width.pixels(pairs[0].grid)
    rows, hectares = _class_figures(pairs, counts, options), _hectares(pairs, counts)
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
        confusion_ha=hectares.table if hectares is not None and counts.measures.areas else None,
        intervals=_intervals(counts, options),
        boundary_distance_px=distance,
        boundary_distance_m=None if distance is None or metres is None else distance * metres,
        mean_boundary_iou=None if (bands := _with_outlines(counts.boundary)) is None else bands.mean(),
        surface_tolerance_px=None if measured.tolerance is None else measured.tolerance / (metres or 1.0),
        surface_tolerance_m=measured.tolerance if metres is not None else None,
        mean_surface_dice=None if (outlines := _with_outlines(counts.surface)) is None else outlines.mean(),
        reliability=None if counts.calibration is None else counts.calibration.compute(),
        border=_border(counts),
        seam=None if counts.border is None else counts.border.seam(_NEAR, count=options.samples, seed=options.seed),
        worst=_worst(counts, [pair.grid for pair in pairs]),
        scenes=scene_names([pair.prediction.paths[0] for pair in pairs]),
        left_out=counts.left_out.to_json(),
    )
    return replace(found, notes=tuple(_notes(pairs, counts, options)))


def _class_figures(pairs: Sequence[Pair], counts: EvaluationCounts, options: EvaluateOptions) -> list[ClassFigures]:
    table, classes = counts.blocks.table(), pairs[0].prediction.classes
    estimate, hectares = counts.area(), _hectares(pairs, counts)
    unit = None if hectares is None else hectares.unit
    areas = None if unit is None else estimate.areas(unit)
    random = None if unit is None or estimate.census else estimate.area_intervals(unit)
    spread = None if unit is None else _area_intervals(counts, estimate, options, unit=unit)
    by_name = {
        "iou": figures.iou(table),
        "precision": figures.precision(table),
        "recall": figures.recall(table),
        "f1": figures.f1(table),
    }
    ends = (
        intervals(counts.blocks, {"iou": figures.iou}, count=options.samples, seed=options.seed)
        if options.samples
        else {}
    )
    bands, outlines = _with_outlines(counts.boundary), _with_outlines(counts.surface)
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
    counts: EvaluationCounts, estimate: AreaEstimate, options: EvaluateOptions, *, unit: float
) -> NDArray[np.float64] | None:
    """Return the 95 % intervals (2, K) of the estimated areas by the bootstrap of blocks; None: there is none.

    Blocks hold numbers of pixels. Where pixels differ in size, intervals are in the proportion in which the estimate
    by areas is to the one by numbers.
    """
    if estimate.census or not options.samples:
        return None
    areas, mapped = estimate.areas(unit), counts.mapped_sizes()
    every = areas.sum()
    drawn: NDArray[np.float64] = intervals(
        counts.blocks,
        {"area": lambda matrices: area_shares(matrices, mapped) * every},
        count=options.samples,
        seed=options.seed,
    )["area"]
    if not counts.measures.areas:
        return drawn
    plain = area_shares(counts.blocks.table(), mapped) * every
    return np.asarray(drawn * np.divide(areas, plain, out=np.ones_like(areas), where=plain > 0))


def _border(counts: EvaluationCounts) -> tuple[BorderBin, ...] | None:
    """Return the error rates at distances 0, 1, 2-3, 4-7 ... and beyond; None where borders are not recorded."""
    if counts.border is None:
        return None
    table = counts.border.compute()
    edges = [0, 1, 2, 4, 8, 16, 32, 64]
    bins = []
    for first, end in zip(edges, [*edges[1:], None], strict=True):
        pixels, errors = table[first:end].sum(0).tolist()
        last = None if end is None else end - 1
        bins.append(BorderBin(first, last, pixels, errors / pixels if pixels else math.nan))
    return tuple(bins)


def _intervals(counts: EvaluationCounts, options: EvaluateOptions) -> dict[str, tuple[float, float]]:
    if not options.samples:
        return {}
    found = intervals(counts.blocks, HEADLINES, count=options.samples, seed=options.seed)
    return {name: (float(ends[0]), float(ends[1])) for name, ends in found.items()}


def _worst(counts: EvaluationCounts, grids: Sequence[Grid]) -> tuple[WorstWindow, ...]:
    """Return the squares of any scene with the largest share of errors, of those with enough labelled pixels."""
    edge, rows = counts.blocks.edge, []
    for (scene, row, column), table in counts.blocks.tiles.sums.items():
        pixels = int(table.sum())
        errors = pixels - int(np.trace(table[:, :-1]))
        rect = Rect(row * edge, column * edge, edge, edge).intersection(grids[scene].rect)
        if rect is not None and errors and pixels >= min(_FEWEST, rect.area / 4):
            rows.append(WorstWindow(rect, int(pixels), float(errors / pixels), int(scene)))
    rows.sort(key=lambda one: (-one.error_rate, one.scene, one.rect.top, one.rect.left))
    return tuple(rows[:_WORST])


def _notes(pairs: Sequence[Pair], counts: EvaluationCounts, options: EvaluateOptions) -> list[str]:
    """Return the sentences that a reader of the figures needs."""
    notes = list(dict.fromkeys(pair.truth.note for pair in pairs))[:8]
    if (left_out := counts.left_out.line()) is not None:
        notes.append(left_out)
    missed = int(counts.blocks.table()[:, -1].sum())
    if missed:
        without = "no prediction" if not options.ignore else "no prediction, or an ignored one"
        many = amounts.counted(missed, "labelled pixel has", "labelled pixels have")
        notes.append(f"{many} {without} and {'counts as an error' if missed == 1 else 'count as errors'}")
    if counts.unjudged:
        many = amounts.counted(counts.unjudged, "labelled pixel has", "labelled pixels have")
        notes.append(f"{many} no probabilities; the calibration error is that of the others")
    notes += _outline_notes(pairs, counts)
    if options.samples:
        blocks, edge = len(counts.blocks), counts.blocks.edge
        few = "; with so few take the intervals for a hint" if blocks < 30 else ""
        notes.append(
            f"95 % intervals by a bootstrap of {amounts.counted(blocks, 'block')} of {edge} x {edge} px{few}"
        )
    sizes = [pair.grid.resolution_m for pair in pairs]
    if common_metres(pairs) is None and None not in sizes:
        notes.append("scenes have pixels of different sizes, so no areas are given")
    if counts.measures.areas:
        notes.append("pixels differ in size: areas are summed pixel by pixel, on the ellipsoid")
    if counts.measures.bands and counts.measures.tolerance is not None:
        notes.append("the surface Dice takes the distance between pixels from the latitude of each band of rows")
    width = options.boundary
    if counts.measures.distance is not None and width is not None and width.metres and row_spacings(pairs[0].grid):
        notes.append("the width of the boundary bands in pixels is that at the raster's centre")
    return notes


def _outline_notes(pairs: Sequence[Pair], counts: EvaluationCounts) -> list[str]:
    """Return a sentence about outlines that are not measured: those of all classes, or of the ones it names."""
    measures = [measure for measure in (counts.boundary, counts.surface) if measure is not None]
    if any(not measure.has_outline for measure in measures):
        return ["outlines are not judged: nowhere in the truth do two classes meet"]
    if not measures:
        return []
    labelled = counts.blocks.table().sum(1) > 0
    found = np.any([np.asarray(measure.true, bool) for measure in measures], axis=0)
    names = [name for name, bare in zip(pairs[0].prediction.classes.names, labelled & ~found, strict=True) if bare]
    if not names:
        return []
    return [f"outlines of {', '.join(names)} are not judged: nowhere in the truth do they meet another class"]


@dataclass(frozen=True)
class _Hectares:
    """The areas of pixels.

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


def _hectares(pairs: Sequence[Pair], counts: EvaluationCounts) -> _Hectares | None:
    """Return the areas in hectares; None where scenes have pixels of different sizes, or without a CRS."""
    metres, table = common_metres(pairs), counts.blocks.table().astype(np.float64)
    if metres is None:
        return None
    pixel = PixelAreas(pairs[0].grid).pixel / 10_000
    if not counts.measures.areas:
        labelled, mapped = np.asarray(table.sum(1) * pixel), np.asarray(counts.mapped() * pixel, np.float64)
        return _Hectares(table * pixel, labelled, mapped, pixel, pixel)
    unit = counts.measures.area_unit / 10_000
    areas = counts.area_table.astype(np.float64) * unit
    mapped = areas[:, :-1].sum(0) + counts.area_unlabelled.astype(np.float64) * unit
    mean = float(areas.sum() / table.sum()) if table.any() else pixel
    return _Hectares(areas, np.asarray(areas.sum(1)), mapped, mean, 1 / 10_000)


def common_metres(pairs: Sequence[Pair]) -> float | None:
    """Return the metres of a pixel in all scenes, to a hundredth; None where they differ, or without a CRS."""
    sizes = [size for pair in pairs if (size := pair.grid.resolution_m) is not None]
    return sizes[0] if len(sizes) == len(pairs) and max(sizes) <= 1.01 * min(sizes) else None


Outlines = TypeVar("Outlines", bound=BoundaryIoU | SurfaceDice | SurfaceDiceByRows)


def _with_outlines(measure: Outlines | None) -> Outlines | None:
    """Return a measure of outlines; None where the truth has no outline, as around single labelled pixels."""
    return measure if measure is not None and measure.has_outline else None
