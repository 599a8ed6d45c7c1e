"""Splits by whole polygons: those that touch or are neighbours are learned or kept together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX
from landseg.errors import TrainingError
from landseg.geo.grid import Grid, Rect
from landseg.labels.polygons import PolygonLabels, pixel_grid
from landseg.scenes.balance import choose
from landseg.scenes.blocks import Blocks, Parts
from landseg.scenes.related import joined
from landseg.scenes.scene import Scene
from landseg.text.amounts import counted

FEW = 200
"""Number of polygons up to which a split by blocks without an edge takes whole polygons: about five a block of 36."""
APART = (128, 64, 32, 16, 8, 4)
"""Pixels: nearer polygons go together, by the first distance that leaves every class its two sides."""
TOUCHING = 2  # pixels: of polygons as near as this, with --all-touched, both may burn one pixel
_PIECE = 2048  # pixels along the edge of what is read at a time


@dataclass(frozen=True, eq=False)
class InPolygons:
    """The mask of pixels in polygons, for any rectangle."""

    polygons: PolygonLabels  # in pixels
    grid: Grid  # of these pixels

    def __call__(self, rect: Rect) -> NDArray[np.bool_]:
        return self.polygons.burn(self.grid.crop(rect))


@dataclass(frozen=True)
class PolygonSplit:
    """A split of polygons.

    Attributes:
        parts: parts of each scene.
        learned, kept: numbers of polygons with a labelled pixel on either side.
        notes: classes that one group alone has, as a sentence.
    """

    parts: list[Parts]
    learned: int
    kept: int
    notes: tuple[str, ...]


class PolygonGround:
    """The polygons that label scenes, each part of a polygon by itself.

    Args:
        scenes: all scenes, with `Scene.drawn`.

    Attributes:
        shown: (polygons,) whether each lies on any scene.
    """

    def __init__(self, scenes: Sequence[Scene]) -> None:
        self._scenes = scenes
        self._placed: list[tuple[PolygonLabels, int, Grid]] = []
        files: dict[str, tuple[PolygonLabels, int]] = {}
        self._count = 0
        for scene in scenes:
            drawn, grid = scene.drawn, scene.grid
            assert drawn is not None and grid is not None, "polygons label a scene that lies somewhere"
            if str(drawn.path) not in files:
                files[str(drawn.path)] = drawn.in_parts(), self._count
                self._count += len(files[str(drawn.path)][0])
            parts, first = files[str(drawn.path)]
            self._placed.append((parts.in_pixels(grid), first, pixel_grid(grid)))
        self.shown = np.zeros(self._count, bool)
        for placed, first, _ in self._placed:
            self.shown[placed.numbers + first] = True

    def groups(self, apart: float) -> NDArray[np.intp]:
        """Return the first polygon of each polygon's group: those nearer than ``apart`` pixels, in any scene."""
        ties: list[Sequence[int]] = []
        for placed, first, _ in self._placed:
            shapes = placed.shapes
            pairs = shapely.STRtree(shapes).query(shapes, predicate="dwithin", distance=apart)
            ties += (placed.numbers[pairs[:, pairs[0] < pairs[1]]] + first).T.tolist()
        return np.array(joined(self._count, ties), np.intp)

    def counts(self, classes: int) -> NDArray[np.int64]:
        """Return labelled pixels (polygons, classes + 1); the last column counts targets of no single class."""
        found = np.zeros((self._count, classes + 1), np.int64)
        for scene, (placed, first, pixels) in zip(self._scenes, self._placed, strict=True):
            for rect in Blocks.of(scene.shape, _PIECE):
                numbers = placed.burn_numbers(pixels.crop(rect))
                if not (numbers >= 0).any():
                    continue
                target = scene.read(rect)[2]
                known = (target != IGNORE_INDEX) & (numbers >= 0)
                kinds = np.minimum(target[known], classes)
                np.add.at(found, (numbers[known] + first, kinds), 1)
        return found

    def parts(self, kept: NDArray[np.bool_]) -> list[Parts]:
        """Return the parts of each scene on either side, given the polygons that are kept."""
        made = []
        for placed, first, pixels in self._placed:
            chosen = kept[placed.numbers + first]
            if chosen.all() or not chosen.any():
                made.append(Parts(not chosen.any(), bool(len(chosen)) and bool(chosen.all())))
                continue
            sides = (InPolygons(placed.chosen(wanted), pixels) for wanted in (~chosen, chosen))
            made.append(Parts(*sides))
        return made


def few_polygons(scenes: Sequence[Scene]) -> int | None:
    """Return the number of polygons that label scenes, where these are few and can be split; else None."""
    if any(scene.drawn is None or scene.grid is None for scene in scenes):
        return None
    ground = PolygonGround(scenes)
    shown = int(ground.shown.sum())
    return shown if shown <= FEW and len(np.unique(ground.groups(TOUCHING)[ground.shown])) > 1 else None


def by_polygon(
    scenes: Sequence[Scene], classes: Sequence[str], *, share: float, seed: int = 0, apart: int = 0
) -> PolygonSplit:
    """Split scenes by whole polygons, as far from each other as every class's place on both sides allows.

    A class that one group alone has is learned. No polygon is cut, and those that are ``apart`` pixels or less from
    each other stay together; by default as many of `APART` as leave each class with two groups on both sides, and the
    kept share near ``share``.

    Args:
        scenes: all scenes, labelled by polygons.
        classes: names by index.
        share: part of the labelled pixels that is to be kept.
        seed: seed of the choice among equally good splits.
        apart: distance in pixels.

    Raises:
        TrainingError: labels that are no polygons, or polygons that are all one group.
    """
    for scene in scenes:
        if scene.drawn is None or scene.grid is None:
            raise TrainingError(
                f"split by polygon: the labels of {scene.name} are no polygons, or something is known outside them "
                "(--background): split by block or by file"
            )
    ground = PolygonGround(scenes)
    counts = ground.counts(len(classes))
    labelled = counts.any(1)
    touching = _grouped(counts, ground.groups(TOUCHING))
    wanted = _apart(touching)
    distances = (max(apart, TOUCHING),) if apart else (*APART, TOUCHING)
    for distance in distances:
        groups = ground.groups(distance)
        table = _grouped(counts, groups)
        kept = choose(table, share, seed)[np.unique(groups, return_inverse=True)[1]]
        if _as_wanted(counts, kept, wanted, share):
            break
    if not (kept & labelled).any() or (kept & labelled).sum() == labelled.sum():
        many = counted(int(labelled.sum()), "polygon with labels is", "polygons with labels touch each other and are")
        raise TrainingError(f"split by polygon: {many} one group, so none can be kept: split by block, or by an area")
    notes = _about(table, counts, classes)
    return PolygonSplit(ground.parts(kept), int((labelled & ~kept).sum()), int((labelled & kept).sum()), notes)


def _grouped(counts: NDArray[np.int64], groups: NDArray[np.intp]) -> NDArray[np.int64]:
    """Return pixels (groups, classes + 1)."""
    firsts, which = np.unique(groups, return_inverse=True)
    table = np.zeros((len(firsts), counts.shape[1]), np.int64)
    np.add.at(table, which, counts)
    return table


def _apart(table: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether each class (classes + 1,) occurs in two groups or more."""
    found: NDArray[np.bool_] = (table > 0).sum(0) >= 2
    return found


def _as_wanted(counts: NDArray[np.int64], kept: NDArray[np.bool_], wanted: NDArray[np.bool_], share: float) -> bool:
    """Return whether ``wanted`` classes are on both sides, no other class is kept alone, and the share is near."""
    here, all_of_it = counts[kept].sum(0), counts.sum(0)
    both = (here > 0) & (here < all_of_it)
    alone = (here > 0) & ~wanted
    near = abs(here.sum() / max(1, all_of_it.sum()) - share) <= max(0.05, 0.5 * share)
    return bool(both[wanted].all() and not alone.any() and near)


def _about(table: NDArray[np.int64], counts: NDArray[np.int64], classes: Sequence[str]) -> tuple[str, ...]:
    """Return a sentence about every class that one group of polygons alone has."""
    notes = []
    for index, name in enumerate(classes):
        polygons = int((counts[:, index] > 0).sum())
        if (table[:, index] > 0).sum() != 1:
            continue
        where = "one polygon" if polygons == 1 else f"{polygons} polygons that are neighbours"
        notes.append(f"{name} has {where} only, which is learned and not measured: draw more of it elsewhere")
    return tuple(notes)
