"""LabelReader: labels under any rectangle of a grid, whatever they are made from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import ClassMap
from landseg.errors import ClassError
from landseg.geo.grid import Rect
from landseg.labels.left_out import Masks, known_under
from landseg.labels.polygons import PolygonLabels
from landseg.text.amounts import shorten_list

Pixels = NDArray[Any]


@dataclass
class UnmappedValues:
    """Values of a label raster that have no class, with their numbers of pixels.

    Attributes:
        name: the raster's name.
        path: its file; of a mosaic, the first.
        classes: the table that lacks them.
        counts: pixels by value.
    """

    name: str
    path: str
    classes: ClassMap
    counts: Counter[float] = field(default_factory=Counter)

    def sentence(self) -> str:
        """Return the values with their numbers of pixels, and what to do about them, as a sentence."""
        return f"{self.name} has {self.classes.unmapped_text(self.counts)}"


class LabelReader(ABC):
    """Labels under any rectangle of one grid, from several threads at once if need be.

    Labels are class indices or target values (uint8, IGNORE_INDEX where unknown), or, before it is known what they
    mean, the values of a raster.

    Attributes:
        name: name of the file, for sentences.
        paths: its files.
        note: how the labels were brought onto the grid, as a sentence; "" where there is nothing to say.
        drawn: the polygons that all labels come from, where nothing is known outside these; else None.
        needs_pixels: whether labels are made from the imagery, so that `read` needs its pixels.
    """

    name: str = ""
    paths: tuple[str, ...] = ()
    note: str = ""
    drawn: PolygonLabels | None = None
    needs_pixels: bool = False

    @abstractmethod
    def read_reasons(
        self, rect: Rect, pixels: Pixels | None = None, *, core: Rect | None = None
    ) -> tuple[NDArray[Any], Masks]:
        """Return labels (h, w) under a rectangle, which the caller may write to, and masks of the unknown by reason.

        Args:
            rect: in pixels of the grid.
            pixels: (C, h, w) of the imagery under it; may be None where `needs_pixels` is False.
            core: the part whose values without a class are counted, for rectangles that overlap; None: all of it.
        """

    def read(self, rect: Rect, pixels: Pixels | None = None) -> NDArray[Any]:
        """Return labels (h, w) under a rectangle, which the caller may write to; see `read_reasons`."""
        return self.read_reasons(rect, pixels)[0]

    def read_known(self, rect: Rect) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return labels (h, w) under a rectangle, and where they are known (h, w)."""
        labels, masks = self.read_reasons(rect)
        return labels, known_under(masks, rect.shape)

    @property
    def unmapped(self) -> list[UnmappedValues]:
        """The values without a class in all that was read."""
        return []

    def close(self) -> None:
        """Close every file."""
        return None


def refuse_unmapped(found: Sequence[UnmappedValues]) -> None:
    """Raise ClassError if there are values without a class: all files in one sentence, with numbers of pixels."""
    tables: list[ClassMap] = []
    for values in found:
        if values.counts and values.classes not in tables:
            tables.append(values.classes)
    sentences = []
    for classes in tables:
        of_table = [values for values in found if values.classes == classes and values.counts]
        total = sum((values.counts for values in of_table), Counter[float]())
        files = shorten_list(sorted({values.path for values in of_table}))
        sentences.append(f"{files}: {classes.unmapped_text(total)}")
    if sentences:
        raise ClassError("; ".join(sentences))
