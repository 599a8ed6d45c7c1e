"""Opened: the open files of one scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from landseg.geo.grid import Rect
from landseg.geo.rasters.rescaled import rescale
from landseg.geo.rasters.source import Source
from landseg.geo.rasters.value_tags import ValueTags
from landseg.labels.instances import ObjectIds
from landseg.labels.reader import LabelReader
from landseg.scenes.coarse_labels import CoarseLabels


@dataclass(frozen=True)
class Opened:
    """The open files of one scene: the imagery and its labels, on one grid.

    Attributes:
        objects: the objects on it, where they are known.
        stored: whether stored numbers are taken as they are, whatever scale and offset are declared.
    """

    source: Source
    targets: LabelReader
    coarse: CoarseLabels | None = None
    stored: bool = True
    objects: ObjectIds | None = None

    def object_map(self, name: str, rect: Rect) -> NDArray[Any]:
        """Return the map "instance" or "interior" (h, w) under a rectangle."""
        assert self.objects is not None, "a scene has these maps where objects are known"
        return self.objects.read(rect) if name == "instance" else self.objects.interior(rect)

    def for_targets(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Return pixels (C, h, w) for indices of the imagery: values in steps of the first band's scale.

        A declared offset is part of a value: an NDVI of stored numbers that are 1000 too high is none.
        """
        tags = self.source.bands.value_tags
        if self.stored or not any(one.offset for one in tags):
            return pixels
        steps = [one.onto(ValueTags(tags[0].scale)) for one in tags]
        return rescale(pixels, steps, "float32")

    def close(self) -> None:
        """Close all files."""
        self.source.close()
        self.targets.close()
        if self.coarse is not None:
            self.coarse.close()
        if self.objects is not None:
            self.objects.close()
