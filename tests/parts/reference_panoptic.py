"""Panoptic quality from its definition, one pixel and one segment after another; random panoptic maps for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

VOID = 0


@dataclass
class Side:
    """A panoptic map: ids (H, W), and the segments in their order: id, class and whether it is a crowd."""

    ids: np.ndarray
    segments: list[tuple[int, int, bool]] = field(default_factory=list)


def quality(
    pairs: Sequence[tuple[Side, Side]], classes: int, *, least: float = 0.5, void_counts: bool = False
) -> dict[str, list[float]]:
    """Return iou, tp, fp and fn by class, and PQ, SQ and RQ of the classes that have any of the three, else nan.

    Args:
        pairs: truth and prediction of each image.
        classes: K.
        least: a match has an IoU above it.
        void_counts: a twin: what lies on void is a part of the union.
    """
    sums = {name: [0.0] * classes for name in ("iou", "tp", "fp", "fn")}
    for truth, found in pairs:
        _add(sums, truth, found, least, void_counts)
    out: dict[str, list[float]] = {"pq": [], "sq": [], "rq": []}
    for k in range(classes):
        iou, tp, fp, fn = (sums[name][k] for name in ("iou", "tp", "fp", "fn"))
        if tp + fp + fn == 0:
            for name in out:
                out[name].append(float("nan"))
            continue
        out["pq"].append(iou / (tp + 0.5 * fp + 0.5 * fn))
        out["sq"].append(iou / tp if tp else 0.0)
        out["rq"].append(tp / (tp + 0.5 * fp + 0.5 * fn))
    return sums | out


def mean(values: list[float], chosen: Sequence[int]) -> float:
    """Return the mean over the chosen classes that have a figure."""
    some = [values[k] for k in chosen if values[k] == values[k]]
    return sum(some) / len(some) if some else float("nan")


def _add(sums: dict[str, list[float]], truth: Side, found: Side, least: float, void_counts: bool) -> None:
    shared: dict[tuple[int, int], int] = {}
    for row, column in np.ndindex(*truth.ids.shape):
        key = int(truth.ids[row, column]), int(found.ids[row, column])
        shared[key] = shared.get(key, 0) + 1

    def area(side: int, one: int) -> int:
        return sum(count for key, count in shared.items() if key[side] == one)

    matched: tuple[set[int], set[int]] = set(), set()
    for t, kind, crowd in truth.segments:
        for d, other, _ in found.segments:
            both = shared.get((t, d), 0)
            if crowd or kind != other or not both:
                continue
            void = 0 if void_counts else shared.get((VOID, d), 0)
            iou = both / (area(0, t) + area(1, d) - both - void)
            if iou > least:
                sums["iou"][kind] += iou
                sums["tp"][kind] += 1
                matched[0].add(t)
                matched[1].add(d)
    crowds: dict[int, int] = {}
    for t, kind, crowd in truth.segments:
        if crowd:
            crowds[kind] = t  # the last one stays
        elif t not in matched[0]:
            sums["fn"][kind] += 1
    for d, kind, _ in found.segments:
        if d in matched[1]:
            continue
        out = shared.get((VOID, d), 0)
        if kind in crowds:
            out += shared.get((crowds[kind], d), 0)
        if not out / area(1, d) > 0.5:
            sums["fp"][kind] += 1


def random_pair(seed: int, things: Sequence[bool], *, height: int = 14, width: int = 17) -> tuple[Side, Side]:
    """Return a truth with void and crowds, and a prediction that is like it here and other there."""
    rng = np.random.default_rng(seed)
    sites = rng.random((14, 2)) * (height, width)
    rows, columns = np.mgrid[:height, :width]
    cells = np.hypot(rows[..., None] - sites[:, 0], columns[..., None] - sites[:, 1]).argmin(-1)
    kinds = rng.integers(-1, len(things), len(sites))
    truth = _side(cells, kinds, things, rng, crowds=True)
    moved = np.roll(cells, rng.integers(0, 2, 2), (0, 1))
    joined = np.where(rng.random(len(sites)) < 0.1, 0, np.arange(len(sites)))[moved]
    changed = np.where(rng.random(len(sites)) < 0.1, rng.integers(-1, len(things), len(sites)), kinds)
    return truth, _side(joined, changed, things, rng, crowds=False)


def _side(cells: np.ndarray, kinds: np.ndarray, things: Sequence[bool], rng: Any, *, crowds: bool) -> Side:
    """Return cells as segments: of stuff one a class, of things one a cell, -1 void."""
    ids, segments, stuff = np.zeros(cells.shape, np.int64), [], {}
    numbers = rng.permutation(np.arange(1, 60)).tolist()
    for cell in rng.permutation(np.unique(cells)).tolist():
        kind = int(kinds[cell])
        if kind < 0:
            continue
        if things[kind]:
            segments.append((numbers.pop(), kind, bool(crowds and rng.random() < 0.25)))
        elif kind not in stuff:
            stuff[kind] = numbers.pop()
            segments.append((stuff[kind], kind, False))
        ids[cells == cell] = segments[-1][0] if things[kind] else stuff[kind]
    return Side(ids, segments)
