"""Scene: a labelled raster to learn from, read a rectangle at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX
from landseg.geo.grid import Grid, Rect

Reading = tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.uint8]]
"""Pixels (C, h, w) as they are in the raster, valid (h, w), target (h, w)."""


class Scene(ABC):
    """A labelled raster, read from several threads and after a fork.

    Attributes:
        name: for messages and splits.
        shape: (height, width).
        channels: of the pixels.
        weight: how much oftener than its area says crops are drawn here.
        zoom: the range of magnification relative to the training resolution.
        grid: where it lies; None: nowhere.
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
    def read(self, rect: Rect) -> Reading:
        """What lies under a rectangle inside the scene; the target is IGNORE_INDEX where nothing is known."""

    @abstractmethod
    def survey(self) -> Iterator[tuple[Rect, NDArray[np.uint8]]]:
        """Every target once: rectangles that partition the scene, and the target (h, w) under each."""


class Masked(Scene):
    """A part of a scene: its target is IGNORE_INDEX where ``mask``, of the rectangle, is False."""

    def __init__(self, scene: Scene, mask: Callable[[Rect], NDArray[np.bool_]]) -> None:
        self.scene, self.mask = scene, mask
        self.name, self.weight, self.zoom = scene.name, scene.weight, scene.zoom

    @property
    def shape(self) -> tuple[int, int]:
        return self.scene.shape

    @property
    def channels(self) -> int:
        return self.scene.channels

    @property
    def grid(self) -> Grid | None:
        return self.scene.grid

    def read(self, rect: Rect) -> Reading:
        pixels, valid, target = self.scene.read(rect)
        return pixels, valid, np.where(self.mask(rect), target, np.uint8(IGNORE_INDEX))

    def survey(self) -> Iterator[tuple[Rect, NDArray[np.uint8]]]:
        for rect, target in self.scene.survey():
            yield rect, np.where(self.mask(rect), target, np.uint8(IGNORE_INDEX))
