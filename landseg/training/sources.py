"""From the sources of a recipe to labelled scenes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.errors import TrainingError
from landseg.geo.grid import Grid
from landseg.geo.labels import PolygonLabels, read_label_raster
from landseg.geo.source import FileSource
from landseg.training.losses import LabelSets
from landseg.training.recipe import Recipe, SourceSpec
from landseg.training.scenes import Scene

Labeller = Callable[[Path, Grid, NDArray[Any]], NDArray[np.uint8]]
"""(image, its grid, its pixels) -> targets (H, W)."""
Index = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Pixels (C, H, W) -> (H, W)."""


class Kinds:
    """What target values mean: the classes by index, then every "only NAME" and "not NAME" in the order of first use.

    "only NAME" is that class, said by a source that knows no other.
    """

    def __init__(self, classes: ClassMap) -> None:
        self._classes = classes
        self._partial: list[str] = []

    def index(self, text: str) -> int:
        """The target value of "NAME", "only NAME", "not NAME" or "ignore".

        Raises:
            TrainingError: a name that is no class.
        """
        if text == "ignore":
            return IGNORE_INDEX
        name = text.removeprefix("not ").removeprefix("only ")
        if name not in self._classes.names:
            raise TrainingError(f"{name!r} names no class; use one of {', '.join(self._classes.names)}")
        if name == text:
            return self._classes.names.index(name)
        if text not in self._partial:
            self._partial.append(text)
        return len(self._classes) + self._partial.index(text)

    def sets(self) -> LabelSets:
        """The classes that each target value admits."""
        names = self._classes.names
        wanted = [
            (text.startswith("only "), text.removeprefix("not ").removeprefix("only ")) for text in self._partial
        ]
        members = [[k for k, name in enumerate(names) if (name == one) == only] for only, one in wanted]
        return LabelSets.of(len(names), members)


def load_scenes(recipe: Recipe, data: Path) -> tuple[list[Scene], LabelSets]:
    """Return every scene of the recipe, in memory, and what their target values mean.

    Sources of the same images make one scene of each. Weight, zoom and bands are the first source's; where it says
    nothing the next one's labels hold, and a class that is known holds before one that is only excluded.

    Raises:
        TrainingError: a glob that matches nothing, an image without labels, a class that does not exist.
    """
    scenes: list[Scene] = []
    kinds = Kinds(recipe.classes)
    for specs in _by_images(recipe.sources):
        spec = specs[0]
        labels = [_labeller(one, data, recipe, kinds, alone=len(specs) == 1) for one in specs]
        for image in find_images(spec, data):
            with FileSource(image, spec.bands or range(1, len(recipe.bands) + 1)) as source:
                pixels, valid = source.read(source.grid.rect)
                target = _joined([label(image, source.grid, pixels) for label in labels], len(recipe.classes))
            target[~valid] = IGNORE_INDEX
            scenes.append(Scene(image.stem, pixels[: len(recipe.bands)], valid, target, spec.weight, spec.zoom))
    return scenes, kinds.sets()


def _by_images(sources: Sequence[SourceSpec]) -> list[list[SourceSpec]]:
    together: dict[str, list[SourceSpec]] = {}
    for spec in sources:
        together.setdefault(spec.images, []).append(spec)
    return list(together.values())


def _joined(targets: Sequence[NDArray[np.uint8]], classes: int) -> NDArray[np.uint8]:
    """One target of several: the first that says something, and classes before exclusions."""
    joined = targets[0].copy()
    for later in targets[1:]:
        better = (joined == IGNORE_INDEX) | ((joined >= classes) & (later < classes))
        joined[better] = later[better]
    return joined


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


def _labeller(spec: SourceSpec, data: Path, recipe: Recipe, kinds: Kinds, *, alone: bool) -> Labeller:
    """How the targets of a source's images are made.

    A class that is all that is known of its images teaches no other ("only"): see `partial_cross_entropy`.
    """
    if spec.labels is not None:
        return _by_raster(spec, data, _values(spec, recipe, kinds))
    if spec.polygons is not None:
        polygons = PolygonLabels(_find_vector(spec.polygons, data, recipe.folder), spec.class_field)
        if spec.class_field is not None:
            targets = {name: kinds.index(name) for name in polygons.names}
            return lambda image, grid, pixels: polygons.burn_names(grid, targets, IGNORE_INDEX)
    assert spec.partial_class is not None, "whatever is not labels comes with a partial_class"
    yes = kinds.index(f"only {spec.partial_class}" if alone else spec.partial_class)
    no = kinds.index(f"not {spec.partial_class}")
    if spec.ndvi is not None:
        return _by_index(_ndvi, spec.ndvi, yes, no)
    if spec.greenness is not None:
        return _by_index(_excess_green, spec.greenness, yes, no)
    assert spec.polygons is not None, "nothing else is left"
    return lambda image, grid, pixels: np.where(polygons.burn(grid), yes, no).astype(np.uint8)


def _find_vector(name: str, data: Path, beside: Path) -> Path:
    """Below the data folder, or else beside the recipe: labels drawn for one model belong to its recipe."""
    return next((path for path in (data / name, beside / name) if path.exists()), data / name)


def _values(spec: SourceSpec, recipe: Recipe, kinds: Kinds) -> tuple[ClassMap, NDArray[np.uint8]]:
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


def _by_raster(spec: SourceSpec, data: Path, values: tuple[ClassMap, NDArray[np.uint8]]) -> Labeller:
    classes, table = values
    pattern = spec.labels
    assert pattern is not None, "the source is labelled by rasters"

    def label(image: Path, grid: Grid, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        path = data / pattern.format(stem=image.stem.removesuffix(spec.suffix))
        if not path.exists():
            raise TrainingError(f"{image} has no labels: expected {path}; add it or narrow the images")
        return table[read_label_raster(path, classes, grid)]

    return label


def _by_index(index: Index, limits: tuple[float, float], yes: int, no: int) -> Labeller:
    """The class from the second limit on, not the class up to the first, nothing known between them or for NaN."""

    def label(image: Path, grid: Grid, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        values = index(pixels.astype(np.float32))
        target = np.full(values.shape, IGNORE_INDEX, np.uint8)
        target[values >= limits[1]] = yes
        target[values <= limits[0]] = no
        return target

    return label


def _ndvi(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    red, infrared = pixels[0], pixels[-1]
    ratio: NDArray[np.float32] = (infrared - red) / np.maximum(infrared + red, 1)
    return ratio


def _excess_green(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    red, green, blue = pixels[:3]
    total = red + green + blue
    excess: NDArray[np.float32] = np.where(total < 90, np.nan, (2 * green - red - blue) / np.maximum(total, 1))
    return excess
