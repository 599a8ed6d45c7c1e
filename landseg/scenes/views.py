"""Scenes made of scenes: parts of one, and copies in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX
from landseg.dense.label_maps import OUTSIDE, UNKNOWN
from landseg.geo.grid import Grid, Rect
from landseg.labels.left_out import LeftOut
from landseg.labels.polygons import PolygonLabels
from landseg.labels.reader import UnmappedValues
from landseg.scenes.scene import ArrayScene, Example, RasterScene, Scene


class MaskedScene(Scene):
    """Part of another scene: outside a mask nothing is known, neither by fine nor by coarse labels.

    Args:
        scene: the whole.
        mask: (h, w) for any rectangle of it, True where the target holds.
        name: name of the part; None: that of the whole.
    """

    def __init__(self, scene: Scene, mask: Callable[[Rect], NDArray[np.bool_]], *, name: str | None = None) -> None:
        self.scene, self.mask = scene, mask
        self.name, self.weight, self.zoom = name or scene.name, scene.weight, scene.zoom

    @property
    def shape(self) -> tuple[int, int]:
        return self.scene.shape

    @property
    def channels(self) -> int:
        return self.scene.channels

    @property
    def stated_m(self) -> float | None:
        return self.scene.stated_m

    @property
    def grid(self) -> Grid | None:
        return self.scene.grid

    def read(self, rect: Rect) -> Example:
        pixels, valid, target = self.scene.read(rect)
        return pixels, valid, self._masked(rect, target)

    def labels(self, rect: Rect) -> NDArray[np.uint8]:
        return self._masked(rect, self.scene.labels(rect))

    @property
    def drawn(self) -> PolygonLabels | None:
        return self.scene.drawn

    def survey(self) -> Iterator[tuple[Rect, NDArray[np.uint8]]]:
        for part, target in self.scene.survey():
            yield part, self._masked(part, target)

    @property
    def unmapped(self) -> list[UnmappedValues]:
        return self.scene.unmapped

    @property
    def left_out(self) -> LeftOut:
        return self.scene.left_out

    @property
    def coarse_side(self) -> int | None:
        return self.scene.coarse_side

    def read_coarse(self, rect: Rect) -> NDArray[np.uint8]:
        return self._masked(rect, self.scene.read_coarse(rect))

    @property
    def has_objects(self) -> bool:
        return self.scene.has_objects

    def read_map(self, name: str, rect: Rect) -> NDArray[Any]:
        known = self.scene.read_map(name, rect)
        kept = self.mask(rect)
        if name == "instance":  # to know that an object ends is to know the object
            kept = kept | (known == OUTSIDE)
        return np.where(kept, known, known.dtype.type(UNKNOWN[name]))

    def _masked(self, rect: Rect, target: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.where(self.mask(rect), target, np.uint8(IGNORE_INDEX))


def in_memory(scenes: Sequence[Scene], budget_mib: float) -> list[Scene]:
    """Return the scenes in their order, in memory those that fit into a budget (MiB) together, the smallest first.

    Of a part of a scene, the whole is held.

    Raises:
        RasterError: a scene cannot be read.
    """
    left = budget_mib * 2**20 - sum(_held(scene) for scene in map(base_scene, scenes))
    on_disk = [(one.bytes, n) for n, one in enumerate(map(base_scene, scenes)) if isinstance(one, RasterScene)]
    loaded = list(scenes)
    for size, number in sorted(on_disk):
        if size > left:
            break
        left -= size
        loaded[number] = _loaded(scenes[number])
    return loaded


def base_scene(scene: Scene) -> Scene:
    """Return the scene that another is part of, or the scene itself."""
    while isinstance(scene, MaskedScene):
        scene = scene.scene
    return scene


def _loaded(scene: Scene) -> Scene:
    if isinstance(scene, MaskedScene):
        return MaskedScene(_loaded(scene.scene), scene.mask, name=scene.name)
    assert isinstance(scene, RasterScene), "nothing else lies on disk"
    return scene.in_memory()


def _held(scene: Scene) -> int:
    """Return the bytes of a scene that is in memory already."""
    if not isinstance(scene, ArrayScene):
        return 0
    arrays = (scene.pixels, scene.valid, scene.target, scene.coarse, *scene.objects.values())
    return sum(array.nbytes for array in arrays if array is not None)
