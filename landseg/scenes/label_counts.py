"""LabelCounts: labels counted in one pass, and a sample of the pixels of each, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX
from landseg.errors import TrainingError
from landseg.geo.grid import Rect
from landseg.geo.pieces import CELL
from landseg.labels.reader import refuse_unmapped
from landseg.scenes.scene import Scene
from landseg.text.amounts import none_of, part_of, shorten_list

SPOTS = 1 << 16
"""Number of pixels of each label that are remembered, over all scenes."""


@dataclass(frozen=True)
class LabelCounts:
    """Counts of one scene's labels.

    Attributes:
        counts: (256,) pixels of each target value; the last is IGNORE_INDEX.
        spots: for target values that occur, (n, 2) rows of (y, x) drawn evenly from their pixels, with repeats.
        cells: (m, 2) rows and columns of the cells of CELL x CELL pixels that hold any label, fine or coarse.
        coarse_alone: pixels with a coarse label and no other.
    """

    counts: NDArray[np.int64]
    spots: dict[int, NDArray[np.int64]]
    cells: NDArray[np.int64]
    coarse_alone: int = 0

    @property
    def labelled(self) -> int:
        """Number of pixels with a label."""
        return int(self.counts[:IGNORE_INDEX].sum())

    @property
    def known(self) -> int:
        """Number of pixels with a label, fine or coarse."""
        return self.labelled + self.coarse_alone


def count_labels(scenes: Sequence[Scene], *, seed: int = 0, spots: int = SPOTS) -> list[LabelCounts]:
    """Count the labels of every scene and remember the places of a sample; equal seeds give equal samples.

    Memory is that of a few million pixels and of ``spots`` places a label, whatever the size of the rasters.

    Raises:
        ClassError: values of labels without a class, over all files in one sentence.
        TrainingError: no scene has a labelled pixel, fine or coarse; a value that is no coarse class.
    """
    each = max(16, spots // max(1, len(scenes)))
    found = [_count_scene(scene, np.random.default_rng((seed, n, 0xCE)), each) for n, scene in enumerate(scenes)]
    refuse_unmapped([values for scene in scenes for values in scene.unmapped])
    if not any(one.known for one in found):
        raise TrainingError(f"{none_of(len(scenes), 'scene')} has a labelled pixel; check the labels")
    return found


def remarks(scenes: Sequence[Scene], counts: Sequence[LabelCounts], names: Sequence[str]) -> list[str]:
    """Return sentences for the user about scenes without any label and about classes without a pixel.

    Args:
        scenes: the scenes.
        counts: counts of each scene.
        names: names of the classes, by index.
    """
    sentences = []
    if empty := [scene.name for scene, one in zip(scenes, counts, strict=True) if not one.known]:
        sentences.append(
            f"{part_of(len(empty), len(scenes), 'scene', 'has', 'have')} no labelled pixel "
            f"to learn from: {shorten_list(empty)}; "
            "check their labels or leave them out"
        )
    if alone := [scene.name for scene, one in zip(scenes, counts, strict=True) if one.known and not one.labelled]:
        sentences.append(
            f"{part_of(len(alone), len(scenes), 'scene', 'is', 'are')} "
            f"learned from coarse labels alone: {shorten_list(alone)}"
        )
    total = np.sum([one.counts for one in counts], axis=0)
    if absent := [name for index, name in enumerate(names) if not total[index]]:
        sentences.append(
            f"no pixel is labelled {shorten_list(absent)}: a model cannot learn what it is never shown; "
            "add labels or take it out of the class table"
        )
    return sentences


def _count_scene(scene: Scene, rng: np.random.Generator, each: int) -> LabelCounts:
    counts = np.zeros(256, np.int64)
    spots: dict[int, NDArray[np.int64]] = {}
    cells: list[NDArray[np.int64]] = []
    alone = 0
    for part, target in scene.survey():
        here = np.bincount(target.ravel(), minlength=256)
        for label in np.flatnonzero(here[:IGNORE_INDEX]).tolist():
            counts[label] += here[label]
            slots = spots.setdefault(label, np.zeros((each, 2), np.int64))
            # Every slot keeps one of all pixels so far, each with the same chance: no count is needed in advance.
            fresh = np.flatnonzero(rng.random(each) < here[label] / counts[label])
            if fresh.size:
                slots[fresh] = _positions(target == label, part, rng, fresh.size)
        counts[IGNORE_INDEX] += here[IGNORE_INDEX]
        labelled = target != IGNORE_INDEX
        if scene.coarse_side is not None:
            both = labelled | (scene.read_coarse(part) != IGNORE_INDEX)
            alone += int(both.sum() - labelled.sum())
            labelled = both
        if labelled.any():
            cells.append(_cells(labelled, part))
    return LabelCounts(counts, spots, np.concatenate(cells) if cells else np.zeros((0, 2), np.int64), alone)


def _positions(chosen: NDArray[np.bool_], part: Rect, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    flat = np.flatnonzero(chosen)
    y, x = np.divmod(flat[rng.integers(len(flat), size=count)], part.width)
    return np.stack([y + part.top, x + part.left], axis=1)


def _cells(labelled: NDArray[np.bool_], part: Rect) -> NDArray[np.int64]:
    """Return (m, 2) rows and columns of cells with any label."""
    rows = np.logical_or.reduceat(labelled, np.arange(0, part.height, CELL), axis=0)
    found = np.argwhere(np.logical_or.reduceat(rows, np.arange(0, part.width, CELL), axis=1))
    return found.astype(np.int64) + np.array([part.top // CELL, part.left // CELL], np.int64)
