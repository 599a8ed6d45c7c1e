"""The choice of the options of grouping: those with the best F1 on scenes that the network learned from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import ClassMap
from landseg.dense.grouping import Maps, group
from landseg.dense.instance_measure import RasterObjects
from landseg.dense.task import Example, Examples
from landseg.text.amounts import counted

CHOSEN = ("energy", "rise", "score", "min_area_m2")
"""The options that are chosen."""
RISES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
SCORES = tuple(round(0.05 * step, 2) for step in range(19))
SMALLEST = (0.01, 0.05)
"""Shares of the true objects that a smallest area may leave out; it may be 0 as well."""
MapsOf = Callable[[str, NDArray[np.float32], NDArray[np.bool_]], Maps]
"""Makes the maps of a kind of energy, of an output and its valid pixels."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Found:
    """The D detections of all examples, by score, area (m2, nan where unknown) and whether each is right; and truth.

    A detection is right whose IoU with an object of the truth is above 0.5: it then is the only one that is.
    """

    score: Floats
    area_m2: Floats
    right: NDArray[np.bool_]
    true: int
    true_m2: Floats

    def f1(self, score: float, min_area_m2: float) -> float:
        """Return the F1 of the detections that are left."""
        left = (self.score >= score) & ~(self.area_m2 < min_area_m2)
        return float(2 * (left & self.right).sum() / max(1, self.true + left.sum()))


def choose(
    maps_of: MapsOf,
    classes: ClassMap,
    fixed: Mapping[str, Any],
    examples: Examples,
    *,
    energies: Sequence[str],
) -> tuple[Mapping[str, Any], str]:
    """Return the values of options with the largest F1 on examples, and a line that says them.

    Of equal ones the first of the lists is taken, so that nothing is left out without gain. Without any object in the
    examples nothing is chosen.

    Args:
        maps_of: makes the maps of an output and its valid pixels.
        classes: of the network.
        fixed: values of those of `CHOSEN` that are not to be chosen.
        examples: of scenes that were learned from.
        energies: kinds of energy to try.
    """
    best: tuple[float, tuple[str, float, float, float], int] | None = None
    kinds = (fixed["energy"],) if "energy" in fixed else tuple(energies)
    outputs = [([maps_of(kind, one.output, one.valid) for kind in kinds], one) for one in examples()]
    for number, energy in enumerate(kinds):
        made = [(maps[number], one) for maps, one in outputs]
        for rise in (fixed["rise"],) if "rise" in fixed else RISES:
            found = _found(made, classes, rise)
            if not found.true:
                return {}, ""
            for score in (fixed["score"],) if "score" in fixed else SCORES:
                for area in (fixed["min_area_m2"],) if "min_area_m2" in fixed else _areas(found):
                    f1 = found.f1(score, area)
                    if best is None or f1 > best[0]:
                        best = f1, (energy, rise, score, area), found.true
    assert best is not None, "each list has an entry"
    values = {name: value for name, value in zip(CHOSEN, best[1], strict=True) if name not in fixed}
    said = ", ".join(
        f"{name} = {value if isinstance(value, str) else f'{value:g}'}" for name, value in values.items()
    )
    return values, (
        f"{said}: F1 {best[0]:.3f} on {counted(best[2], 'object')} of scenes that were learned from, where a network "
        "is surer than elsewhere"
    )


def _areas(found: _Found) -> list[float]:
    """Return the smallest areas to try, from 0 up, to two digits."""
    if not len(found.true_m2):
        return [0.0]
    ends = np.quantile(found.true_m2, SMALLEST)
    return sorted({0.0, *(float(f"{end:.2g}") for end in ends)})


def _found(examples: Sequence[tuple[Maps, Example]], classes: ClassMap, rise: float) -> _Found:
    """Return what is found in examples with a rise."""
    score, area, right, true_m2, true = [np.zeros(0)], [np.zeros(0)], [np.zeros(0, bool)], [np.zeros(0)], 0
    for maps, one in examples:
        ids, things = group(maps, classes.things, rise=rise)
        objects = RasterObjects(classes)
        objects.scores = things.score
        objects.update((one.labels["instance"], one.labels["class"]), (ids, maps.classes), one.valid)
        pixel = np.nan if one.pixel_m2 is None else one.pixel_m2
        for index in classes.things:
            overlaps, scores = objects.of_class(index)
            judged = ~overlaps.true.ignored
            iou = np.zeros(len(overlaps.found))
            np.maximum.at(iou, overlaps.found_index, np.where(judged[overlaps.true_index], overlaps.iou(), 0))
            aside = np.zeros(len(iou), bool)  # in objects that do not count
            aside[overlaps.found_index[~judged[overlaps.true_index] & (overlaps.iou() > 0.5)]] = True
            kept = ~(aside | overlaps.found.ignored) | (iou > 0.5)
            score.append(scores[kept])
            area.append(overlaps.found.size[kept] * pixel)
            right.append(iou[kept] > 0.5)
            true_m2.append(overlaps.true.size[judged] * pixel)
            true += int(judged.sum())
    sizes = np.concatenate(true_m2)
    return _Found(np.concatenate(score), np.concatenate(area), np.concatenate(right), true, sizes[~np.isnan(sizes)])
