"""A prediction and its truth, opened on one grid: what every evaluation reads from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.errors import BandError, ClassError, GridError, LandsegError
from landseg.geo.address import label
from landseg.geo.aligned import open_labels
from landseg.geo.aoi import Aoi, read_aoi
from landseg.geo.grid import Grid, Rect
from landseg.geo.legend import read_class_table, read_legend
from landseg.geo.raster import RasterFile
from landseg.geo.source import Source, open_source
from landseg.geo.truth import ClassRaster, Polygons, Truth
from landseg.geo.vectorname import is_vector
from landseg.tally import Labels, Measures, Tally

_PIXELS = 1 << 22  # of a strip

Seen = Callable[[int, Rect, Labels, Labels], None]


@dataclass(frozen=True)
class Naming:
    """How classes are told apart, and where the truth counts.

    Attributes:
        classes: a TOML or JSON file with the class table; None: the prediction's own, else the truth's.
        ignore: further values of the truth that mean "not known".
        class_field: column of a vector file.
        background: class of all that lies outside its polygons.
        aoi: what is evaluated: a vector file, or left,bottom,right,top.
        buffer_m: metres around lines and points of the truth's vector file that count as theirs; None: refused.
    """

    classes: Path | None = None
    ignore: tuple[int, ...] = ()
    class_field: str | None = None
    background: str | None = None
    aoi: str | None = None
    buffer_m: float | None = None


@dataclass(frozen=True)
class Pair:
    """One predicted raster and the truth on its grid.

    Attributes:
        grid: of the prediction.
        prediction: class indices; IGNORE_INDEX where nothing is predicted.
        truth: class indices; IGNORE_INDEX where nothing is known.
        aoi: the part that counts; None: all of it.
        probs: (K bands) on the same grid, or None.
        tags: of the prediction.
    """

    grid: Grid
    prediction: ClassRaster
    truth: Truth
    aoi: Aoi | None = None
    probs: Source | None = None
    tags: dict[str, str] = field(default_factory=dict)

    def read(self, rect: Rect) -> tuple[Labels, Labels]:
        """Truth and prediction (h, w) under a rectangle; neither says anything outside the area of interest."""
        truth, predicted = self.truth.read(rect), self.prediction.read(rect)
        if (outside := self._outside(rect)) is not None:
            truth[outside] = predicted[outside] = IGNORE_INDEX
        return truth, predicted

    def read_probs(self, rect: Rect) -> NDArray[np.float32] | None:
        """Probabilities (K, h, w), nan where there are none; None where none were named."""
        if self.probs is None:
            return None
        values, valid = self.probs.read(rect)
        probs = values.astype(np.float32)
        if values.dtype == np.uint8:
            probs /= probs.sum(0, keepdims=True).clip(1)  # steps of 1/255 do not sum to 1
        probs[:, ~valid] = np.nan
        return probs

    def read_confidence(self, rect: Rect) -> NDArray[np.float32]:
        """The largest probability (h, w), nan where there is none and outside the area of interest."""
        probs = self.read_probs(rect)
        if probs is None:
            return np.full(rect.shape, np.nan, np.float32)
        largest: NDArray[np.float32] = probs.max(0)
        if (outside := self._outside(rect)) is not None:
            largest[outside] = np.nan
        return largest

    def _outside(self, rect: Rect) -> NDArray[np.bool_] | None:
        """True (h, w) outside the area of interest; None where everything counts."""
        return None if self.aoi is None else ~shown(self.aoi, rect)

    def close(self) -> None:
        """Close every file."""
        self.prediction.close()
        self.truth.close()
        if self.probs is not None:
            self.probs.close()


def shown(aoi: Aoi, rect: Rect) -> NDArray[np.bool_]:
    """Which pixels (h, w) of a rectangle lie inside an area of interest."""
    found = np.zeros(rect.shape, bool)
    if (shared := rect.intersection(aoi.rect)) is not None:
        found[shared.relative_to(rect).slices] = True
    inside = aoi.inside(rect)
    return found if inside is None else found & inside


def open_pair(prediction: str, target: Sequence[str], naming: Naming, *, probs: str | None = None) -> Pair:
    """Open one class raster and what is known of the truth on its grid.

    Raises:
        LandsegError: a file that cannot be opened, is no class raster, lies elsewhere, or is swapped with the other.
    """
    file = RasterFile(prediction)
    try:
        grid, tags = file.info.grid, file.info.tags
        refuse_swapped(prediction, tags, target)
        classes = class_table(file, target, naming)
    finally:
        file.close()
    opened: list[Any] = []
    try:
        ours = ClassRaster(open_labels(prediction, grid), classes)
        opened.append(ours)
        truth = open_truth(target, classes, naming, grid)
        opened.append(truth)
        aoi = None if naming.aoi is None else read_aoi(naming.aoi, grid)
        source = None if probs is None else _open_probs(probs, grid, len(classes))
        return Pair(grid, ours, truth, aoi, source, tags)
    except BaseException:
        for one in opened:
            one.close()
        raise


def class_table(file: RasterFile, target: Sequence[str], naming: Naming) -> ClassMap:
    """The classes: those of a file, else the prediction's, else the truth's, else its values as far as they tell.

    Raises:
        ClassError: nobody names any.
    """
    found = None if naming.classes is None else read_class_table(naming.classes)
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
    more = tuple(value for value in naming.ignore if value not in found.ignore)
    for value in more:
        if value in found.values:
            found = ClassMap(tuple(c for c in found.classes if c.value != value), found.ignore)
    return ClassMap(found.classes, (*found.ignore, *more))


def tally(
    pairs: Sequence[Pair], measures: Measures, *, workers: int = 2, seen: Seen | None = None
) -> tuple[Tally, list[str]]:
    """Count everything, strip by strip, and return it with what was strange about values, as sentences.

    Memory is that of a few strips, which are as wide as the raster and together hold a few million pixels. ``seen``
    is shown every strip, in order: the pair's number, the rectangle, truth and prediction.
    """
    total = Tally(measures)
    jobs = (
        (number, pair, core)
        for number, pair in enumerate(pairs)
        for core in strips(
            pair.grid.rect if pair.aoi is None else pair.aoi.rect,
            halo=total.halo,
            edge=measures.block,
            layers=1 if pair.probs is None else measures.classes,  # probabilities are the bulk of what is held
        )
    )

    def count(job: tuple[int, Pair, Rect]) -> tuple[Tally, tuple[int, Rect, Labels, Labels]]:
        number, pair, core = job
        part = Tally(measures)
        rect = grown(core, part.halo, pair.grid)
        truth, predicted = pair.read(rect)
        part.update(truth, predicted, rect, core, raster=number, probs=pair.read_probs(core))
        inside = core.relative_to(rect).slices
        return part, (number, core, truth[inside], predicted[inside])

    with ThreadPoolExecutor(workers) as pool:
        for part, strip in in_order(pool, count, jobs, ahead=workers + 1):
            total.merge(part)
            if seen is not None:
                seen(*strip)
    strange = [text for pair in pairs for one in (pair.truth, pair.prediction) if (text := one.strange())]
    return total, strange


def strips(region: Rect, *, halo: int = 0, edge: int = 16, layers: int = 1) -> Iterator[Rect]:
    """Rectangles of whole rows that partition a region, much higher than the halo.

    Each has a few million pixels, all ``layers`` together. They meet at multiples of ``edge`` where it is not larger
    than they are: blocks stay whole.
    """
    wanted = max(16, 4 * halo, _PIXELS // layers // region.width)
    step = edge if edge <= wanted else 16
    height, top = wanted // step * step, region.top
    while top < region.bottom:
        bottom = min((top + height) // step * step, region.bottom)
        yield Rect(top, region.left, bottom - top, region.width)
        top = bottom


def grown(core: Rect, halo: int, grid: Grid) -> Rect:
    """A rectangle and the pixels around it, inside the grid."""
    wider = Rect(core.top - halo, core.left - halo, core.height + 2 * halo, core.width + 2 * halo)
    inside = wider.intersection(grid.rect)
    assert inside is not None, "a core lies inside its grid"
    return inside


def in_order(pool: ThreadPoolExecutor, work: Any, jobs: Iterable[Any], *, ahead: int) -> Iterator[Any]:
    """Results in the order of the jobs, with only a few of them under way or waiting."""
    waiting: list[Future[Any]] = []
    try:
        for job in jobs:
            waiting.append(pool.submit(work, job))
            if len(waiting) >= ahead:
                yield waiting.pop(0).result()
        while waiting:
            yield waiting.pop(0).result()
    finally:
        for future in waiting:
            future.cancel()


def open_truth(target: Sequence[str], classes: ClassMap, naming: Naming, grid: Grid) -> Truth:
    """Open what is known of the truth, a vector file or label rasters, on a grid.

    Raises:
        LandsegError: it cannot be opened, lies elsewhere, or the class column is missing or one too many.
    """
    if len(target) == 1 and is_vector(target[0]):
        if naming.class_field is None:
            raise ClassError(f"{label(target[0])} is a vector file: say which column names the class, --class-field")
        path, field, buffer_m = Path(target[0]), naming.class_field, naming.buffer_m
        return Polygons(path, field, classes, grid, background=naming.background, buffer_m=buffer_m)
    for what, given in (
        ("--class-field is a column", naming.class_field),
        ("--buffer is around lines and points", naming.buffer_m),
    ):
        if given is not None:
            raise ClassError(f"{what} of a vector file; {label(target[0])} is a raster: leave it out")
    return ClassRaster(open_labels(list(target), grid), classes)


def _open_probs(path: str, grid: Grid, classes: int) -> Source:
    source = open_source(path)
    try:
        if source.count != classes:
            raise BandError(f"{source.name} has {source.count} bands for {classes} classes; expected one for each")
        if grid.offset_of(source.grid) != (0, 0) or source.grid.shape != grid.shape:
            raise GridError(f"{source.name} lies on another grid than the prediction; name the one of the same run")
    except LandsegError:
        source.close()
        raise
    return source


def refuse_swapped(prediction: str, tags: dict[str, str], target: Sequence[str]) -> None:
    """A truth that landseg predicted is none, and one beside a prediction that it did not make is swapped with it.

    Raises:
        ClassError: so it is.
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
                f"{label(path)} was predicted by landseg (model {made}), expected the truth as the second "
                f"argument: {fix}"
            )
