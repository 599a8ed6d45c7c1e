"""Points of a prediction and of its truth: the pairs that lie within a radius, in metres of their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from landseg.errors import ClassError, GridError
from landseg.evaluation.objects.pair import ALL, common_classes
from landseg.evaluation.objects.polygons import check_crs
from landseg.evaluation.options import EvaluateOptions
from landseg.geo.crs import transformer
from landseg.geo.horizontal import same_place
from landseg.geo.metres import metres_per_unit
from landseg.geo.vectors.aoi import read_area
from landseg.geo.vectors.buffering import buffered
from landseg.labels.point_files import PointFile
from landseg.metrics.nearby import Nearby, candidates
from landseg.metrics.overlaps import Flags, Floats, Ints
from landseg.metrics.points import PointDetection
from landseg.text.amounts import counted, part_of, shorten_list

POINTS = "all points"
"""The name of the class where nothing tells classes apart."""
_BLOCK = 16  # radii that a block of the bootstrap is wide
_FAR = 1000  # radii: sides that lie farther apart are not of one place


@dataclass(frozen=True)
class PointScene:
    """The T points of the truth and the D of the prediction in one scene.

    Attributes:
        near: their pairs, in metres; in units of their coordinates where there is no CRS.
        scores: (D,) from 0 to 1; None for a prediction without scores.
        true_names: the class of each point of the truth; None where it has none.
        found_names: likewise of the prediction.
        located: whether there is a CRS.
        beyond: number of points of the truth that lie farther than the radius beyond the frame of the prediction.
        notes: sentences about the scene.
    """

    near: Nearby
    scores: Floats | None
    true_names: list[str] | None
    found_names: list[str] | None
    located: bool
    beyond: int = 0
    notes: tuple[str, ...] = ()


def pair_points(found: PointFile, true: PointFile, options: EvaluateOptions) -> PointScene:
    """Return the points of two vector files that lie inside the area of interest, brought into the truth's CRS.

    Raises:
        GridError: one of the two alone has a CRS, or they do not overlap.
    """
    check_crs(found, true)
    crs = true.crs if len(true) else found.crs
    place, notes = _moved(found, crs)
    _check_overlap(place, found, true, crs, options.radius)
    sides, area = (true.place, place), None if options.aoi is None else read_area(options.aoi, crs)
    kept = [_inside(side, area) for side in sides]
    sides = sides[0][kept[0]], sides[1][kept[1]]
    scales = [metres_per_unit(shapely.points(side), crs) for side in sides]
    edges = [_at_edge(side, area, crs, options.radius) for side in sides]
    near = _nearby(sides, scales, (edges[0], edges[1]), options.radius)
    return PointScene(
        near=near,
        scores=None if found.scores is None else found.scores[kept[1]],
        true_names=_names(true.classes, kept[0]),
        found_names=_names(found.classes, kept[1]),
        located=crs is not None,
        beyond=0 if area is not None else _beyond(near, options.radius),
        notes=(*found.notes, *true.notes, *notes),
    )


def _moved(found: PointFile, crs: object) -> tuple[Floats, list[str]]:
    """Return the places (D, 2) of a prediction in a CRS, inf where there is none, and a sentence about those."""
    if not len(found) or found.crs is None or same_place(found.crs, crs):
        return found.place, []
    place = np.stack(transformer(found.crs, crs).transform(*found.place.T), axis=1)
    lost = int((~np.isfinite(place).all(axis=1)).sum())
    if not lost:
        return place, []
    has = "has no place in the truth's CRS and is" if lost == 1 else "have no place in the truth's CRS and are"
    return place, [f"{found.name}: {part_of(lost, len(place), 'point')} {has} left out"]


def _inside(place: Floats, area: shapely.Geometry | None) -> Ints:
    """Return the numbers of the points that have a place, and lie in the area."""
    inside: Flags = np.asarray(np.isfinite(place).all(axis=1), bool)
    if area is not None:
        shapely.prepare(area)
        inside[inside] = shapely.intersects_xy(area, *place[inside].T)
    return np.flatnonzero(inside)


def _at_edge(place: Floats, area: shapely.Geometry | None, crs: object, radius: float) -> Flags:
    """Return True for points (N,) within the radius of the border of the area."""
    if area is None or not len(place):
        return np.zeros(len(place), bool)
    border = shapely.boundary(area)
    band = shapely.buffer(border, radius) if crs is None else buffered(np.array([border]), crs, radius)[0]
    shapely.prepare(band)
    return np.asarray(shapely.intersects_xy(band, *place.T), bool)


def _nearby(
    sides: tuple[Floats, Floats], scales: Sequence[Floats], edges: tuple[Flags, Flags], radius: float
) -> Nearby:
    """Return the pairs of points up to a radius in metres apart, measured with the scale halfway between them."""
    reach = radius / scales[0].min(axis=1, initial=np.inf) if len(sides[0]) else np.ones(0)
    one, other = candidates(*sides, reach * 1.01)  # scales hardly change over a radius
    middle = (scales[0][one] + scales[1][other]) / 2
    distance = np.hypot(*((sides[0][one] - sides[1][other]) * middle).T)
    near = distance <= radius
    mean = scales[0].mean(axis=0) if len(scales[0]) else np.ones(2)
    places = [(side * mean)[:, ::-1] for side in sides]
    return Nearby(places[0], places[1], *edges, one[near], other[near], distance[near])


def _check_overlap(place: Floats, found: PointFile, true: PointFile, crs: object, radius: float) -> None:
    """Raise GridError if the frames of two sides lie farther apart than scenes with few points are large."""
    place = place[np.isfinite(place).all(axis=1)]
    if not (len(place) and len(true)):
        return
    one, other = (shapely.box(*side.min(axis=0), *side.max(axis=0)) for side in (place, true.place))
    line = shapely.shortest_line(one, other)
    scale = metres_per_unit(np.array([line]), crs)[0]
    start, end = shapely.get_coordinates(line)
    if np.hypot(*((end - start) * scale)) > _FAR * radius:
        raise GridError(
            f"{found.name} and {true.name} do not overlap: expected points of one place; check their CRS, and that "
            "they belong together"
        )


def _beyond(near: Nearby, radius: float) -> int:
    """Return the number of points of the truth farther than the radius beyond the frame of the prediction."""
    true, found = near.true_place, near.found_place
    if not len(found):
        return 0
    low, high = found.min(axis=0) - radius, found.max(axis=0) + radius
    return int(((true < low) | (true > high)).any(axis=1).sum())


def _names(classes: tuple[str, ...] | None, kept: Ints) -> list[str] | None:
    return None if classes is None else [classes[index] for index in kept.tolist()]


@dataclass(frozen=True)
class PointPair:
    """Predictions of points and their truths, by class.

    Attributes:
        classes: names, by index.
        detections: the points of each class.
        scored: whether the predictions have scores, without which nothing can be ranked.
        unit: "m"; "unit" without a CRS.
        block_text: edge of the blocks of the bootstrap, for people.
        notes: sentences that a reader of the figures needs.
    """

    classes: tuple[str, ...]
    detections: tuple[PointDetection, ...]
    scored: bool
    unit: str
    block_text: str
    notes: tuple[str, ...]


def join_scenes(
    scenes: Sequence[PointScene], names: Sequence[str], options: EvaluateOptions, notes: Sequence[str] = ()
) -> PointPair:
    """Return the points of all scenes, by class.

    Args:
        scenes: one or more.
        names: of the scenes, for sentences.
        options: the radius, and the edge of a block.
        notes: sentences about all scenes.

    Raises:
        ClassError: scenes with a CRS and without, some with scores, or some with classes.
    """
    if len({one.located for one in scenes}) > 1:
        raise ClassError("some scenes have a CRS and others have none: judge them apart")
    scored = {one.scores is not None for one in scenes if len(one.near.found_place)} or {True}
    if len(scored) > 1:
        raise ClassError("some predictions have scores and others have none: judge them apart")
    true, found = (_of_all(scenes, names, side) for side in ("true", "found"))
    counts = [sum(len(getattr(one.near, f"{side}_place")) for one in scenes) for side in ("true", "found")]
    classes, of_true, of_found, said = common_classes(true, found, (counts[0], counts[1]))
    block = options.block.value if options.block.metres else _BLOCK * options.radius
    unit = "m" if scenes[0].located else "unit"
    detections = [PointDetection(block=block) for _ in classes]
    trues = founds = 0
    for number, one in enumerate(scenes):
        scores = np.ones(len(one.near.found_place)) if one.scores is None else one.scores
        ends = trues + len(one.near.true_place), founds + len(scores)
        own = of_true[trues : ends[0]], of_found[founds : ends[1]]
        for index, detection in enumerate(detections):
            near = one.near.only(own[0] == index, own[1] == index)
            detection.update(near, scores[own[1] == index], raster=number)
        trues, founds = ends
    several = len(scenes) > 1
    told = [
        f"{name}: {note}" if several else note for name, one in zip(names, scenes, strict=True) for note in one.notes
    ]
    return PointPair(
        classes=tuple(POINTS if name == ALL else name for name in classes),
        detections=tuple(detections),
        scored=scored.pop(),
        unit=unit,
        block_text=f"{block:g} {unit if unit == 'm' else 'units'}",
        notes=(*([counted(len(scenes), 'scene')] if several else []), *notes, *said, *told, *_beyond_note(scenes)),
    )


def _beyond_note(scenes: Sequence[PointScene]) -> list[str]:
    """Return a sentence about truth beyond the frame of the prediction, which counts as missed."""
    outside, whole = sum(one.beyond for one in scenes), sum(len(one.near.true_place) for one in scenes)
    if not outside:
        return []
    one, many = "lies beyond all that is predicted and counts", "lie beyond all that is predicted and count"
    lies = one if outside == 1 else many
    return [f"{part_of(outside, whole, 'point')} of the truth {lies} as missed; name the part that counts: --aoi"]


def _of_all(scenes: Sequence[PointScene], names: Sequence[str], side: str) -> list[str] | None:
    """Return the classes of one side of all scenes, or None where it has none."""
    there = [
        (name, getattr(one, f"{side}_names"))
        for name, one in zip(names, scenes, strict=True)
        if len(getattr(one.near, f"{side}_place"))
    ]
    bare = [name for name, own in there if own is None]
    if bare and len(bare) < len(there):
        which = "truth" if side == "true" else "prediction"
        raise ClassError(
            f"the {which} of {shorten_list(bare)} has no classes and others have: judge them apart, or add the column"
        )
    return None if bare or not there else [name for _, own in there for name in own]
