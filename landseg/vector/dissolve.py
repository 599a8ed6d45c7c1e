"""Dissolve: the regions of each class as one feature."""

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
    """The polygons of one class so far, one after the other in a file, and the sums of their columns."""

    path: Path
    parts: int = 0
    row: Row | None = None


class Dissolver:
    """Takes features in chunks and gives them back as one a class, a MultiPolygon, by value.

    Polygons of one class meet in corners at most, so that together they are the dissolved shape as they are, unless
    they were ``redrawn`` each by itself: then those that share an edge are made one. They wait on disk; memory is
    that of the largest class's outline.
    """

    def __init__(self, folder: Path, *, redrawn: bool = False) -> None:
        self._folder, self._redrawn = folder, redrawn
        self._piles: dict[int, _Pile] = {}

    def add(self, columns: dict[str, NDArray[Any]], shapes: NDArray[np.object_], pixels: NDArray[np.int64]) -> None:
        """Takes features; ``pixels`` are the weights of their mean confidences."""
        for value in np.unique(columns["value"]).tolist():
            mine = columns["value"] == value
            pile = self._piles.setdefault(value, _Pile(self._folder / f"class_{value}.wkb"))
            parts = shapely.get_parts(shapes[mine])
            with pile.path.open("ab") as file:
                file.writelines(shapely.to_wkb(parts, byte_order=1))
            pile.parts += len(parts)
            pile.row = _summed(pile.row, {name: column[mine] for name, column in columns.items()}, pixels[mine])

    def features(self) -> Iterator[tuple[dict[str, NDArray[Any]], NDArray[np.object_]]]:
        """One feature a class, each in a chunk of its own."""
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
    """The columns of several features as one row, with those of an earlier row."""
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
