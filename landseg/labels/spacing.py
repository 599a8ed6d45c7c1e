"""The distance between points that labels hold, and whether they have sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from landseg.geo.rasters.source import FileSource
from landseg.labels.image_lists import Item
from landseg.labels.polygons import PolygonLabels

_IMAGES = 50  # looked at, evenly taken


@dataclass(frozen=True)
class Spacing:
    """The features of vector labels as points.

    Attributes:
        pixels: the median distance of a point to its nearest neighbour, in pixels of its image; None where no image
            has two.
        sized: whether features are polygons, which have a size.
    """

    pixels: float | None
    sized: bool


def spacing_of(items: Sequence[Item], *, buffer_m: float) -> Spacing:
    """Return the spacing of the centres of the features of images, each image by its own vector file.

    Args:
        items: images with vector files.
        buffer_m: the radius of the discs that points become.

    Raises:
        VectorError, RasterError: a file cannot be read.
    """
    from scipy.spatial import cKDTree

    step = max(1, -(-len(items) // _IMAGES))
    distances, sized, read = [np.zeros(0)], False, dict[object, PolygonLabels]()
    for item in items[::step]:
        if item.polygons is None:
            continue
        labels = read.setdefault(item.polygons, PolygonLabels(item.polygons, buffer_m=buffer_m, empty=True))
        sized |= not any("became areas" in note for note in labels.notes) and len(labels) > 0
        with FileSource(item.image) as source:
            shapes = labels.in_pixels(source.grid).shapes
        places = shapely.get_coordinates(shapely.centroid(shapes)).reshape(-1, 2)
        if len(places) > 1:
            distances.append(cKDTree(places).query(places, k=2)[0][:, 1])
    found = np.concatenate(distances)
    return Spacing(float(np.median(found)) if len(found) else None, sized)
