"""ProbsFile: a raster of class probabilities, as `landseg predict --probs` writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from landseg.classes import ClassMap
from landseg.errors import BandError, ClassError
from landseg.geo.grid import Grid, Rect
from landseg.geo.rasters.source import FileSource
from landseg.geo.tags import CLASSES
from landseg.text.amounts import counted
from landseg.text.untrusted import read_json

_OFF = 0.01  # how far from 1 the sum of a pixel's probabilities may be, rounding to steps of 1/255 aside
_HOW = "expected probabilities, a band a class, as `landseg predict --probs FILE` writes them"


class ProbsFile:
    """Class probabilities of a raster: 8-bit in steps of 1/255, or floating point.

    Attributes:
        source: the bands as they are stored.
        classes: by band. With both a given table and one that the raster carries: the given one, in the raster's
            order where both have the same values. With neither: values from 1 on and the bands' names.
        has_class_table: whether the table is the raster's own or the caller's.

    Raises:
        RasterError: it cannot be opened.
        BandError: a single band, or whole numbers of more than 8 bits.
        ClassError: a table for another number of classes.
    """

    def __init__(self, path: str | Path, classes: ClassMap | None = None) -> None:
        self.source = FileSource(path)
        try:
            count = len(self.source.file.info.dtypes)
            if self.source.count != count:  # a band that is taken for alpha is a class here
                self.source.close()
                self.source = FileSource(path, range(1, count + 1))
            self._refuse_others(count)
            carried = self.tags.get(CLASSES)
            self.has_class_table = carried is not None or classes is not None
            self.classes = _by_band(classes, None if carried is None else _table(carried), self.source.band_names)
            if len(self.classes) != count:
                names = ", ".join(self.classes.names)
                raise ClassError(
                    f"{self.name} has {counted(count, 'band')}, "
                    f"its class table {counted(len(self.classes), 'class')} ({names}): "
                    "expected a band for each"
                )
        except BaseException:
            self.source.close()
            raise

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.source.name

    @property
    def grid(self) -> Grid:
        """Grid of the file."""
        return self.source.grid

    @property
    def tags(self) -> dict[str, str]:
        """Tags of the whole raster."""
        return self.source.file.info.tags

    def read(self, rect: Rect) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return probabilities (K, h, w), 0 where there is no data, and validity (h, w).

        Raises:
            BandError: numbers below 0, or that do not sum to 1; logits, for example.
        """
        pixels, valid = self.source.read(rect)
        byte = self.source.dtype == "uint8"
        probs = np.where(valid, pixels.astype(np.float64) / (255 if byte else 1), 0.0)
        total = probs.sum(0)
        far = _OFF + (len(probs) / 510 if byte else 0.0)  # each of K numbers was rounded by up to 1/510
        wrong = valid & ((np.abs(total - 1) > far) | (probs < -_OFF).any(0))
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            seen = (
                "some are below 0" if (probs[:, row, column] < 0).any() else f"they sum to {total[row, column]:.3g}"
            )
            what = "; are they logits?" if not byte else ""
            raise BandError(
                f"{self.name}: the bands are no probabilities, at row {rect.top + row}, column {rect.left + column} "
                f"{seen}{what}: {_HOW}"
            )
        return np.clip(probs, 0.0, 1.0), valid

    def read_normalized(self, rect: Rect) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return probabilities (K, h, w) whose sum is 1 wherever there is data, and validity (h, w).

        Stored numbers are rounded, most of all in steps of 1/255, so that their sum is not quite 1.

        Raises:
            BandError: as `read`.
        """
        probs, valid = self.read(rect)
        return normalized(probs), valid

    def close(self) -> None:
        """Close the file."""
        self.source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _refuse_others(self, count: int) -> None:
        dtype = self.source.dtype
        if count == 1:
            what = "looks like a map of classes" if np.dtype(dtype).kind in "iu" else "says nothing of other classes"
            raise BandError(f"{self.name} has one band of {dtype}, which {what}: {_HOW}")
        if dtype != "uint8" and np.dtype(dtype).kind != "f":
            raise BandError(f"{self.name} holds {dtype} pixels, not 8 bits in steps of 1/255 or floats: {_HOW}")


def normalized(probs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities (K, ...) divided by their sum; 0 where they all are."""
    total = probs.sum(0)
    shares: NDArray[np.float64] = np.divide(probs, total, out=np.zeros_like(probs), where=total > 0)
    return shares


def _table(text: str) -> ClassMap:
    try:
        found: Any = read_json(text)
    except ValueError as error:
        raise ClassError(f"the tag {CLASSES} holds no class table: {error}; name the model with --model") from error
    return ClassMap.from_json(found)


def _by_band(given: ClassMap | None, carried: ClassMap | None, names: tuple[str | None, ...]) -> ClassMap:
    """Return the classes in the order of the bands, which a given table may list in another order."""
    if given is None:
        return _from_bands(names) if carried is None else carried
    if carried is None or set(given.values) != set(carried.values):
        return given
    by_value = dict(zip(given.values, given.classes, strict=True))
    return ClassMap(tuple(by_value[value] for value in carried.values), given.ignore)


def _from_bands(names: tuple[str | None, ...]) -> ClassMap:
    """Return classes of values from 1 on, with the bands' names where every band has its own."""
    called = [(name or "").strip() for name in names]
    if "" in called or len(set(called)) < len(called):
        called = [f"class {number}" for number in range(1, len(names) + 1)]
    return ClassMap.from_json([{"value": value, "name": name} for value, name in enumerate(called, start=1)])
