"""From the sources of a recipe to labelled scenes."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from glob import glob
from pathlib import Path

import numpy as np

from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.dense.losses import LabelSets
from landseg.errors import RasterError, TrainingError
from landseg.geo.pieces import parts
from landseg.geo.rasters.address import as_on_disk
from landseg.geo.vectors.names import is_there, split_layer
from landseg.labels import image_lists
from landseg.labels.image_lists import Item, scene_names
from landseg.labels.polygon_files import PolygonFiles
from landseg.labels.reader import refuse_unmapped
from landseg.models.card import DataSource
from landseg.scenes.data_source import SourceSpec
from landseg.scenes.label_sets import LabelSetBuilder
from landseg.scenes.opener import ImageLabels, LabelPolygons, Opener
from landseg.scenes.opening import ImageLabelOptions, TargetTable, checked, labels_of_source, read_polygons
from landseg.scenes.scene import RasterScene, Scene
from landseg.scenes.targets import IndexTargets, UnknownTargets
from landseg.scenes.views import in_memory
from landseg.text.amounts import part_of, shorten_list
from landseg.training.coarse.options import CoarseOptions
from landseg.training.coarse.sources import Paths, coarse_paths, coarse_rasters
from landseg.training.coarse.statistics import JointStatistics
from landseg.training.recipe import Recipe

MEMORY_MIB = 2048
STEM = "{stem}"
"""Stands for the stem of an image in the name of its labels."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Labelled:
    """The scenes of a recipe, to learn from and to be measured on.

    Attributes:
        scenes: every labelled raster, to be read when asked.
        items: their files, in the same order.
        bands: of each, 1-based.
        sets: what target values mean.
        coarse: what coarse values mean; None where there are none.
        statistics: of the recipe's table of joint statistics, where it names one.
    """

    scenes: list[Scene]
    items: list[Item]
    bands: list[tuple[int, ...]]
    sets: LabelSets
    coarse: ClassMap | None = None
    statistics: JointStatistics | None = None


def open_scenes(recipe: Recipe, data: Path) -> Labelled:
    """Return every scene of the recipe, and what their target values mean.

    Sources of the same images make one scene of each. Weight, zoom and bands are the first source's; where it says
    nothing the next one's labels hold, and a class that is known holds before one that is only excluded.

    Raises:
        TrainingError: names that match nothing, images without labels or of another size than theirs, polygons that
            lie on none of their images, a class that does not exist.
    """
    openers: list[Opener] = []
    items: list[Item] = []
    settings: list[SourceSpec] = []
    coarse: list[Paths | None] = []
    tags = None if recipe.sampling.stored_values else tuple(band.tags for band in recipe.bands)
    kinds = LabelSetBuilder(recipe.classes)
    for specs in _by_images(recipe.sources):
        each_with = [find_items(spec, data, recipe.folder) for spec in specs]
        found, alone = each_with[0], len(specs) == 1
        labels = [_labels(s, own, recipe, kinds, alone=alone) for s, own in zip(specs, each_with, strict=True)]
        bands = specs[0].bands or tuple(range(1, len(recipe.bands) + 1))
        fresh = [
            Opener(item.image, bands, tuple(each), len(recipe.classes), tags=tags)
            for item, each in zip(found, zip(*labels, strict=True), strict=True)
        ]
        if recipe.sampling.skip_corrupt:
            whole = [number for number, one in enumerate(fresh) if _is_whole(one)]
            fresh, found = [fresh[number] for number in whole], [found[number] for number in whole]
        checked(fresh)
        coarse += coarse_paths(specs, found, data)
        openers += fresh
        items += found
        settings += [specs[0]] * len(found)
    if not openers:
        raise TrainingError("none of the images can be read whole; leave out skip_corrupt to see why")
    options = recipe.coarse or CoarseOptions()
    statistics = options.statistics((data, recipe.folder), recipe.classes.names)
    rasters = coarse_rasters(coarse, items, options, None if statistics is None else statistics.coarse)
    openers = [replace(one, coarse=raster) for one, raster in zip(openers, rasters, strict=True)]
    names = scene_names([item.image for item in items])
    scenes: list[Scene] = [
        RasterScene(
            name, one, channels=len(recipe.bands), weight=spec.weight, zoom=spec.zoom, stated_m=spec.resolution_m
        )
        for name, one, spec in zip(names, openers, settings, strict=True)
    ]
    classes = next((raster.classes for raster in rasters if raster is not None), None)
    return Labelled(scenes, items, [one.bands or () for one in openers], kinds.sets(), classes, statistics)


def load_scenes(recipe: Recipe, data: Path, *, memory_mib: float = MEMORY_MIB) -> tuple[list[Scene], LabelSets]:
    """Return the scenes of `open_scenes`, those read at once that fit into ``memory_mib`` together.

    Raises:
        TrainingError: as `open_scenes`.
        ClassError: values of labels without a class, in what is read at once.
    """
    opened = open_scenes(recipe, data)
    loaded = in_memory(opened.scenes, memory_mib)
    refuse_unmapped([values for scene in loaded for values in scene.unmapped])
    return loaded, opened.sets


def find_items(spec: SourceSpec, data: Path, beside: Path) -> list[Item]:
    """Return the images of a source, each with its label raster or its polygons where it has any.

    Args:
        spec: the source.
        data: the folder that names start from.
        beside: the folder of the recipe, where names of polygons start that are not below that folder.

    Raises:
        TrainingError: names that match nothing, or images without labels.
    """
    if spec.ids is not None:
        named = (spec.ids,) if isinstance(spec.ids, str) else spec.ids
        try:
            return image_lists.with_ids(_with_labels(spec, data, beside), [str(data / name) for name in named])
        except TrainingError as error:
            raise TrainingError(f"source {spec.name!r}: {error}") from error
    return _with_labels(spec, data, beside)


def _with_labels(spec: SourceSpec, data: Path, beside: Path) -> list[Item]:
    """Return the images of a source, each with its label raster or its polygons where it has any."""
    images, labels = [str(data / name) for name in spec.paths], spec.labels
    try:
        if spec.polygons:
            return _with_polygons(spec, image_lists.items_of(images), data, beside)
        if spec.ndvi or spec.greenness:
            return [replace(item, labels=None) for item in image_lists.items_of(images)]
        if spec.only_coarse or (spec.ids is not None and labels is None):
            return image_lists.items_of(images)
        if isinstance(labels, str) and STEM in labels:
            items = image_lists.items_of(images)
            paths = _by_pattern(items, data / labels, spec.suffix, "labels")
            return [replace(item, labels=path) for item, path in zip(items, paths, strict=True)]
        named = (labels,) if isinstance(labels, str) else labels
        places = None if named is None else [str(data / name) for name in named]
        if spec.coarse is not None and places is not None:  # images without fine labels have those
            return image_lists.paired_where_possible(image_lists.items_of(images), places)
        return image_lists.pair(images, places)
    except TrainingError as error:
        raise TrainingError(f"source {spec.name!r}: {error}") from error


def _with_polygons(spec: SourceSpec, items: Sequence[Item], data: Path, beside: Path) -> list[Item]:
    """Return the images of a source, each with the vector file that labels it."""
    if isinstance(spec.polygons, str) and STEM in spec.polygons:
        pattern = _find_polygons(spec.polygons, data, beside)
        paths = _by_pattern(items, pattern, spec.suffix, "vector file")
        return [replace(item, labels=None, polygons=path) for item, path in zip(items, paths, strict=True)]
    named = (spec.polygons,) if isinstance(spec.polygons, str) else spec.polygons or ()
    places = [str(_find_polygons(name, data, beside)) for name in named]
    files = PolygonFiles.named(places, asked=True)
    if files is None:
        raise TrainingError(
            f"{shorten_list(places)}: expected vector files, a folder or a glob of them; check the path"
        )
    return image_lists.with_polygons(items, files, where_possible=spec.coarse is not None)


def _by_pattern(items: Sequence[Item], pattern: Path, suffix: str, noun: str) -> list[Path]:
    """Return the label file that a pattern names for the stem of each image."""
    stems = [item.image.stem.removesuffix(suffix) for item in items]
    found = [as_on_disk(Path(str(pattern).format(stem=stem))) for stem in stems]
    if bare := [(item.image, path) for item, path in zip(items, found, strict=True) if not is_there(path)]:
        raise TrainingError(
            f"{part_of(len(bare), len(items), 'image', 'has', 'have')} "
            f"no {noun}: {shorten_list([str(image) for image, _ in bare])}; "
            f"expected {bare[0][1]}; add it or narrow the images"
        )
    return found


def fully_named(recipe: Recipe, data: Path) -> Recipe:
    """Return the recipe with labels that lie beside it named in full: written elsewhere it still finds them."""
    sources = tuple(
        spec if spec.polygons is None else replace(spec, polygons=_full_names(spec.polygons, data, recipe.folder))
        for spec in recipe.sources
    )
    return replace(recipe, sources=sources)


def _full_names(names: str | tuple[str, ...], data: Path, beside: Path) -> str | tuple[str, ...]:
    """Return names of vector files that lie beside the recipe in full, those below the data folder as they are."""
    if isinstance(names, tuple):
        return tuple(_full_name(name, data, beside) for name in names)
    return _full_name(names, data, beside)


def data_sources(recipe: Recipe, data: Path) -> tuple[DataSource, ...]:
    """Return the recipe's data sets with the hash of their images: every file is read.

    Raises:
        RasterError: a file that cannot be read.
    """
    return tuple(
        DataSource(spec.name, spec.licence, spec.credit, fingerprint([item.image for item in items]))
        for spec, items in ((spec, find_items(spec, data, recipe.folder)) for spec in recipe.sources)
    )


def fingerprint(paths: Sequence[Path]) -> str:
    """Return one SHA-256 over the files' own digests, in the given order.

    Raises:
        RasterError: a file that cannot be read.
    """
    total = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise RasterError(f"{path} cannot be read: {error.strerror or error}") from error
    return total.hexdigest()


def _by_images(sources: Sequence[SourceSpec]) -> list[list[SourceSpec]]:
    together: dict[tuple[str, ...], list[SourceSpec]] = {}
    for spec in sources:
        together.setdefault(spec.paths, []).append(spec)
    return list(together.values())


def _labels(
    spec: SourceSpec, items: Sequence[Item], recipe: Recipe, kinds: LabelSetBuilder, *, alone: bool
) -> Sequence[ImageLabels]:
    """Return the labels that the targets of each of a source's images are made from.

    A class that is all that is known of its images teaches no other ("only"): see `partial_cross_entropy`.
    """
    if spec.partial_class is None:
        meaning = None if spec.values is None or spec.polygons is not None else _target_table(spec, kinds)
        return labels_of_source(spec, items, recipe.classes, kinds, meaning=meaning)
    yes = kinds.index(f"only {spec.partial_class}" if alone else spec.partial_class)
    no = kinds.index(f"not {spec.partial_class}")
    if spec.ndvi is not None:
        return [IndexTargets("ndvi", spec.ndvi, yes, no)] * len(items)
    if spec.greenness is not None:
        return [IndexTargets("greenness", spec.greenness, yes, no, _white(recipe))] * len(items)
    options = ImageLabelOptions(recipe.classes, all_touched=spec.all_touched, buffer_m=spec.buffer_m)
    drawn = {
        path: LabelPolygons(polygons, no, None, yes, f"not {spec.partial_class}")
        for path, polygons in read_polygons(image_lists.polygon_files(items), options).items()
    }
    return [UnknownTargets() if item.polygons is None else drawn[item.polygons] for item in items]


def _white(recipe: Recipe) -> float:
    """Return the value of white in the imagery, in the numbers of an index (see `Opened.for_targets`)."""
    bands = recipe.bands[:3]
    white = float(np.mean([band.mean + band.std for band in bands]))
    if recipe.sampling.stored_values or not any(band.tags.offset for band in bands):
        return white
    step = bands[0].tags.scale
    return float(np.mean([((b.mean + b.std) * b.tags.scale + b.tags.offset) / step for b in bands]))


def _find_polygons(name: str, data: Path, beside: Path) -> Path:
    """Return the path of polygons, or of a glob or pattern of them: below the data folder, or else beside the recipe,
    to which labels drawn for it belong."""
    matching = split_layer(name.replace(STEM, "*"))[0]
    below = (path for path in (data, beside) if is_there(path / name) or glob(str(path / matching), recursive=True))
    return next(below, data) / name


def _full_name(name: str, data: Path, beside: Path) -> str:
    found = _find_polygons(name, data, beside)
    return name if found == data / name else str(found.resolve())


def _is_whole(opener: Opener) -> bool:
    """Return whether every pixel and label of a scene can be read; log the scene that is left out."""
    try:
        opened = opener()
        try:
            for part in parts(opened.source.grid.shape):
                pixels, _ = opened.source.read(part)
                opened.targets.read(part, pixels)
        finally:
            opened.close()
    except RasterError as error:
        _log.warning("left out: %s", error)
        return False
    return True


def _target_table(spec: SourceSpec, kinds: LabelSetBuilder) -> TargetTable:
    """Return the class table to read a label raster with, and the target value of each index of it (256,)."""
    assert spec.values is not None
    table = np.full(256, IGNORE_INDEX, np.uint8)
    if not all(value.isdecimal() for value in spec.values):
        raise TrainingError(f"source {spec.name!r}: values are whole numbers, not {', '.join(spec.values)}")
    known = {int(value): text for value, text in spec.values.items() if text != "ignore"}
    ignored = tuple(int(value) for value, text in spec.values.items() if text == "ignore")
    table[: len(known)] = [kinds.index(text) for text in known.values()]
    return ClassMap.from_json({"classes": [{"value": v, "name": str(v)} for v in known], "ignore": ignored}), table
