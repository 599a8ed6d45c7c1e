"""Dissolved land cover: all regions of a class as one feature."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

Row = dict[str, Any]


@dataclass
class _Pile:
    """The polygons of one class that were added, one after another in a file, and the sums of their columns."""

    path: Path
    parts: int = 0
    row: Row | None = None


class Dissolver:
    """A collector of features in chunks that returns one MultiPolygon for each class, in order of class values.

    Polygons of one class meet in corners at most, so all of them together are the dissolved shape. If each was
    ``redrawn`` by itself, they may share edges, and those that do are united. Polygons wait on disk; memory is that
    of the outline of the largest class.
    """

    def __init__(self, folder: Path, *, redrawn: bool = False) -> None:
        self._folder, self._redrawn = folder, redrawn
        self._piles: dict[int, _Pile] = {}

    def add(self, columns: dict[str, NDArray[Any]], shapes: NDArray[np.object_], pixels: NDArray[np.int64]) -> None:
        """Add features; their numbers of ``pixels`` (N,) are the weights of their mean confidences."""
        for value in np.unique(columns["value"]).tolist():
            chosen = columns["value"] == value
            pile = self._piles.setdefault(value, _Pile(self._folder / f"class_{value}.wkb"))
            parts = shapely.get_parts(shapes[chosen])
            with pile.path.open("ab") as file:
                file.writelines(shapely.to_wkb(parts, byte_order=1))
            pile.parts += len(parts)
            own = {name: column[chosen] for name, column in columns.items()}
            pile.row = _summed(pile.row, own, pixels[chosen])

    def features(self) -> Iterator[tuple[dict[str, NDArray[Any]], NDArray[np.object_]]]:
        """Yield columns and shapes of one feature for each class, each in a chunk of its own."""
        for value in sorted(self._piles):
            pile = self._piles[value]
            head = struct.pack("<BII", 1, 6, pile.parts)  # little-endian, MultiPolygon
            shape = shapely.from_wkb(head + pile.path.read_bytes())
            pile.path.unlink()
            if self._redrawn and not shapely.is_valid(shape):
                shape = shapely.union_all(shapely.get_parts(shape))
            row = {name: item for name, item in (pile.row or {}).items() if name != "pixels"}
            columns = {name: np.array([item], dtype=object if name == "name" else None) for name, item in row.items()}
            yield columns, np.array([shape], dtype=object)


def _summed(row: Row | None, columns: dict[str, NDArray[Any]], pixels: NDArray[np.int64]) -> Row:
    """Return the columns of several features, and those of an earlier row, as one row."""
    before = {name: [] if row is None else [row[name]] for name in (*columns, "pixels")}
    sure = np.isfinite(columns["confidence_mean"]) if "confidence_mean" in columns else np.ones(len(pixels), bool)
    weights = np.array([*before["pixels"], *np.where(sure, pixels, 0)], np.float64)
    made: Row = {"pixels": weights.sum()}
    for name, column in columns.items():
        every = [*before[name], *column.tolist()]
        if name in ("value", "name"):
            made[name] = every[0]
        elif name == "id":
            made[name] = min(every)
        elif name == "confidence_mean":
            known = weights > 0
            made[name] = float(np.average(np.array(every)[known], weights=weights[known])) if known.any() else np.nan
        elif name == "confidence_min":
            made[name] = float(np.fmin.reduce(every))
        else:
            made[name] = float(np.sum(every))
    return made
