"""A prediction and its truth, opened on one grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.errors import ClassError, GridError, LandsegError
from landseg.evaluation.counts import EvaluationCounts, Labels, MeasureOptions
from landseg.evaluation.options import TruthOptions
from landseg.geo.grid import Grid, Rect
from landseg.geo.pieces import grown, in_order, strips
from landseg.geo.rasters.address import label
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.vectors.aoi import Aoi, read_aoi
from landseg.geo.vectors.names import is_vector
from landseg.labels.burnt_polygons import open_polygons
from landseg.labels.label_colors import colors_of
from landseg.labels.left_out import LeftOut, parts_of
from landseg.labels.legend import read_class_table, read_legend
from landseg.labels.numbering import table_for
from landseg.labels.probabilities import ProbsFile
from landseg.labels.raster_labels import ClassLabels, open_labels
from landseg.labels.reader import LabelReader

OnStrip = Callable[[int, Rect, Labels, Labels], None]


@dataclass(frozen=True)
class Pair:
    """A predicted raster, and the truth on its grid.

    Attributes:
        grid: of the prediction.
        prediction: class indices; IGNORE_INDEX where nothing is predicted.
        truth: class indices; IGNORE_INDEX where the truth is void.
        aoi: the part that counts; None: all of it.
        probs: of the same run, on the same grid, or None.
        tags: of the prediction.
        bands: positions in ``probs`` of the classes in their order, then of classes that are ignored.
    """

    grid: Grid
    prediction: ClassLabels
    truth: LabelReader
    aoi: Aoi | None = None
    probs: ProbsFile | None = None
    tags: dict[str, str] = field(default_factory=dict)
    bands: tuple[int, ...] = ()

    def read(self, rect: Rect) -> tuple[Labels, Labels]:
        """Return class indices (h, w) of truth and prediction, IGNORE_INDEX outside the area of interest."""
        truth, predicted, _ = self.read_counted(rect, rect)
        return truth, predicted

    def read_counted(self, rect: Rect, core: Rect) -> tuple[Labels, Labels, LeftOut]:
        """Return truth and prediction as `read` does, and the pixels of ``core`` that do not count, by reason."""
        truth, why = self.truth.read_reasons(rect, core=core)
        predicted, _ = self.prediction.read_reasons(rect, core=core)
        inside = None if self.aoi is None else inside_of(self.aoi, rect)
        left_out = LeftOut()
        left_out.add_masks(parts_of(why, core.relative_to(rect).slices, inside))
        if inside is not None:
            truth[~inside] = predicted[~inside] = IGNORE_INDEX
        return truth, predicted, left_out

    def read_probs(self, rect: Rect) -> NDArray[np.float64] | None:
        """Return probabilities (bands, h, w) in the order of ``bands``, nan where there are none; None without any.

        Raises:
            BandError: what is stored is no probabilities.
        """
        if self.probs is None:
            return None
        probs, valid = self.probs.read_normalized(rect)
        probs = probs[list(self.bands)]
        probs[:, ~valid] = np.nan
        return probs

    def read_confidence(self, rect: Rect) -> NDArray[np.float32]:
        """Return the largest probability (h, w), nan where there is none and outside the area of interest."""
        probs = self.read_probs(rect)
        if probs is None:
            return np.full(rect.shape, np.nan, np.float32)
        largest: NDArray[np.float32] = probs.max(0).astype(np.float32)
        if (outside := self._outside(rect)) is not None:
            largest[outside] = np.nan
        return largest

    def _outside(self, rect: Rect) -> NDArray[np.bool_] | None:
        """Return True (h, w) outside the area of interest; None where everything counts."""
        return None if self.aoi is None else ~inside_of(self.aoi, rect)

    def close(self) -> None:
        """Close every file."""
        self.prediction.close()
        self.truth.close()
        if self.probs is not None:
            self.probs.close()


def inside_of(aoi: Aoi, rect: Rect) -> NDArray[np.bool_]:
    """Return True (h, w) at the pixels of a rectangle that lie inside an area of interest."""
    found = np.zeros(rect.shape, bool)
    if (shared := rect.intersection(aoi.rect)) is not None:
        found[shared.relative_to(rect).slices] = True
    inside = aoi.inside(rect)
    return found if inside is None else found & inside


def open_pair(prediction: str, target: Sequence[str], options: TruthOptions, *, probs: str | None = None) -> Pair:
    """Return a class raster and the truth on its grid, opened.

    Raises:
        LandsegError: a file that cannot be opened, is no class raster, lies elsewhere, or is swapped with the other.
    """
    file = RasterFile(prediction)
    try:
        grid, tags = file.info.grid, file.info.tags
        refuse_swapped(tags, target)
        named = class_table(file, target, options)
        classes = named.ignoring(options.ignore)
    finally:
        file.close()
    opened: list[Any] = []
    try:
        own = ClassLabels(open_labels(prediction, grid, table=named, truth=False), classes)
        opened.append(own)
        truth = open_truth(target, classes, options, grid, named=named)
        opened.append(truth)
        aoi = None if options.aoi is None else read_aoi(options.aoi, grid)
        if probs is None:
            return Pair(grid, own, truth, aoi, None, tags)
        found = _open_probs(probs, grid, named)
        order = found.classes.values
        bands = [order.index(value) for value in classes.values]
        bands += [band for band in range(len(order)) if band not in bands]
        return Pair(grid, own, truth, aoi, found, tags, tuple(bands))
    except BaseException:
        for one in opened:
            one.close()
        raise


def class_table(file: RasterFile, target: Sequence[str], options: TruthOptions) -> ClassMap:
    """Return the classes of the class table, else of the prediction, else of the truth, ignored values included.

    Raises:
        ClassError: none of them has classes.
    """
    found = None if options.classes is None else read_class_table(options.classes)
    found = found or read_legend(file)
    for path in target:
        if found is None and not is_vector(path):
            other = RasterFile(path)
            try:
                found = read_legend(other)
            finally:
                other.close()
    if found is None:
        raise ClassError(
            f"neither {label(file.path)} nor {', '.join(label(t) for t in target[:2])} says what its values mean: "
            "name a class table with --classes classes.toml (value, name, color)"
        )
    return found


def count_pairs(
    pairs: Sequence[Pair], measures: MeasureOptions, *, workers: int = 2, on_strip: OnStrip | None = None
) -> tuple[EvaluationCounts, list[str]]:
    """Return the counts of all pairs, and sentences about values without a class.

    Memory is that of a few strips, which are as wide as the raster and together hold a few million pixels.

    Args:
        pairs: at least one.
        measures: the figures to count for.
        workers: number of threads.
        on_strip: called with every strip, in order: the pair's number, the rectangle, truth and prediction (h, w).
    """
    total = EvaluationCounts(measures)
    jobs = (
        (number, pair, core)
        for number, pair in enumerate(pairs)
        for core in strips(
            pair.grid.rect if pair.aoi is None else pair.aoi.rect,
            halo=total.halo,
            edge=measures.block,
            layers=1 if pair.probs is None else 2 * len(pair.bands),  # probabilities are the bulk of what is held
        )
    )

    def count(job: tuple[int, Pair, Rect]) -> tuple[EvaluationCounts, tuple[int, Rect, Labels, Labels]]:
        number, pair, core = job
        part = EvaluationCounts(measures)
        rect = grown(core, part.halo, pair.grid)
        truth, predicted, part.left_out = pair.read_counted(rect, core)
        part.update(truth, predicted, rect, core, raster=number, probs=pair.read_probs(core))
        inside = core.relative_to(rect).slices
        return part, (number, core, truth[inside], predicted[inside])

    with ThreadPoolExecutor(workers) as pool:
        for part, strip in in_order(pool, count, jobs, ahead=workers + 1):
            total.merge(part)
            if on_strip is not None:
                on_strip(*strip)
    readers = [reader for pair in pairs for reader in (pair.truth, pair.prediction)]
    return total, [values.sentence() for reader in readers for values in reader.unmapped]


def open_truth(
    target: Sequence[str], classes: ClassMap, options: TruthOptions, grid: Grid, *, named: ClassMap | None = None
) -> LabelReader:
    """Return the truth on a grid, opened: a vector file or label rasters.

    Args:
        target: its files.
        classes: that count.
        options: the way in which classes are named.
        grid: of the prediction.
        named: the classes with those that are ignored, which have colours too; None: the same.

    Raises:
        LandsegError: it cannot be opened, lies elsewhere, or the class column is missing or one too many.
    """
    if options.label_colors and any(is_vector(path) for path in target):
        raise ClassError(f"--label-colors is for label rasters; {label(target[0])} is a vector file: leave it out")
    if len(target) == 1 and is_vector(target[0]):
        path, field, buffer_m = Path(target[0]), options.class_field, options.buffer
        return open_polygons(path, field, classes, grid, background=options.background, buffer_m=buffer_m)
    for what, given in (
        ("--class-field is a column", options.class_field),
        ("--buffer is around lines and points", options.buffer),
    ):
        if given is not None:
            raise ClassError(f"{what} of a vector file; {label(target[0])} is a raster: leave it out")
    if options.label_colors:
        colors = colors_of(named or classes)
        return ClassLabels(open_labels(list(target), grid, table=named or classes, colors=colors), classes)
    return open_by_name(list(target), grid, classes, options, named=named)


def open_by_name(
    paths: Sequence[str],
    grid: Grid,
    classes: ClassMap,
    options: TruthOptions,
    *,
    named: ClassMap | None = None,
    truth: bool = True,
) -> ClassLabels:
    """Open class rasters on a grid, their classes matched by the names that they carry, else by value.

    Args:
        paths: read as one.
        grid: of the prediction.
        classes: that count.
        options: a class table in it says what values mean.
        named: the classes with those that are ignored; None: the same.
        truth: whether they are label rasters, which may have bands and nodata of other kinds.

    Raises:
        LandsegError: as `open_labels`, or rasters that number their classes differently.
    """
    every = named or classes
    if options.classes is not None:
        return ClassLabels(open_labels(paths, grid, table=every, truth=truth), classes)
    own = table_for(paths, every)
    labels = open_labels(paths, grid, table=own, truth=truth)
    if own.values == every.values:
        return ClassLabels(labels, classes)
    if options.ignore:
        labels.close()
        raise ClassError(
            f"--ignore names values, but {label(paths[0])} gives other values to the classes than the prediction: "
            "leave it out, or name the class table of both with --classes"
        )
    made = ClassLabels(labels, own)
    made.note += "; its classes are matched by name, since their values are others"
    return made


def _open_probs(path: str, grid: Grid, classes: ClassMap) -> ProbsFile:
    """Return the probabilities of a prediction on its grid, opened, with a band for each class."""
    probs = ProbsFile(path, classes)
    try:
        if set(probs.classes.values) != set(classes.values):
            theirs, ours = (", ".join(map(str, table.values)) for table in (probs.classes, classes))
            raise ClassError(f"{probs.name} has the classes {theirs}, the prediction {ours}; name the one of its run")
        if grid.offset_of(probs.grid) != (0, 0) or probs.grid.shape != grid.shape:
            raise GridError(f"{probs.name} lies on another grid than the prediction; name the one of the same run")
    except LandsegError:
        probs.close()
        raise
    return probs


def refuse_swapped(tags: dict[str, str], target: Sequence[str]) -> None:
    """Raise ClassError if the truth was predicted by landseg: then it is no truth, or swapped with the prediction.

    Args:
        tags: of the prediction.
        target: files of the truth.
    """
    for path in target:
        if is_vector(path):
            continue
        file = RasterFile(path)
        made = file.info.tags.get("LANDSEG_MODEL")
        file.close()
        if made is not None:
            fix = "swap the two" if "LANDSEG_MODEL" not in tags else "name labels in its place"
            raise ClassError(
                f"{label(path)} was predicted by landseg (model {made}), expected the truth, which comes last: {fix}"
            )
