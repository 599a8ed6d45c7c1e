"""From the sources of a recipe to labelled scenes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.errors import TrainingError
from landseg.geo.labels import PolygonLabels
from landseg.training.kinds import Kinds
from landseg.training.labelling import Burnt, Labels, Legend, Opener, check_fit
from landseg.training.losses import LabelSets
from landseg.training.recipe import Recipe, SourceSpec
from landseg.training.scene import RasterScene, Scene, in_memory
from landseg.training.targets import IndexTargets, Targets, listed, refuse_strange

MEMORY_MIB = 2048


def load_scenes(recipe: Recipe, data: Path, *, memory_mib: float = MEMORY_MIB) -> tuple[list[Scene], LabelSets]:
    """Return every scene of the recipe, and what their target values mean.

    Sources of the same images make one scene of each. Weight, zoom and bands are the first source's; where it says
    nothing the next one's labels hold, and a class that is known holds before one that is only excluded. Scenes that
    fit into ``memory_mib`` together are read at once, the others when they are asked for.

    Raises:
        TrainingError: a glob that matches nothing, images without labels or of another size than theirs, a class
            that does not exist.
        ClassError: values of labels without a class, in what is read at once.
    """
    scenes: list[RasterScene] = []
    kinds = Kinds(recipe.classes)
    for specs in _by_images(recipe.sources):
        images = find_images(specs[0], data)
        alone = len(specs) == 1
        labels = [_labels(spec, images, data, recipe, kinds, alone=alone) for spec in specs]
        bands = specs[0].bands or tuple(range(1, len(recipe.bands) + 1))
        openers = [
            Opener(image, bands, tuple(each), len(recipe.classes))
            for image, each in zip(images, zip(*labels, strict=True), strict=True)
        ]
        check_fit(openers)
        scenes += [
            RasterScene(one.image.stem, one, channels=len(recipe.bands), weight=specs[0].weight, zoom=specs[0].zoom)
            for one in openers
        ]
    loaded = in_memory(scenes, memory_mib)
    refuse_strange([one for scene in loaded for one in scene.strange()])
    return loaded, kinds.sets()


def find_images(spec: SourceSpec, data: Path) -> list[Path]:
    """Return the images of a source, by name.

    Raises:
        TrainingError: when there is none.
    """
    images = sorted(data.glob(spec.images))
    if not images:
        raise TrainingError(f"source {spec.name!r}: no file matches {spec.images} below {data}; check --data")
    return images


def fingerprint(paths: Sequence[Path]) -> str:
    """Return one SHA-256 over the files' own digests, in the given order."""
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def _by_images(sources: Sequence[SourceSpec]) -> list[list[SourceSpec]]:
    together: dict[str, list[SourceSpec]] = {}
    for spec in sources:
        together.setdefault(spec.images, []).append(spec)
    return list(together.values())


def _labels(
    spec: SourceSpec, images: Sequence[Path], data: Path, recipe: Recipe, kinds: Kinds, *, alone: bool
) -> Sequence[Labels | Burnt | Targets]:
    """What the targets of each of a source's images are made from.

    A class that is all that is known of its images teaches no other ("only"): see `partial_cross_entropy`.
    """
    if spec.labels is not None:
        legend = _legend(spec, recipe, kinds)
        return [Labels(path, *legend) for path in _label_rasters(spec, images, data)]
    if spec.polygons is not None:
        polygons = PolygonLabels(_find_vector(spec.polygons, data, recipe.folder), spec.class_field)
        if spec.class_field is not None:
            values = {name: kinds.index(name) for name in polygons.names}
            return [Burnt(polygons, IGNORE_INDEX, values)] * len(images)
    assert spec.partial_class is not None, "whatever is not labels comes with a partial_class"
    yes = kinds.index(f"only {spec.partial_class}" if alone else spec.partial_class)
    no = kinds.index(f"not {spec.partial_class}")
    if spec.ndvi is not None:
        return [IndexTargets("ndvi", spec.ndvi, yes, no)] * len(images)
    if spec.greenness is not None:
        return [IndexTargets("greenness", spec.greenness, yes, no)] * len(images)
    assert spec.polygons is not None, "nothing else is left"
    return [Burnt(polygons, no, None, yes)] * len(images)


def _label_rasters(spec: SourceSpec, images: Sequence[Path], data: Path) -> list[Path]:
    assert spec.labels is not None, "the source is labelled by rasters"
    paths = [data / spec.labels.format(stem=image.stem.removesuffix(spec.suffix)) for image in images]
    if bare := [str(image) for image, path in zip(images, paths, strict=True) if not path.exists()]:
        first = next(path for path in paths if not path.exists())
        raise TrainingError(
            f"source {spec.name!r}: {len(bare)} of {len(images)} images have no labels: {listed(bare)}; expected "
            f"{first}; add it or narrow the images"
        )
    return paths


def _find_vector(name: str, data: Path, beside: Path) -> Path:
    """Below the data folder, or else beside the recipe: labels drawn for one model belong to its recipe."""
    return next((path for path in (data / name, beside / name) if path.exists()), data / name)


def _legend(spec: SourceSpec, recipe: Recipe, kinds: Kinds) -> Legend:
    """The class table to read a label raster with, and the target value of each of its indices (256,)."""
    table = np.full(256, IGNORE_INDEX, np.uint8)
    if spec.values is None:
        table[: len(recipe.classes)] = np.arange(len(recipe.classes))
        return recipe.classes, table
    if not all(value.isdecimal() for value in spec.values):
        raise TrainingError(f"source {spec.name!r}: values are whole numbers, not {', '.join(spec.values)}")
    known = {int(value): text for value, text in spec.values.items() if text != "ignore"}
    ignored = tuple(int(value) for value, text in spec.values.items() if text == "ignore")
    table[: len(known)] = [kinds.index(text) for text in known.values()]
    return ClassMap.from_json({"classes": [{"value": v, "name": str(v)} for v in known], "ignore": ignored}), table
