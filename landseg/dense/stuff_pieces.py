"""The connected pieces of the classes of stuff of a finished run, and those that are too small to be told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import ClassMap
from landseg.dense.instance_files import CLASSES, PixelSizes, touching
from landseg.errors import PlanError
from landseg.geo.pieces import cut, rows_within
from landseg.output.layer import Layer
from landseg.output.outputs import Outputs
from landseg.text.amounts import counted
from landseg.vector.topology.blocks import Block, cut_blocks, find_pieces
from landseg.vector.topology.linked_lists import Ints, find_components

PIECES = "pieces"
"""The layer of labels of pieces; 0 is where there is no stuff."""
_PIXELS = 1 << 19  # labelled at a time
_NONE = -1  # the class of pixels of things and of no data
_MOST = (1 << 32) - 1  # labels


def pieces_layer(output: Path) -> Layer:
    """Return the layer of labels, which is made once the class raster is complete, as scratch of an output."""
    return Layer(PIECES, output, "uint32", scratch=True, late=True)


def write_pieces(outputs: Outputs, classes: ClassMap, *, least_area: float) -> NDArray[np.bool_]:
    """Write the layer of labels, and return whether each label (n + 1,) is that of a piece that is large enough.

    A piece is four-connected, of one class, and that of the whole raster, however it is cut later. Kept are 8 bytes
    for each label, and about 30 more at the end.

    Args:
        outputs: with the class raster complete.
        classes: its table.
        least_area: in square metres, or pixels without a CRS.
    """
    pieces, sizes = Pieces(), PixelSizes(outputs.grid)
    for region in touching(outputs.parts):
        around = region[0]
        for part in region[1:]:
            around = around.union(part)
        rects = list(cut(around, rows_within(_PIXELS, around.width)))
        strips = (_stuff(outputs.read_data(CLASSES, rect)[0], classes) for rect in rects)
        pieces.begin()
        for rect, block in zip(rects, cut_blocks(strips, _NONE, None), strict=False):
            labels = pieces.add(block, sizes.weights(rect))
            for part in region:
                shared = part.intersection(rect)
                if shared is not None and shared.area:
                    outputs.write(PIECES, shared, labels[shared.relative_to(rect).slices])
    return pieces.sizes() * sizes.unit >= least_area


class Pieces:
    """The labels of connected pieces of rows that come from the top down, region by region."""

    def __init__(self) -> None:
        self._count = 0
        self._same: list[Ints] = []  # (2, n): labels of one piece
        self._sizes: list[Ints] = [np.zeros(1, np.int64)]
        self._last: NDArray[np.uint32] | None = None  # the labels of the row above the next

    def begin(self) -> None:
        """Open a region: no piece goes on from the rows before."""
        self._last = None

    def add(self, block: Block, weights: NDArray[Any] | None = None) -> NDArray[np.uint32]:
        """Return the labels (h, w) of the next rows, from 1 on and 0 where there is no piece.

        Args:
            block: the rows.
            weights: the sizes of pixels (h, 1) or (h, w) as whole numbers; None: all are equal.

        Raises:
            PlanError: there are too many labels.
        """
        shape = block.values.shape
        found = find_pieces(block, (block.values[1:] == block.values[:-1]).ravel(), diagonal=False)
        parts = len(found.first)
        if self._count + parts > _MOST:
            raise PlanError(f"the raster has more than {counted(_MOST, 'piece')} of classes: map it in several parts")
        labels = np.where(found.part >= 0, found.part + (self._count + 1), 0).astype(np.uint32)[found.run]
        above, rows = np.split(labels.reshape(shape)[:, 1:-1], [1])
        if self._last is not None:
            pairs = np.stack([above[0], self._last]).astype(np.int64)
            self._same.append(np.unique(pairs[:, pairs[0] > 0], axis=1))
        self._sizes.append(self._sized(rows, parts, weights))
        self._last, self._count = rows[-1].copy(), self._count + parts
        return rows

    def sizes(self) -> Ints:
        """Return the size of the piece of each label (n + 1,): that of all its parts; 0 for none."""
        same = np.concatenate([np.zeros((2, 0), np.int64), *self._same], axis=1)
        root = find_components(self._count + 1, same[0], same[1])
        total = np.zeros(self._count + 1, np.int64)
        np.add.at(total, root, np.concatenate(self._sizes))
        of_all: Ints = total[root]
        return of_all

    def _sized(self, rows: NDArray[np.uint32], parts: int, weights: NDArray[Any] | None) -> Ints:
        """Return the sizes of the parts of a block (parts,), of their pixels in its own rows."""
        inside = rows > 0
        places = rows[inside].astype(np.int64) - (self._count + 1)
        shares = None if weights is None else np.broadcast_to(weights, rows.shape)[inside]
        return np.bincount(places, shares, parts).astype(np.int64)


def _stuff(values: NDArray[Any], classes: ClassMap) -> NDArray[np.int32]:
    """Return class values (h, w) where they are those of stuff, and elsewhere `_NONE`."""
    stuff = [entry.value for entry in classes.classes if not entry.thing]
    return np.where(np.isin(values, stuff), values, _NONE).astype(np.int32)
