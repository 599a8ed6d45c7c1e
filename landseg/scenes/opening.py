"""Opening of images with their labels as scenes: every fault is found before anything is learned."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX, ClassMap, LandClass
from landseg.errors import BandError, ClassError, GridError, TrainingError, VectorError
from landseg.geo.crs import connected, crs_text
from landseg.geo.grid import Grid
from landseg.geo.rasters.rescaled import NO_BRIGHTNESS, refuse_indices
from landseg.geo.rasters.source import FileSource
from landseg.labels.coverage import Coverage, shorten_notes
from landseg.labels.image_lists import Item, polygon_files
from landseg.labels.instances import NONE, OUTSIDE, UNKNOWN, IdFile, objects_of
from landseg.labels.label_colors import IGNORED, Colors, colors_of, label_source
from landseg.labels.polygons import PolygonLabels
from landseg.labels.raster_labels import RasterLabels
from landseg.labels.reader import LabelReader
from landseg.labels.value_mapping import class_indices
from landseg.scenes.data_source import SourceSpec
from landseg.scenes.label_sets import LabelSetBuilder
from landseg.scenes.opener import ImageLabels, LabelIds, LabelPolygons, LabelRaster, Opener
from landseg.scenes.targets import UnknownTargets
from landseg.text.amounts import counted, shorten_list

_log = logging.getLogger(__name__)

TargetTable = tuple[ClassMap, NDArray[np.uint8]]
"""The class table of a label raster, and the target value of each of its indices (256,)."""


@dataclass(frozen=True)
class ImageLabelOptions:
    """The way in which the labels of images become targets.

    Attributes:
        classes: classes of the model, by index.
        field: the column of vector files with each polygon's class name or value; None: all polygons are of the one
            class that is not ``background``.
        background: the class, by name, of all that lies outside the polygons; None: it is not known.
        partial: the labels know only the classes that they show. Outside them a pixel is
            "unknown", or, where they are complete, known to be none of them ("others"). None: they know every class.
        known: the classes, by name, that a partial raster knows; None: all of the table's.
        all_touched: burn every pixel that a polygon touches, not those alone whose centre it covers.
        buffer_m: metres around lines and points of vector files that count as theirs; None: these are refused.
        things: polygons of classes of things are objects.
    """

    classes: ClassMap
    field: str | None = None
    background: str | None = None
    partial: Literal["unknown", "others"] | None = None
    known: tuple[str, ...] | None = None
    all_touched: bool = False
    buffer_m: float | None = None
    things: bool = False


def labels_of_source(
    spec: SourceSpec,
    items: Sequence[Item],
    classes: ClassMap,
    kinds: LabelSetBuilder,
    *,
    meaning: TargetTable | None = None,
) -> list[ImageLabels]:
    """Return the labels of each image of a data set, where they are not an index or one class alone.

    Args:
        spec: the data set.
        items: its images.
        classes: classes of the model.
        kinds: the target values, to which new ones are added.
        meaning: classes and targets of the values of its label rasters, where the class table does not say them.

    Raises:
        ClassError, TrainingError, VectorError: polygons or options without a class.
    """
    options = ImageLabelOptions(
        classes,
        field=spec.class_field,
        background=spec.background,
        partial=spec.partial,
        known=spec.known,
        all_touched=spec.all_touched,
        buffer_m=spec.buffer_m,
        things=spec.things,
    )
    colors = colors_of(classes, spec.ignored_colors) if spec.label_colors else None
    return labels_for(items, options, kinds, meaning=meaning, colors=colors)


def labels_for(
    items: Sequence[Item],
    options: ImageLabelOptions,
    kinds: LabelSetBuilder,
    *,
    meaning: TargetTable | None = None,
    colors: Colors | None = None,
) -> list[ImageLabels]:
    """Return the labels of each image.

    Args:
        items: the images; those without a label raster, polygons or ids are unlabelled.
        options: options for reading labels.
        kinds: the target values, to which new ones are added.
        meaning: classes and targets of the values of label rasters, where the class table does not say them.
        colors: label rasters are pictures in these.

    Raises:
        ClassError, TrainingError, VectorError: polygons or options without a class.
    """
    if files := polygon_files(items):
        drawn = label_polygons(files, options, kinds)
        return [UnknownTargets() if one.polygons is None else drawn[one.polygons] for one in items]
    classes, table = target_table(options, kinds) if meaning is None else meaning
    if colors is not None and IGNORED in colors.values():
        classes = classes.ignoring([IGNORED])
    made: list[ImageLabels] = []
    for item in items:
        ids = None if item.ids is None else IdFile(item.ids)
        if item.labels is not None:
            made.append(LabelRaster(item.labels, classes, table, colors, ids))
        elif ids is not None:
            named = thing_and_rest(options.classes, options.background)
            made.append(LabelIds(ids, *(kinds.index(name) for name in named)))
        else:
            made.append(UnknownTargets())
    return made


def thing_and_rest(classes: ClassMap, background: str | None) -> tuple[str, str]:
    """Return the names of the class of all objects, and of the class of all that is none.

    Raises:
        ClassError: several classes of things, or none, or several others.
    """
    names, things = classes.names, classes.things
    if len(things) != 1:
        found = ", ".join(names[index] for index in things) or "none"
        raise ClassError(
            "ids do not say of which class an object is: expected a class table with one class of things, got "
            f"{found}; say thing = true for it, or give label rasters as well"
        )
    others = [name for index, name in enumerate(names) if index != things[0]]
    rest = others if background is None else [background]
    if len(rest) != 1 or rest[0] not in others:
        raise ClassError(
            f"{', '.join(others) or 'no class'} could be meant where there is no object: name one of them as the "
            "background"
        )
    return names[things[0]], rest[0]


def checked(openers: Sequence[Opener], *, quiet: bool = False) -> Sequence[Opener]:
    """Return the images with their labels, after `check_fit` and `check_polygons`."""
    check_fit(openers)
    check_polygons(openers, quiet=quiet)
    return openers


def check_fit(openers: Sequence[Opener]) -> None:
    """Raise TrainingError unless all images have the same bands and each fits its labels.

    Raises:
        TrainingError: faults, each with its files.
        BandError: an image of palette indices.
        ClassError, GridError: ids that are none, or do not lie on their image.
    """
    wrong: dict[str, list[str]] = {}
    bands: Counter[tuple[int, str]] = Counter()
    seen: list[tuple[Path, tuple[int, str]]] = []
    for opener in openers:
        with FileSource(opener.image, opener.bands) as source:
            refuse_indices(source, NO_BRIGHTNESS)
            grid, kind = source.grid, (source.count, source.dtype)
        bands[kind] += 1
        seen.append((opener.image, kind))
        for labels in opener.labels:
            if not isinstance(labels, LabelReader | LabelPolygons) and labels.objects is not None:
                labels.objects.on(grid).close()
            if isinstance(labels, LabelRaster) and (fault := _fault(labels, opener.image, grid)) is not None:
                wrong.setdefault(fault[0], []).append(fault[1])
    usual = max(bands, key=lambda kind: (bands[kind], kind), default=(0, ""))
    if odd := [f"{path} ({count} of {dtype})" for path, (count, dtype) in seen if (count, dtype) != usual]:
        what = f"most images have {counted(usual[0], 'band')} of {usual[1]}, these have others"
        wrong[f"{what}, and a model reads one kind (choose bands, or convert them)"] = odd
    if wrong:
        raise TrainingError("; ".join(f"{what}: {shorten_list(cases)}" for what, cases in wrong.items()))


def _fault(labels: LabelRaster, image: Path, grid: Grid) -> tuple[str, str] | None:
    """Return the fault of a label raster on an image's grid, in general and in this case; None where it fits."""
    path = labels.path
    try:
        source = label_source(path, table=labels.classes, colors=labels.colors)
    except BandError as error:
        return f"a label raster {str(error).removeprefix(f'{path.name} ')}", str(path)
    with source:
        own = source.grid
        if not own.is_placed and not grid.is_placed and own.shape != grid.shape:
            sizes = f"{path} has {own.width} x {own.height} px, {image} {grid.width} x {grid.height}"
            return (
                "labels without georeference cover their image pixel by pixel (export them at its size)",
                sizes,
            )
        try:
            RasterLabels(source, grid)
        except GridError:
            case = f"{path} is in {crs_text(own.crs)}, {image} in {crs_text(grid.crs)}"
            if (own.crs is None) != (grid.crs is None):
                return "expected image and labels both to have a CRS or neither (assign it by gdal_edit -a_srs)", case
            if grid.crs is not None and not connected(own.crs, grid.crs):
                return "no transformation is known between labels and image (use data in one coordinate system)", case
            return "labels that do not overlap their image (check that they belong together)", case
    return None


def check_polygons(openers: Sequence[Opener], *, quiet: bool = False) -> None:
    """Warn of polygons on no image and of images without polygons, unless ``quiet``.

    Args:
        openers: images with their labels: those of one data set are at the same place in all.
        quiet: no warnings.

    Raises:
        TrainingError: a vector file of which no polygon lies on any of its images.
    """
    found: dict[int, tuple[Coverage, dict[int, PolygonLabels]]] = {}
    for opener in openers:
        drawn = {place: one for place, one in enumerate(opener.labels) if isinstance(one, LabelPolygons)}
        if not drawn:
            continue
        with FileSource(opener.image, opener.bands) as source:
            grid = source.grid
        for place, one in drawn.items():
            coverage, files = found.setdefault(place, (Coverage(outside=one.outside_name), {}))
            coverage.add(one.polygons, opener.image.name, grid)
            files[id(one.polygons)] = one.polygons
    for coverage, files in found.values():
        if (sentence := coverage.nowhere()) is not None:
            raise TrainingError(sentence)
        notes = shorten_notes([one.notes for one in files.values()])
        for sentence in () if quiet else (*notes, *coverage.sentences()):
            _log.warning("%s", sentence)


def target_table(options: ImageLabelOptions, kinds: LabelSetBuilder) -> TargetTable:
    """Return the classes of label rasters, and the target value of each of their indices.

    "Others" are the pixels that hold the value of no class; ignored values and those without data stay unknown.
    """
    classes, table = options.classes, np.full(256, IGNORE_INDEX, np.uint8)
    known = classes.names if options.known is None else options.known
    alone = options.partial is not None and len(known) == 1
    for name in known:
        kind = kinds.index(f"only {name}" if alone else name)
        table[classes.names.index(name)] = kind
    if options.partial != "others" or classes.nodata in classes.ignore:
        return classes, table
    table[len(classes)] = kinds.excluding(known)
    return ClassMap((*classes.classes, LandClass(classes.nodata, "none of these", (0, 0, 0))), classes.ignore), table


def label_polygons(
    files: Sequence[Path], options: ImageLabelOptions, kinds: LabelSetBuilder
) -> dict[Path, LabelPolygons]:
    """Return the polygons of each vector file as labels; the target value of a class is the same in all files.

    Of several files some may hold no polygon.

    Raises:
        ClassError, TrainingError, VectorError: see `labels_for`.
    """
    names = options.classes.names
    read = read_polygons(files, options)
    if options.background is not None and options.background not in names:
        raise ClassError(f"background {options.background!r} is no class; use one of {', '.join(names)}")
    if options.background is not None and options.partial is not None:
        raise TrainingError("partial labels do not know what lies outside them: leave out either of the two")
    where = shorten_list([str(path) for path in files])
    if options.field is None:
        shown = [name for name in names if name != options.background] if options.known is None else [*options.known]
        if len(shown) != 1:
            columns = f"the column of {where} that names the class of each polygon"
            raise ClassError(f"{', '.join(shown)} could all be meant by a polygon: name {columns}, or a single class")
        indices = None
    else:
        counts: Counter[str] = Counter()
        for polygons in read.values():
            counts.update(polygons.counts())
        indices = class_indices(counts, options.classes, f"{where}, column {options.field!r}")
        shown = [name for index, name in enumerate(names) if index in indices.values()]
    _check_things(where, options, shown)
    alone = options.partial is not None and len(shown) == 1
    targets = {name: kinds.index(f"only {name}" if alone else name) for name in shown}
    outside = IGNORE_INDEX if options.background is None else kinds.index(options.background)
    outside_name = options.background
    if options.partial == "others":
        outside, outside_name = kinds.excluding(shown), f"none of {', '.join(shown)}"
    values = None if indices is None else {text: targets[names[index]] for text, index in indices.items()}
    inside = targets[shown[0]] if indices is None else IGNORE_INDEX
    are_things = _are_things(options, indices) if options.things else None
    beyond = NONE if outside != IGNORE_INDEX else OUTSIDE if options.partial is not None else UNKNOWN
    made = {}
    for path, polygons in read.items():
        objects = None if are_things is None else objects_of(polygons, are_things, beyond=beyond)
        made[path] = LabelPolygons(polygons, outside, values, inside, outside_name, objects)
    return made


def read_polygons(files: Sequence[Path], options: ImageLabelOptions) -> dict[Path, PolygonLabels]:
    """Return the polygons of each vector file; of several files some may hold none.

    Raises:
        VectorError: a file cannot be read, or no file holds a polygon.
    """
    several = len(files) > 1
    read = {
        path: PolygonLabels(
            path, options.field, all_touched=options.all_touched, buffer_m=options.buffer_m, empty=several
        )
        for path in files
    }
    if files and not any(map(len, read.values())):
        where = shorten_list([str(path) for path in files])
        raise VectorError(
            f"none of {counted(len(files), 'vector file')} holds a polygon: {where}; expected at least one"
        )
    return read


def _check_things(where: str, options: ImageLabelOptions, shown: Sequence[str]) -> None:
    """Raise ClassError where polygons are to be objects and none of their classes is one of things."""
    things = {options.classes.names[index] for index in options.classes.things}
    if options.things and not things & set(shown):
        raise ClassError(
            f"{where} has polygons of {', '.join(shown)}, and the class table calls none of these a thing: say "
            "thing = true for the class whose polygons are objects"
        )


def _are_things(options: ImageLabelOptions, indices: Mapping[str, int] | None) -> Callable[[str], bool]:
    """Return the function that tells for which entries of the column polygons are objects: of classes of things."""
    return lambda text: indices is None or indices[text] in options.classes.things
