"""Class rasters with their rasters of ids as one panoptic map each, on one grid, strip by strip."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.errors import ClassError, GridError
from landseg.evaluation.objects.rasters import count_ids, with_sizes
from landseg.evaluation.options import EvaluateOptions
from landseg.evaluation.pair import Pair, inside_of, open_pair
from landseg.evaluation.panoptic.pair import PanopticPair
from landseg.geo.grid import Grid, Rect
from landseg.geo.pieces import cut, grown, in_order
from landseg.geo.pixel_areas import PixelAreas
from landseg.geo.rasters.address import label
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.vectors.names import is_vector
from landseg.labels.id_boxes import open_ids_on, read_ids
from landseg.labels.id_rasters import refuse_ids
from landseg.labels.raster_labels import ClassLabels, RasterLabels
from landseg.labels.reader import LabelReader
from landseg.metrics.matched_outlines import UNKNOWN, MatchedOutlines
from landseg.metrics.overlaps import Flags, Floats, Ints, Overlaps
from landseg.metrics.panoptic import Panoptic
from landseg.runtime.progress import Progress
from landseg.text.amounts import counted, shorten_list

REACH = 32
"""Pixels up to which the distance of matched borders is measured."""
_BITS = 8  # of a segment's number that hold its class
_EDGE = 1024  # of the squares in which borders are looked at


class SegmentReader:
    """The segments of a class raster and its raster of ids, by numbers of both: 0 is void.

    A number is 256 times the id, 0 without one, and the class index and 1. So the pixels of a class without an id
    have one number, and an id with two classes has two.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, classes: LabelReader, ids: RasterLabels) -> None:
        self._classes, self._ids = classes, ids

    def read(self, rect: Rect) -> tuple[Ints, Flags]:
        """Return the numbers (h, w) of segments under a rectangle; all of its pixels count."""
        kinds = self._classes.read(rect).astype(np.int64)
        ids, _ = read_ids(self._ids, rect)
        return np.where(kinds == IGNORE_INDEX, 0, (ids << _BITS) + kinds + 1), np.ones(rect.shape, bool)

    def beyond(self, ids: Ints) -> Floats:
        """Return zeros (N,): a raster knows nothing of what lies beyond it."""
        return np.zeros(len(ids))

    def close(self) -> None:
        """Close the raster of ids."""
        self._ids.close()


@dataclass(frozen=True)
class _Segments:
    """The segments of one side: ids (N,), 0 for a class without any, and classes (N,)."""

    name: str
    ids: Ints
    kinds: Ints

    @classmethod
    def of(cls, name: str, numbers: Ints) -> _Segments:
        return cls(name, numbers >> _BITS, (numbers & ((1 << _BITS) - 1)) - 1)


def pair_rasters(prediction: str, target: str, ids: tuple[str, str], options: EvaluateOptions) -> PanopticPair:
    """Return the segments of two panoptic maps, each a class raster and a raster of ids, counted on one grid.

    Args:
        prediction: the class raster.
        target: that of the truth.
        ids: the rasters of ids of both.
        options: area of interest, widths and blocks.

    Raises:
        LandsegError: a raster cannot be read or lies on another grid; ids of stuff, or of two classes; things of the
            truth without ids; no truth.
    """
    if is_vector(target):
        raise ClassError(
            f"--ids compares rasters, {label(target)} is a vector file: make rasters of its classes and ids "
            "(landseg rasterize), or compare polygons with polygons"
        )
    for path in (prediction, target):
        file = RasterFile(path)
        file.close()
        refuse_ids(file)
    pair = open_pair(prediction, [target], options)
    readers: list[SegmentReader] = []
    try:
        grid, classes = pair.grid, _classes_of(pair)
        _check_grid(pair.truth, label(prediction))
        for path, reader in zip(ids[::-1], (pair.truth, pair.prediction), strict=True):
            readers.append(_open(path, reader, grid, label(prediction)))
        return _count(pair, readers[0], readers[1], classes, options)
    finally:
        for one in readers:
            one.close()
        pair.close()


def _classes_of(pair: Pair) -> ClassMap:
    classes = pair.prediction.classes
    if not classes.things:
        raise ClassError(
            f"no class of {pair.prediction.name} is one of things ({shorten_list(list(classes.names), 6)}): set "
            "thing = true for it in a class table and name that with --classes, or leave out --ids"
        )
    return classes


def _check_grid(labels: LabelReader, of: str) -> None:
    """Raise GridError if labels have other pixels than the prediction."""
    raster = labels.values if isinstance(labels, ClassLabels) else labels
    if isinstance(raster, RasterLabels) and raster.resampled:
        raise GridError(
            f"{raster.name} lies on another grid than {of}: panoptic maps are compared pixel by pixel; bring it onto "
            "that grid (gdalwarp -r near, with -te and -tr of the other)"
        )


def _open(path: str, classes: LabelReader, grid: Grid, of: str) -> SegmentReader:
    found = open_ids_on(Path(path), grid, of="the prediction")
    try:
        _check_grid(found, of)
    except BaseException:
        found.close()
        raise
    return SegmentReader(classes, found)


def _count(
    pair: Pair, true: SegmentReader, found: SegmentReader, classes: ClassMap, options: EvaluateOptions
) -> PanopticPair:
    grid = pair.grid
    width = 0 if options.boundary is None else options.boundary.pixels(grid)
    counts = count_ids(true, found, grid, pair.aoi, width=width, options=options, void=True)
    unmapped = [values.sentence() for reader in (pair.truth, pair.prediction) for values in reader.unmapped]
    if unmapped:
        raise ClassError("; ".join(unmapped))
    numbers, overlaps = counts.ids(), _in_metres(counts.overlaps(), grid)
    names = pair.truth.name, pair.prediction.name
    sides = _Segments.of(names[0], numbers[0]), _Segments.of(names[1], numbers[1])
    for one in sides[::-1]:
        _check(one, classes)
    if not len(sides[0].ids):
        raise ClassError(
            f"no labelled pixel of {names[0]} lies on {names[1]}: check the area of interest, the ignored values, "
            "and that the two belong together"
        )
    judged, kinds, kept, notes = _judged(overlaps, *sides, classes)
    block = options.block.pixels(grid)
    panoptic = Panoptic([entry.thing for entry in classes.classes], block=block)
    matches = panoptic.update(judged, *kinds)
    matches &= np.isin(kinds[0][judged.true_index], classes.things)
    pairs = numbers[0][kept[0]][judged.true_index[matches]], numbers[1][kept[1]][judged.found_index[matches]]
    return PanopticPair(
        panoptic=panoptic,
        classes=classes.names,
        unit="px" if grid.crs is None else "m2",
        block_text=f"{block} px",
        boundary_text=f"{width} px" if width else None,
        outlines=_outlines(pair, (true, found), pairs, options) if matches.any() else None,
        outline_unit="px" if grid.pixel_size_m is None else "m",
        notes=tuple(notes),
    )


def _in_metres(overlaps: Overlaps, grid: Grid) -> Overlaps:
    """Return overlaps with sizes in square metres; in pixels without a CRS."""
    areas = None if grid.crs is None else PixelAreas(grid)
    true, found = (with_sizes(one, np.zeros(len(one)), areas) for one in (overlaps.true, overlaps.found))
    return replace(overlaps, true=true, found=found)


def _check(side: _Segments, classes: ClassMap) -> None:
    """Raise ClassError if ids lie on stuff or have two classes, or if no thing has an id."""
    thing = np.isin(side.kinds, classes.things)
    own = side.ids > 0
    if (stuff := own & ~thing).any():
        first = f"{classes.names[int(side.kinds[stuff][0])]}, which is stuff"
        raise ClassError(
            f"{side.name}: {_listed(side.ids[stuff])} on pixels of {first}: expected ids on classes of things alone "
            f"({', '.join(classes.names[one] for one in classes.things)}), and 0 on all others"
        )
    ids, count = np.unique(side.ids[own], return_counts=True)
    if (twice := ids[count > 1]).size:
        kinds = [classes.names[one] for one in side.kinds[own & (side.ids == twice[0])].tolist()]
        raise ClassError(
            f"{side.name}: {_listed(twice)} on pixels of several classes ({twice[0]}: {', '.join(kinds)}): expected "
            "one class for each id"
        )
    if thing.any() and not own.any():
        bare = classes.names[int(side.kinds[thing][0])]
        raise ClassError(
            f"{side.name} has pixels of {bare}, which is a class of things, and none of them has an id: name the "
            "raster of ids that belongs to it with --ids, that of the prediction first; or leave out --ids"
        )


def _listed(ids: Ints) -> str:
    """Return ids for a sentence, with a verb."""
    some = np.unique(ids)
    return f"{'id' if len(some) == 1 else 'ids'} {shorten_list(list(map(str, some.tolist())), 5)} " + (
        "lies" if len(some) == 1 else "lie"
    )


def _judged(
    overlaps: Overlaps, true: _Segments, found: _Segments, classes: ClassMap
) -> tuple[Overlaps, tuple[Ints, Ints], tuple[Flags, Flags], list[str]]:
    """Return the overlaps of the segments that are judged, their classes, which of all they are, and notes.

    Pixels of things without an id are a crowd of the truth, and void in the prediction. A thing of the truth that
    lies by less than half in the area of interest is void; such a thing of the prediction counts only if it matches.
    """
    things = [np.isin(side.kinds, classes.things) for side in (true, found)]
    bare = [thing & (side.ids == 0) for thing, side in zip(things, (true, found), strict=True)]
    cut = things[0] & ~bare[0] & overlaps.true.ignored
    kept = ~cut, ~bare[1]
    flagged = replace(
        overlaps,
        true=replace(overlaps.true, ignored=bare[0]),
        found=replace(overlaps.found, ignored=things[1] & overlaps.found.ignored),
    )
    notes = []
    for side, flags, what in ((true, bare[0], "a crowd"), (found, bare[1], "void")):
        if flags.any():
            named = ", ".join(classes.names[one] for one in side.kinds[flags].tolist())
            px = int((overlaps.true if side is true else overlaps.found).area[flags].sum())
            notes.append(f"{side.name}: {px:,} px of things have no id ({named}) and are {what}")
    if cut.any():
        lies = counted(int(cut.sum()), "object of the truth lies", "objects of the truth lie")
        notes.append(f"{lies} by less than half in the area of interest and {'is' if cut.sum() == 1 else 'are'} void")
    return flagged.only(*kept), (true.kinds[kept[0]], found.kinds[kept[1]]), kept, notes


def _outlines(
    pair: Pair, readers: tuple[SegmentReader, SegmentReader], pairs: Sequence[Ints], options: EvaluateOptions
) -> MatchedOutlines:
    """Return the distances of the outlines of matched things, from a second pass over the strips.

    Args:
        pair: its grid and its area of interest.
        readers: of the truth and of the prediction.
        pairs: the numbers (N,) of their segments that match.
        options: the number of threads.
    """
    spacing = pair.grid.pixel_size_m or (1.0, 1.0)
    reach = REACH * min(spacing)
    total = MatchedOutlines(spacing, reach=reach)
    orders = [np.argsort(numbers) for numbers in pairs]

    def count(core: Rect) -> tuple[MatchedOutlines, int]:
        rect, part = grown(core, total.halo, pair.grid), MatchedOutlines(spacing, reach=reach)
        numbers = [reader.read(rect)[0] for reader in readers]
        known = numbers[0] > 0
        if pair.aoi is not None:
            known &= inside_of(pair.aoi, rect)
        sides = [_renumbered(one, own, order) for one, own, order in zip(numbers, pairs, orders, strict=True)]
        part.update(*(np.where(known, one, UNKNOWN) for one in sides), core=core.relative_to(rect).slices)
        return part, core.area

    region = pair.grid.rect if pair.aoi is None else pair.aoi.rect
    jobs = cut(region, _EDGE, _EDGE)  # strips much higher than the reach would be too large for wide rasters
    with ThreadPoolExecutor(options.workers) as pool, Progress(region.area, quiet=options.quiet) as progress:
        for part, pixels in in_order(pool, count, jobs, ahead=options.workers + 1):
            total.merge(part)
            progress.add(pixels)
    return total


def _renumbered(numbers: NDArray[np.int64], own: Ints, order: Ints) -> Ints:
    """Return the place of each number (h, w) in a list (N,), from 1, and 0 for one that is not in it."""
    at = np.minimum(np.searchsorted(own, numbers, sorter=order), len(own) - 1)
    place = order[at]
    return np.where(own[place] == numbers, place + 1, 0)
