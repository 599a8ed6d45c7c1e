"""Opacity: the test whether a band that is called alpha marks where there is data, or is another band."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.errors import RasterError
from landseg.geo.grid import Rect
from landseg.geo.pieces import spread, unit_of

_EDGE, _UNITS = 128, 16  # of the sample: the edge of a square in pixels, and the number of squares
_FEW = 32  # values: so few may be opacity wherever they lie
_OPAQUE = 0.98  # of the largest value, from which on a pixel counts as opaque: compression changes values a little
_SHARE = 0.5  # of the pixels that are not 0: feathered edges hold fewer values in between, measured bands nearly all

Read = Callable[[Rect], NDArray[Any]]


def is_opacity(read: Read, shape: tuple[int, int], block: tuple[int, int]) -> bool:
    """Return whether a band marks where there is data, by 16 squares of 128 pixels spread over the raster.

    It does where it holds few values, or where most pixels that are not 0 are opaque: within a fiftieth of the
    largest value. The soft edges of a mosaic are a small part of it; near infrared, which some imagery calls alpha,
    lies in between nearly everywhere. The same raster gets the same answer, whatever part of it is read later.

    Args:
        read: returns the band's values under a rectangle; rectangles that cannot be read are left out.
        shape: (height, width) of the raster.
        block: (height, width) of the blocks that it is stored in.
    """
    values = np.concatenate([np.empty(0), *_sampled(read, shape, block)])
    values = values[np.isfinite(values) & (values != 0)]
    if len(np.unique(values)) <= _FEW:
        return True
    between = values < _OPAQUE * values.max()
    return bool(between.mean() <= _SHARE)


def _sampled(read: Read, shape: tuple[int, int], block: tuple[int, int]) -> Iterator[NDArray[Any]]:
    for rect in islice(spread(shape, unit_of(shape, block, _EDGE)), _UNITS):
        try:
            yield read(rect).ravel()
        except RasterError:  # reading the raster for its data raises the error
            continue


def misnamed_alpha_text(number: int, count: int) -> str:
    """Return the sentence about a 1-based band of ``count`` that is called alpha and is no opacity."""
    every = ",".join(str(band) for band in range(1, count + 1))
    return (
        f"band {number} is called alpha but holds many values, as near infrared does and opacity does not: it is "
        f"taken for neither a mask nor a band; a model that was trained on it reads it by --bands {every}"
    )
