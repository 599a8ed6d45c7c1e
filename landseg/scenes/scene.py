"""Labelled scenes: pixels and targets under any rectangle, read on demand or held in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX
from landseg.errors import TrainingError
from landseg.geo.grid import Grid, Rect
from landseg.geo.pieces import parts
from landseg.labels.left_out import LeftOut, Reason
from landseg.labels.polygons import PolygonLabels
from landseg.labels.reader import UnmappedValues
from landseg.scenes.open_files import POOL
from landseg.scenes.opened import Opened

Example = tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.uint8]]
"""Pixels (C, h, w) in the raster's dtype, validity (h, w) and target (h, w)."""


OBJECT_MAPS = ("instance", "interior")
"""The label maps of scenes whose objects are known."""


class Scene(ABC):
    """One labelled raster.

    Attributes:
        name: for messages and splits.
        shape: (height, width).
        channels: C.
        weight: factor by which crops are drawn oftener here than the scene's area alone would have them.
        zoom: the range of magnification that crops are drawn with, relative to the training resolution; 2 shows
            half as much ground in either direction.
        grid: where the scene lies; None where that is not known.
        drawn: the polygons that all its labels come from, where nothing is known outside these; else None.
        coarse_side: width of a coarse label in pixels; None where no coarse labels lie on it.
    """

    name: str
    weight: float
    zoom: tuple[float, float]

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]: ...

    @property
    @abstractmethod
    def channels(self) -> int: ...

    @property
    @abstractmethod
    def grid(self) -> Grid | None: ...

    @abstractmethod
    def read(self, rect: Rect) -> Example:
        """Return pixels, validity and targets of a rectangle inside the scene, from any thread and after a fork.

        Targets are indices into the run's LabelSets, IGNORE_INDEX where unknown or without data.

        Raises:
            RasterError: any part of it cannot be read.
        """

    @abstractmethod
    def survey(self) -> Iterator[tuple[Rect, NDArray[np.uint8]]]:
        """Yield every target once: rectangles that partition the scene, and the target (h, w) under each.

        Rectangles begin at multiples of CELL and hold a few million pixels. Imagery is only read where targets are
        made from it, so pixels without data may have a target here.
        """

    def labels(self, rect: Rect) -> NDArray[np.uint8]:
        """Return targets (h, w) as `read` does, and also where the image has no data, unless they are made from it.

        Raises:
            RasterError: any part of it cannot be read.
        """
        return self.read(rect)[2]

    @property
    def drawn(self) -> PolygonLabels | None:
        return None

    @property
    def unmapped(self) -> list[UnmappedValues]:
        """The values of labels that have no class, as far as a survey or reading into memory has met them."""
        return []

    @property
    def left_out(self) -> LeftOut:
        """Pixels of the whole raster that teach nothing, by reason, as far as a survey or reading has met them."""
        return LeftOut()

    @property
    def label_maps(self) -> tuple[str, ...]:
        """The names of the scene's label maps, "class" first; see `landseg.dense.label_maps`."""
        coarse = () if self.coarse_side is None else ("coarse",)
        return ("class", *coarse, *(OBJECT_MAPS if self.has_objects else ()))

    def read_map(self, name: str, rect: Rect) -> NDArray[Any]:
        """Return one of the label maps but "class" (h, w) under a rectangle inside the scene.

        Raises:
            TrainingError: values that mean nothing.
        """
        assert name == "coarse", "no other map is read apart from the pixels"
        return self.read_coarse(rect)

    @property
    def has_objects(self) -> bool:
        """True where objects are known, and the scene has the maps of OBJECT_MAPS."""
        return False

    @property
    def coarse_side(self) -> int | None:
        return None

    def read_coarse(self, rect: Rect) -> NDArray[np.uint8]:
        """Return coarse classes (h, w) of a rectangle inside the scene: rows of the run's joint statistics.

        IGNORE_INDEX where there is no coarse label. Pixels without data may have one.

        Raises:
            TrainingError: values that are no coarse class.
        """
        return np.full(rect.shape, IGNORE_INDEX, np.uint8)

    @property
    def rect(self) -> Rect:
        """The rectangle of every pixel."""
        return Rect(0, 0, *self.shape)

    @property
    def resolution_m(self) -> float | None:
        """Metres a pixel: by the raster's grid, else as stated by the user; None where neither has them."""
        own = None if self.grid is None else self.grid.resolution_m
        return self.stated_m if own is None else own

    @property
    def stated_m(self) -> float | None:
        """Metres a pixel as the user stated them, of a raster whose grid does not have them."""
        return None


@dataclass(frozen=True)
class ArrayScene(Scene):
    """A scene in memory: ``pixels`` (C, H, W) in the raster's own dtype, ``valid`` and ``target`` (H, W).

    ``coarse`` (H, W) are the coarse classes, if there are any, each ``side`` pixels wide; ``origin`` is the scene on
    disk that it was read from, if there is one; ``objects`` are the maps of OBJECT_MAPS, where objects are known.
    """

    name: str
    pixels: NDArray[Any]
    valid: NDArray[np.bool_]
    target: NDArray[np.uint8]
    weight: float = 1.0
    zoom: tuple[float, float] = (1.0, 1.0)
    grid: Grid | None = None
    unmapped_values: tuple[UnmappedValues, ...] = field(default=(), repr=False)
    coarse: NDArray[np.uint8] | None = None
    side: int = 1
    stated: float | None = None
    skipped: LeftOut = field(default_factory=LeftOut, repr=False)
    origin: Scene | None = field(default=None, repr=False)
    objects: Mapping[str, NDArray[Any]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.pixels.shape[1:] == self.valid.shape == self.target.shape:
            sizes = f"{self.pixels.shape[1:]}, {self.valid.shape} and {self.target.shape}"
            raise TrainingError(f"{self.name}: expected pixels, validity and target of one size, got {sizes}")

    @property
    def shape(self) -> tuple[int, int]:
        return self.target.shape[0], self.target.shape[1]

    @property
    def channels(self) -> int:
        return len(self.pixels)

    @property
    def stated_m(self) -> float | None:
        return self.stated

    def read(self, rect: Rect) -> Example:
        rows, columns = rect.slices
        return self.pixels[:, rows, columns], self.valid[rows, columns], self.target[rows, columns]

    def labels(self, rect: Rect) -> NDArray[np.uint8]:
        return super().labels(rect) if self.origin is None else self.origin.labels(rect)

    @property
    def drawn(self) -> PolygonLabels | None:
        return None if self.origin is None else self.origin.drawn

    def survey(self) -> Iterator[tuple[Rect, NDArray[np.uint8]]]:
        for part in parts(self.shape):
            yield part, self.target[part.slices]

    @property
    def unmapped(self) -> list[UnmappedValues]:
        return list(self.unmapped_values)

    @property
    def left_out(self) -> LeftOut:
        return self.skipped

    @property
    def coarse_side(self) -> int | None:
        return None if self.coarse is None else self.side

    def read_coarse(self, rect: Rect) -> NDArray[np.uint8]:
        return super().read_coarse(rect) if self.coarse is None else self.coarse[rect.slices]

    @property
    def has_objects(self) -> bool:
        return bool(self.objects)

    def read_map(self, name: str, rect: Rect) -> NDArray[Any]:
        return self.objects[name][rect.slices] if name in OBJECT_MAPS else super().read_map(name, rect)


class RasterScene(Scene):
    """A scene on disk, of which only the requested pixels are read; its files are opened when they are needed.

    Args:
        name: for messages and splits.
        opener: opens the files; it is pickled with the scene.
        channels: the first bands of the source that are the scene's pixels; None: all. Targets see every band.
        weight, zoom: see Scene.
        stated_m: metres a pixel, where the raster's grid does not have them.
    """

    def __init__(
        self,
        name: str,
        opener: Callable[[], Opened],
        *,
        channels: int | None = None,
        weight: float = 1.0,
        zoom: tuple[float, float] = (1.0, 1.0),
        stated_m: float | None = None,
    ) -> None:
        self.name, self.weight, self.zoom = name, weight, zoom
        self._opener, self._key = opener, object()
        self._stated_m = stated_m
        self._unmapped: list[UnmappedValues] = []
        self._left_out = LeftOut()
        with POOL.using(self._key, opener) as opened:
            self._grid = opened.source.grid
            self._channels = opened.source.count if channels is None else channels
            self._drawn = opened.targets.drawn
            self._coarse_side = None if opened.coarse is None else opened.coarse.side
            self._has_objects = opened.objects is not None
            maps = 2 + (opened.coarse is not None) + 5 * self._has_objects
            self._pixel_bytes = self._channels * np.dtype(opened.source.dtype).itemsize + maps

    @property
    def shape(self) -> tuple[int, int]:
        return self._grid.shape

    @property
    def channels(self) -> int:
        return self._channels

    @property
    def grid(self) -> Grid | None:
        return self._grid

    @property
    def stated_m(self) -> float | None:
        return self._stated_m

    @property
    def bytes(self) -> int:
        """Bytes that the scene takes in memory."""
        return self._pixel_bytes * self.rect.area

    def read(self, rect: Rect) -> Example:
        with POOL.using(self._key, self._opener) as opened:
            return self._example(opened, rect)

    def labels(self, rect: Rect) -> NDArray[np.uint8]:
        with POOL.using(self._key, self._opener) as opened:
            if opened.targets.needs_pixels:
                return self._example(opened, rect)[2]
            return opened.targets.read(rect, None)

    @property
    def drawn(self) -> PolygonLabels | None:
        return self._drawn

    def survey(self) -> Iterator[tuple[Rect, NDArray[np.uint8]]]:
        opened = self._opener()  # files of its own: values without a class are to be counted once
        try:
            left_out = LeftOut()
            for part in parts(self.shape):
                if opened.targets.needs_pixels:
                    yield part, self._example(opened, part, left_out)[2]
                else:
                    target, why = opened.targets.read_reasons(part, None)
                    left_out.add_masks(why)
                    if opened.source.may_lack_data:
                        blind = ~opened.source.read(part)[1]
                        left_out.add(Reason.NO_IMAGERY, int((blind & (target != IGNORE_INDEX)).sum()))
                    yield part, target
            self._unmapped, self._left_out = opened.targets.unmapped, left_out
        finally:
            opened.close()

    @property
    def coarse_side(self) -> int | None:
        return self._coarse_side

    def read_coarse(self, rect: Rect) -> NDArray[np.uint8]:
        with POOL.using(self._key, self._opener) as opened:
            return super().read_coarse(rect) if opened.coarse is None else opened.coarse.read(rect)

    @property
    def has_objects(self) -> bool:
        return self._has_objects

    def read_map(self, name: str, rect: Rect) -> NDArray[Any]:
        if name not in OBJECT_MAPS:
            return super().read_map(name, rect)
        with POOL.using(self._key, self._opener) as opened:
            return opened.object_map(name, rect)

    def in_memory(self) -> ArrayScene:
        """Return the same scene in memory, read once.

        Raises:
            RasterError: it cannot be read.
        """
        opened = self._opener()
        try:
            left_out = LeftOut()
            pixels, valid, target = self._example(opened, self.rect, left_out)
            unmapped = tuple(opened.targets.unmapped)
            coarse = None if opened.coarse is None else opened.coarse.read(self.rect)
            names = OBJECT_MAPS if self._has_objects else ()
            objects = {name: opened.object_map(name, self.rect) for name in names}
        finally:
            opened.close()
        if opened.source.count > self._channels:
            pixels = pixels.copy()  # a view would keep the other bands
        return ArrayScene(
            self.name,
            pixels,
            valid,
            target,
            weight=self.weight,
            zoom=self.zoom,
            grid=self._grid,
            unmapped_values=unmapped,
            coarse=coarse,
            side=self._coarse_side or 1,
            stated=self._stated_m,
            skipped=left_out,
            origin=self,
            objects=objects,
        )

    @property
    def unmapped(self) -> list[UnmappedValues]:
        return self._unmapped

    @property
    def left_out(self) -> LeftOut:
        return self._left_out

    def _example(self, opened: Opened, rect: Rect, left_out: LeftOut | None = None) -> Example:
        """Return the same as `read`; pixels that teach nothing are added to ``left_out``."""
        pixels, valid = opened.source.read(rect)
        for_targets = opened.for_targets(pixels) if opened.targets.needs_pixels else pixels
        if left_out is None:
            target = opened.targets.read(rect, for_targets)
        else:
            target, why = opened.targets.read_reasons(rect, for_targets)
            left_out.add_masks(why)
            left_out.add(Reason.NO_IMAGERY, int((~valid & (target != IGNORE_INDEX)).sum()))
        target[~valid] = IGNORE_INDEX
        return pixels[: self._channels], valid, target
