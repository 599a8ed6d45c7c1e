"""ObjectPair: the objects of prediction and truth by image, with what they share, their classes and scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from landseg.errors import ClassError
from landseg.geo.grid import Grid
from landseg.labels.object_files import ObjectFile
from landseg.metrics.detection import Detection
from landseg.metrics.overlaps import Floats, Ints, Overlaps
from landseg.text.amounts import shorten_list

ALL = "all objects"
"""The name of the class where nothing tells classes apart."""


@dataclass(frozen=True)
class ObjectImage:
    """The T objects of the truth and the D of the prediction in one image.

    Attributes:
        overlaps: areas of both, and what pairs share.
        scores: (D,) from 0 to 1.
        true_class: (T,) index of the class of each object of the truth.
        found_class: (D,) likewise of the prediction; -1 for a class that the truth's table does not have.
        number: of the image, which decides between equal scores.
    """

    overlaps: Overlaps
    scores: Floats
    true_class: Ints
    found_class: Ints
    number: int = 0


@dataclass(frozen=True)
class Drawing:
    """The way to draw objects on a map.

    Attributes:
        true: the objects of the truth's vector file, or the path of its raster of ids.
        found: likewise of the prediction.
        true_ids: (T,) the id in the raster, or the number in the file from 1, of each object.
        found_ids: (D,) likewise.
        grid: of the raster whose pixels were compared; None for polygons.
        scale: units of the truth's CRS by those of `Objects.place`, (down, across).
    """

    true: ObjectFile | str
    found: ObjectFile | str
    true_ids: Ints
    found_ids: Ints
    grid: Grid | None = None
    scale: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class ObjectPair:
    """A prediction and its truth, overlaid.

    Attributes:
        images: one for a map, several for files of COCO.
        classes: names, by index.
        scored: whether the prediction has scores, without which nothing can be ranked.
        unit: of sizes: "m2", "px", or "unit2" for polygons without a CRS.
        block: edge of the blocks of the bootstrap, in the unit of `Objects.place`.
        block_text: the same for people.
        boundary_text: width of the bands of the boundary AP; None where they were not measured.
        drawing: what a map of them is drawn from; None for files of COCO.
        coco: whether areas and limits are COCO's.
        notes: sentences that a reader of the figures needs.
    """

    images: tuple[ObjectImage, ...]
    classes: tuple[str, ...]
    scored: bool
    unit: str
    block: float
    block_text: str
    boundary_text: str | None = None
    coco: bool = False
    drawing: Drawing | None = None
    notes: tuple[str, ...] = field(default=())

    def detections(self, areas: Sequence[float]) -> list[Detection]:
        """Return the objects of each class, ready for figures."""
        made = []
        for index in range(len(self.classes)):
            one = Detection.coco() if self.coco else Detection(areas=areas, block=self.block)
            for image in self.images:
                true, found = image.true_class == index, image.found_class == index
                one.update(image.overlaps.only(true, found), image.scores[found], raster=image.number)
            made.append(one)
        return made


def common_classes(
    true: Sequence[str] | None, found: Sequence[str] | None, counts: tuple[int, int]
) -> tuple[tuple[str, ...], Ints, Ints, list[str]]:
    """Return the names of the classes, the index of each object's class, (T,) and (D,), and notes.

    Where a side has no classes all objects are of one; a side without objects has those of the other. A class of the
    prediction alone has figures that mean nothing.

    Args:
        true: the class of each object of the truth, or None.
        found: likewise of the prediction.
        counts: T and D.

    Raises:
        ClassError: the two sides have classes, and none in common.
    """
    true, found = ([] if not count else side for side, count in zip((true, found), counts, strict=True))
    sides = [None if side is None else sorted(set(side)) for side in (true, found)]
    if true is None or found is None or not (true or found):
        named = [names for names in sides if names]
        name = named[0][0] if len(named) == 1 and len(named[0]) == 1 else ALL
        notes = []
        if named and len(named[0]) > 1:
            which = "the truth" if sides[0] else "the prediction"
            notes.append(f"only {which} has classes ({shorten_list(named[0], 4)}): all objects count as one class")
        return (name,), np.zeros(counts[0], np.int64), np.zeros(counts[1], np.int64), notes
    names = sorted({*true, *found})
    if true and found and not set(true) & set(found):
        raise ClassError(
            f"prediction and truth have no class in common: {shorten_list(sides[1] or [], 4)} against "
            f"{shorten_list(sides[0] or [], 4)}; name the column of the truth with --class-field"
        )
    at = {name: index for index, name in enumerate(names)}
    true_class, found_class = (np.array([at[one] for one in side], np.int64) for side in (true, found))
    return tuple(names), true_class, found_class, []
