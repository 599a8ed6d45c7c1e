"""From the sources of a recipe to labelled scenes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.errors import TrainingError
from landseg.geo.labels import PolygonLabels, read_label_raster
from landseg.geo.source import FileSource
from landseg.training.losses import LabelSets
from landseg.training.recipe import Recipe, SourceSpec
from landseg.training.scenes import Scene


def load_scenes(recipe: Recipe, data: Path) -> tuple[list[Scene], LabelSets]:
    """Return every scene of the recipe, in memory, and what their target values mean.

    Raises:
        TrainingError: a glob that matches nothing, an image without labels, a class that does not exist.
    """
    scenes: list[Scene] = []
    others: list[list[int]] = []  # "any class but this one", one entry a partial source
    classes = len(recipe.classes)
    for spec in recipe.sources:
        images = find_images(spec, data)
        if spec.polygons is None:
            scenes += _by_raster(spec, images, data, recipe)
            continue
        index = _class_index(spec, recipe.classes)
        others.append([k for k in range(classes) if k != index])
        scenes += _by_polygons(spec, images, data, recipe, inside=index, outside=classes + len(others) - 1)
    return scenes, LabelSets.of(classes, others)


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
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _by_raster(spec: SourceSpec, images: Sequence[Path], data: Path, recipe: Recipe) -> Iterator[Scene]:
    assert spec.labels is not None, "a source without polygons has labels"
    for image in images:
        path = data / spec.labels.format(stem=image.stem)
        if not path.exists():
            raise TrainingError(f"{image} has no labels: expected {path}; add it or narrow the images")
        with FileSource(image, _bands(spec, recipe)) as source:
            pixels, valid = source.read(source.grid.rect)
            target = read_label_raster(path, recipe.classes, source.grid)
        target[~valid] = IGNORE_INDEX
        yield Scene(image.stem, pixels, valid, target, spec.weight, spec.zoom)


def _by_polygons(
    spec: SourceSpec, images: Sequence[Path], data: Path, recipe: Recipe, *, inside: int, outside: int
) -> Iterator[Scene]:
    assert spec.polygons is not None, "a source without labels has polygons"
    polygons = PolygonLabels(data / spec.polygons)
    for image in images:
        with FileSource(image, _bands(spec, recipe)) as source:
            pixels, valid = source.read(source.grid.rect)
            target = np.where(polygons.burn(source.grid), inside, outside).astype(np.uint8)
        target[~valid] = IGNORE_INDEX
        yield Scene(image.stem, pixels, valid, target, spec.weight, spec.zoom)


def _bands(spec: SourceSpec, recipe: Recipe) -> Sequence[int]:
    return spec.bands or range(1, len(recipe.bands) + 1)


def _class_index(spec: SourceSpec, classes: ClassMap) -> int:
    if spec.polygon_class not in classes.names:
        raise TrainingError(
            f"source {spec.name!r}: polygon_class {spec.polygon_class!r} is not a class; "
            f"use one of {', '.join(classes.names)}"
        )
    return classes.names.index(spec.polygon_class)
