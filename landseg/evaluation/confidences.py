"""Probabilities of rasters with the truth on their grids, read in strips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.errors import ClassError
from landseg.evaluation.options import TruthOptions
from landseg.evaluation.pair import inside_of, open_truth, refuse_swapped
from landseg.geo.grid import Rect
from landseg.geo.pieces import in_order, strips
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.tags import CLASSES
from landseg.geo.vectors.aoi import Aoi, read_aoi
from landseg.labels.left_out import LeftOut, Reason, parts_of
from landseg.labels.legend import read_class_table
from landseg.labels.pairing import files_in, same_name
from landseg.labels.probabilities import ProbsFile
from landseg.labels.reader import LabelReader
from landseg.runtime.progress import Progress

T = TypeVar("T")
Probs = NDArray[np.float64]
Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class ProbabilityPair:
    """A raster of probabilities, and the truth on its grid.

    Attributes:
        probs: a band a class.
        truth: class indices on the same grid.
        aoi: the part that counts; None: all of it.
        ignored: indices of classes whose pixels do not count.
    """

    probs: ProbsFile
    truth: LabelReader
    aoi: Aoi | None = None
    ignored: tuple[int, ...] = ()

    @property
    def rounded(self) -> bool:
        """True where the probabilities are stored in steps of 1/255."""
        return self.probs.source.dtype == "uint8"

    @property
    def region(self) -> Rect:
        """The rectangle that holds all pixels that count."""
        return self.probs.grid.rect if self.aoi is None else self.aoi.rect

    def read(self, rect: Rect) -> tuple[Probs, Labels, LeftOut]:
        """Return probabilities (K, N) and class indices (N,) of the pixels of a rectangle that have both, and what
        does not count of the others.

        Raises:
            BandError: what is stored is no probabilities.
        """
        truth, why = self.truth.read_reasons(rect)
        inside = None if self.aoi is None else inside_of(self.aoi, rect)
        left_out, ignored = LeftOut(), np.isin(truth, self.ignored)
        left_out.add_masks(parts_of(why, (...,), inside))
        known = truth != IGNORE_INDEX
        if inside is not None:
            known &= inside
        left_out.add(Reason.IGNORED, int((known & ignored).sum()))
        known &= ~ignored
        if not known.any():
            return np.zeros((len(self.probs.classes), 0)), truth[known], left_out
        probs, valid = self.probs.read(rect)
        both = known & valid
        left_out.add(Reason.NO_PROBABILITIES, int(known.sum()) - int(both.sum()))
        return probs[:, both], truth[both], left_out

    def close(self) -> None:
        """Close every file."""
        self.probs.close()
        self.truth.close()


def open_probability_pairs(
    probs: Sequence[str], target: Sequence[str], options: TruthOptions, classes: ClassMap | None, stack: ExitStack
) -> list[ProbabilityPair]:
    """Return every raster of probabilities with its truth, opened; paired as `landseg evaluate` does.

    Args:
        probs: rasters, or a folder of them.
        target: label rasters on any grid, a folder of them, or a vector file.
        options: the way in which classes are named, and the area that counts.
        classes: by band, for rasters that do not carry them; None: there are none.
        stack: closes the files.

    Raises:
        LandsegError: a file cannot be opened, holds no probabilities, or does not fit the others.
    """
    rasters, truths = files_in(probs), files_in(target)
    given = None if options.classes is None else read_class_table(options.classes)
    opened: list[ProbabilityPair] = []
    for path in rasters:
        chosen = truths if len(truths) == 1 else same_name(path, truths) or truths
        opened.append(_open(path, chosen, options, given, classes))
        stack.callback(opened[-1].close)
        first, last = opened[0].probs, opened[-1].probs
        if last.classes.values != first.classes.values:
            raise ClassError(f"{last.name} has other classes than {first.name}; calibrate them one by one")
    return opened


def each_strip(
    pairs: Sequence[ProbabilityPair],
    count: Callable[[ProbabilityPair, Probs, Labels], T],
    options: TruthOptions,
    left_out: LeftOut | None = None,
) -> Iterator[T]:
    """Yield the result of ``count`` for every strip with a labelled pixel, in order; a few strips are in memory.

    Args:
        pairs: probabilities and their truth.
        count: called with a pair, probabilities (K, N) and class indices (N,).
        options: number of threads, and whether progress is shown.
        left_out: gets the pixels that do not count; None counts none.
    """
    jobs = [(pair, rect) for pair in pairs for rect in strips(pair.region, layers=2 * len(pair.probs.classes))]

    def work(job: tuple[ProbabilityPair, Rect]) -> tuple[T | None, LeftOut]:
        probs, truth, without = job[0].read(job[1])
        return count(job[0], probs, truth) if truth.size else None, without

    total = sum(rect.area for _, rect in jobs)
    if left_out is not None:
        left_out.add(Reason.OUTSIDE_AOI, sum(pair.probs.grid.rect.area for pair in pairs) - total)
    with Progress(total, quiet=options.quiet) as progress, ThreadPoolExecutor(options.workers) as pool:
        results = in_order(pool, work, jobs, ahead=options.workers + 1)
        for (_, rect), (made, without) in zip(jobs, results, strict=True):
            if left_out is not None:
                left_out.merge(without)
            if made is not None:
                yield made
            progress.add(rect.area)


def _open(
    path: str, target: Sequence[str], options: TruthOptions, given: ClassMap | None, fallback: ClassMap | None
) -> ProbabilityPair:
    file = RasterFile(path)
    tags = file.info.tags
    file.close()
    refuse_swapped(tags, target)
    probs = ProbsFile(path, given or (None if CLASSES in tags else fallback))
    try:
        if not probs.has_class_table:
            raise ClassError(
                f"{probs.name} does not say which class each of its bands is: name the model that made it with "
                "--model, or a class table with --classes classes.toml (value, name, color)"
            )
        table = probs.classes
        ignored = tuple(index for index, value in enumerate(table.values) if value in options.ignore)
        more = (value for value in options.ignore if value not in (*table.values, *table.ignore))
        truth = open_truth(target, ClassMap(table.classes, (*table.ignore, *more)), options, probs.grid)
        try:
            return ProbabilityPair(
                probs, truth, None if options.aoi is None else read_aoi(options.aoi, probs.grid), ignored
            )
        except BaseException:
            truth.close()
            raise
    except BaseException:
        probs.close()
        raise
