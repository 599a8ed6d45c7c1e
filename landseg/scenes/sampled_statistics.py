"""Band statistics of many images, of all their pixels or of an even sample of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from pathlib import Path

import numpy as np

from landseg.geo.grid import Rect
from landseg.geo.pieces import spread, unit_of
from landseg.geo.rasters.source import Source
from landseg.geo.rasters.statistics import BandStatistics
from landseg.scenes.blocks import Blocks

BUDGET = 1 << 24  # pixels, with data or without: images that hold no more are read whole
_ENOUGH = BUDGET >> 4  # pixels with data: where a sample finds fewer, it is enlarged
_EDGE, _SMALL = 128, 64  # pixels along the edge of a sampled rectangle; small where there are very many images
_PIECE = 2048  # pixels along the edge of a rectangle of images that are read whole

Open = Callable[[Path], Source]


@dataclass
class _Image:
    """One image, and the number of its rectangles that were read."""

    path: Path
    shape: tuple[int, int]
    unit: tuple[int, int]
    read: int = 0

    @property
    def units(self) -> int:
        return -(-self.shape[0] // self.unit[0]) * -(-self.shape[1] // self.unit[1])

    def wanted(self, share: float) -> int:
        """Return the number of rectangles that make a share of the image, at least one."""
        return min(self.units, max(1, round(share * self.units)))


def sampled_statistics(paths: Sequence[Path], opened: Open) -> list[BandStatistics]:
    """Return the statistics of each band over all images, every pixel with data counting alike.

    Images of up to 16.8 million pixels together are read whole, so that the figures are those of `landseg data`. Of
    larger ones as many pixels are read, in rectangles that are spread evenly over all of every image; where these
    hold little data, the sample is doubled until it holds a million pixels or there is nothing left to read.

    Args:
        paths: files of the images, which have equal numbers of bands and one dtype.
        opened: opens an image.

    Raises:
        RasterError: an image that cannot be read.
    """
    images, count, dtype = _images(paths, opened)
    statistics = [BandStatistics(dtype) for _ in range(count)]
    total = sum(image.shape[0] * image.shape[1] for image in images)
    share = BUDGET / total
    if share >= 1:
        for image in images:
            _take(image.path, opened, list(Blocks.of(image.shape, _PIECE)), statistics)
        return statistics
    starts = accumulate((image.wanted(share) for image in images), initial=0)  # no two begin at one place
    begun = list(zip(images, starts, strict=False))
    while True:
        for image, start in begun:
            wanted = image.wanted(share)
            places = spread(image.shape, image.unit, start=start)
            rects = sorted(islice(places, image.read, wanted), key=lambda rect: (rect.top, rect.left))
            _take(image.path, opened, rects, statistics)
            image.read = wanted
        if statistics[0].count >= _ENOUGH or all(image.read == image.units for image in images):
            return statistics
        share *= 2


def _images(paths: Sequence[Path], opened: Open) -> tuple[list[_Image], int, str]:
    """Return the images, their number of bands, and the smallest dtype that holds the values of all of them."""
    edge = _EDGE if len(paths) <= BUDGET // _EDGE**2 else _SMALL
    images, dtypes, count = [], set[str](), 0
    for path in paths:
        with opened(path) as source:
            count = source.count
            dtypes.add(source.dtype)
            images.append(_Image(path, source.grid.shape, unit_of(source.grid.shape, source.block, edge)))
    return images, count, np.result_type(*dtypes).name


def _take(path: Path, opened: Open, rects: Sequence[Rect], statistics: Sequence[BandStatistics]) -> None:
    """Add the pixels under rectangles of an image."""
    if not rects:
        return
    with opened(path) as source:
        for rect in rects:
            pixels, valid = source.read(rect)
            for band, one in zip(pixels, statistics, strict=True):
                one.update(band[valid].astype(one.dtype, copy=False))
