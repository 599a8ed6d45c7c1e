"""The figures of instances: those of the class raster, and how many objects were found and how well."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import ClassMap
from landseg.dense.semantic import ClassMeasure
from landseg.dense.task import Arrays, Summary
from landseg.metrics.detection import Detection, DetectionFigures
from landseg.metrics.overlaps import IdCounts, Overlaps
from landseg.text.amounts import counted

OVERALL = ("f1", "ap50", "ap", "precision", "recall", "pq")
"""The figures of objects of the whole model: each the mean over the classes of things that the truth has."""
PER_CLASS = ("f1", "ap50")
Ids = NDArray[np.int64]


class RasterObjects:
    """The pixels that true and found objects of one raster share, and the class of each object.

    Pixels count that have data in the prediction and whose true number is known. Ids are whole numbers, 0 for none.
    """

    def __init__(self, classes: ClassMap) -> None:
        self._classes, self._counts = classes, IdCounts()
        self._kinds = (_Kinds(classes), _Kinds(classes))
        self.scores: NDArray[np.float32] = np.zeros(0, np.float32)

    def update(
        self,
        true: tuple[NDArray[Any], NDArray[np.uint8]],
        found: tuple[NDArray[Any], NDArray[np.uint8]],
        valid: NDArray[np.bool_],
        *,
        at: tuple[int, int] = (0, 0),
    ) -> None:
        """Add the ids (h, w) and class indices (h, w) of both sides under one rectangle."""
        numbers = [np.where(valid & (ids > 0), ids, 0).astype(np.int64) for ids in (true[0], found[0])]
        self._counts.update(numbers[0], numbers[1], valid=valid & (true[0] >= 0), at=at)
        for kinds, ids, indices in zip(self._kinds, numbers, (true[1], found[1]), strict=True):
            kinds.update(ids, indices)

    def of_class(self, index: int) -> tuple[Overlaps, NDArray[np.float64]]:
        """Return the overlaps of the objects of one class, and the scores (D,) of the found ones, 1 where unknown."""
        true, found = self._counts.ids()
        kept = [kinds.of(ids) == index for kinds, ids in zip(self._kinds, (true, found), strict=True)]
        scores = np.ones(len(found))
        known = found <= len(self.scores)
        scores[known] = self.scores[found[known] - 1]
        return self._counts.overlaps().only(kept[0], kept[1]), scores[kept[1]]


class InstanceMeasure:
    """Figures of the layers "classes" and "instances" against the label maps "class" and "instance".

    Objects are compared as `landseg evaluate` compares rasters: see `landseg.metrics.detection`. Scores, by id less
    one, are read from the layer "scores"; without it all are 1.
    """

    def __init__(self, classes: ClassMap) -> None:
        self._classes, self._pixels = classes, ClassMeasure(classes)
        self._rasters: dict[int, RasterObjects] = {}

    def update(
        self,
        layers: Arrays,
        valid: NDArray[np.bool_],
        labels: Mapping[str, NDArray[Any]],
        *,
        at: tuple[int, int] = (0, 0),
        raster: int = 0,
    ) -> None:
        self._pixels.update(layers, valid, labels, at=at, raster=raster)
        values, ids = layers["classes"], layers["instances"]
        if "instance" not in labels or values is None or ids is None:
            return
        objects = self._rasters.setdefault(raster, RasterObjects(self._classes))
        if (scores := layers.get("scores")) is not None:
            objects.scores = scores
        indices, _ = self._classes.to_indices_and_unmapped(values, valid)
        objects.update((labels["instance"], labels["class"]), (ids, indices), valid, at=at)

    def figures(self) -> dict[str, float]:
        return means(self._found().values()) | self._pixels.figures()

    def summary(self) -> Summary:
        pixels, found = self._pixels.summary(), self._found()
        overall = means(found.values())
        if len(found) == 1:
            low, high = self._detection(self._classes.things[0]).intervals()["f1"]
            if low == low:
                overall |= {"f1_low": float(low), "f1_high": float(high)}
        per_class = {}
        for name, figures in pixels.per_class.items():
            own = found.get(self._classes.names.index(name))
            of_objects = {} if own is None else {figure: float(getattr(own, figure)) for figure in PER_CLASS}
            per_class[name] = of_objects | {"iou": figures["iou"]}
        notes = [_counts_text(list(found.values())), pixels.note]
        return Summary({**overall, **pixels.overall}, per_class, "; ".join(note for note in notes if note))

    def _found(self) -> dict[int, DetectionFigures]:
        """Return the figures of objects by the index of their class."""
        return {index: self._detection(index).compute() for index in self._classes.things}

    def _detection(self, index: int) -> Detection:
        detection = Detection()
        for number, objects in self._rasters.items():
            detection.update(*objects.of_class(index), raster=number)
        return detection


class _Kinds:
    """The class of each id: the one that most of its pixels have; among equals the first."""

    def __init__(self, classes: ClassMap) -> None:
        self._width, self._parts = len(classes), [np.zeros((0, 3), np.int64)]
        self._only = classes.things[0] if len(classes.things) == 1 else None

    def update(self, ids: Ids, indices: NDArray[np.uint8]) -> None:
        if self._only is not None:
            return
        counted_ = (ids > 0) & (indices < self._width)
        keys, counts = np.unique(ids[counted_] * self._width + indices[counted_], return_counts=True)
        self._parts.append(np.stack([keys // self._width, keys % self._width, counts], axis=1))

    def of(self, ids: Ids) -> NDArray[np.int64]:
        """Return the class index (n,) of ids in ascending order; -1 where no pixel has a class."""
        if self._only is not None:
            return np.full(len(ids), self._only)
        rows = np.concatenate(self._parts)
        rows = rows[np.isin(rows[:, 0], ids)]
        votes = np.zeros((len(ids), self._width), np.int64)
        np.add.at(votes, (np.searchsorted(ids, rows[:, 0]), rows[:, 1]), rows[:, 2])
        return np.where(votes.any(axis=1), votes.argmax(axis=1), -1)


def means(found: Iterable[DetectionFigures]) -> dict[str, float]:
    """Return the mean of each of `OVERALL` over the classes in which it means something; nan where in none."""
    classes = list(found)
    made = {}
    for name in OVERALL:
        values = [value for one in classes if (value := float(getattr(one, name))) == value]
        made[name] = sum(values) / len(values) if values else float("nan")
    return made


def _counts_text(found: list[DetectionFigures]) -> str:
    """Return what became of the objects of the truth, and of the detections, as a clause."""
    total = {
        name: sum(getattr(one, name) for one in found)
        for name in ("true_count", "found_count", "found", "merged", "split", "missed", "invented")
    }
    kinds = ", ".join(f"{total[name]:,} {name}" for name in ("found", "merged", "split", "missed"))
    return (
        f"{counted(total['true_count'], 'object')}: {kinds}; of {counted(total['found_count'], 'detection')} "
        f"{total['invented']:,} invented"
    )
