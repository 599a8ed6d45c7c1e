"""Images with their labels as scenes, without a recipe."""

from __future__ import annotations

from collections.abc import Sequence

from landseg.dense.losses import LabelSets
from landseg.errors import TrainingError
from landseg.labels.image_lists import Item, scene_names
from landseg.scenes.label_sets import LabelSetBuilder
from landseg.scenes.opener import Opener
from landseg.scenes.opening import ImageLabelOptions, checked, labels_for
from landseg.scenes.scene import RasterScene, Scene


def open_items(items: Sequence[Item], options: ImageLabelOptions) -> tuple[list[Scene], LabelSets]:
    """Return a scene for every image, to be read when asked, and what target values mean.

    Raises:
        RasterError, VectorError: a file that cannot be opened.
        ClassError: polygons without a class.
        TrainingError: images whose bands differ; labels that do not lie on their image; polygons that lie on none.
            All of one kind are listed together.
    """
    kinds = LabelSetBuilder(options.classes)
    if bare := [item for item in items if item.labels is None and item.polygons is None]:
        raise TrainingError(f"{bare[0].image} has no labels; name its label raster or a vector file")
    openers = checked(
        [
            Opener(item.image, None, (labels,), len(options.classes))
            for item, labels in zip(items, labels_for(items, options, kinds), strict=True)
        ]
    )
    names = scene_names([item.image for item in items])
    scenes: list[Scene] = [RasterScene(name, one) for name, one in zip(names, openers, strict=True)]
    return scenes, kinds.sets()
