"""Images and their labels before training: paired, read once from end to end, and checked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from glob import glob
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from landseg.classes import ClassMap
from landseg.errors import ClassError, LandsegError, TrainingError
from landseg.geo.grid import Grid
from landseg.geo.rasters.mixed_members import refuse_mixed_members
from landseg.geo.rasters.rescaled import alike, comparable
from landseg.geo.rasters.source import FileSource
from landseg.geo.rasters.value_tags import ValueTags
from landseg.geo.vectors.names import file_of, is_there
from landseg.labels.burnt_polygons import PolygonCodes
from landseg.labels.image_lists import (
    Item,
    find_images,
    items_of,
    pair,
    polygon_files,
    scene_names,
    with_ids,
    with_polygons,
)
from landseg.labels.instances import IdFile, ObjectPolygons
from landseg.labels.label_colors import Colors, colors_of
from landseg.labels.left_out import LeftOut
from landseg.labels.legend import read_class_table
from landseg.labels.polygon_files import PolygonFiles
from landseg.labels.value_mapping import ValueMapping, infer_value_mapping
from landseg.scenes.data_report import DataReport, band_rows, class_shares
from landseg.scenes.inspect_options import InspectOptions
from landseg.scenes.issues import (
    Issue,
    check_classes,
    check_drawn,
    check_files,
    check_ground,
    check_values,
    first_five,
)
from landseg.scenes.object_survey import ObjectSurvey
from landseg.scenes.opening import thing_and_rest
from landseg.scenes.split import Split, SplitOptions, split
from landseg.scenes.survey import ImageSurvey, Statistics, SurveyScene, survey_image
from landseg.scenes.survey_labels import ID_TEXTS, FoundLegend, label_opener, polygons_of
from landseg.text.amounts import counted, none_of, part_of, shorten_list


class Inspection:
    """Images and their labels on the way to a report.

    Args:
        images: folders, globs, files or lists.
        labels: label rasters or vector files, as folders, globs or files; None: those that a list names.
        options: the way in which labels are read, and the split to try.

    Attributes:
        items: each image with its labels.
        issues: faults so far; files that cannot be read and images without labels are among them.

    Raises:
        TrainingError: no image at all, or labels that do not exist.
        LandsegError: a class table or a vector file that cannot be read.
    """

    def __init__(self, images: Sequence[str], labels: Sequence[str] | None, options: InspectOptions) -> None:
        self.issues: list[Issue] = []
        vectors = None if labels is None else PolygonFiles.named(labels, asked=options.of_polygons)
        self.items = _paired(images, labels, vectors, self.issues, options.ids)
        self._labels, self._vectors, self._options = labels or (), vectors, options
        self._named = None if options.classes is None else read_class_table(options.classes)
        self._table = None if self._named is None else self._named.ignoring(options.ignore)
        self._colors = _colors(self._named, vectors) if options.label_colors else None
        self._polygons = polygons_of(
            self.items,
            vectors,
            self._table,
            field=options.class_field,
            background=options.background,
            buffer_m=options.buffer,
            things=options.things,
        )
        if options.ids is not None and self._polygons is not None:
            raise TrainingError(
                "--ids goes with label rasters, or alone: polygons are objects by themselves (--things)"
            )
        if self._polygons is not None:
            self.issues += check_drawn(self._polygons, self.items)
        self._legend = FoundLegend()
        ids = {item.image: IdFile(item.ids) for item in self.items if item.ids is not None}
        self._objects = ObjectSurvey({**ids, **_objects(self.items, self._polygons)})
        self._opens = {
            item.image: label_opener(
                item,
                self._polygons,
                self._legend,
                table=self._named,
                colors=self._colors,
                ids=ids.get(item.image),
            )
            for item in self.items
        }

    def files(self) -> list[Path]:
        """Return every file that is read."""
        own = [path for item in self.items for path in (item.image, item.labels, item.ids)]
        vectors = [file_of(path) for path in polygon_files(self.items)]
        named = [file_of(name) for name in self._labels]
        return [path for path in (*own, *vectors, *named, self._options.classes) if path is not None]

    def report(self, *, shown: Collection[int] = (), edge: int = 0) -> DataReport:
        """Read every image and its labels once, in bounded memory, and return the report.

        Args:
            shown: positions of the images whose labels are kept for a small picture.
            edge: edge of that picture, in pixels.

        Raises:
            TrainingError: no image can be read, or options of a split that do not go together.
        """
        by = self._options.split_options()
        files, statistics = self._surveyed(shown, edge)
        values = sorted({value for one in files for value in one.values})
        meaning = infer_value_mapping(
            values,
            self._table,
            texts=self._texts(),
            own=self._legend.classes,
            palette=self._legend.palette,
            ignore=self._options.ignore,
        )
        classes, left_out = class_shares(files, meaning), LeftOut()
        for one in files:
            left_out.merge(one.left_out_by(meaning))
        self.issues += check_files(files, stored_values=self._options.stored_values) + check_values(statistics)
        self.issues += check_ground(files) + check_classes(files, meaning, classes, self._polygons)
        parts = None if by is None else self._split(files, meaning, by)
        objects = self._objects.counts() if self._options.things or self._options.ids is not None else None
        return DataReport(
            files,
            band_rows(statistics),
            classes,
            self.issues,
            meaning,
            parts,
            left_out=left_out,
            objects=objects,
        )

    def _texts(self) -> Sequence[str] | None:
        """Return the entries that label values stand for; None where they are a raster's own."""
        if self._polygons is not None:
            return self._polygons.texts
        if self._options.ids is None or any(item.labels is not None for item in self.items):
            return None
        if self._table is None:
            return ID_TEXTS
        thing, rest = thing_and_rest(self._table, self._options.background)
        return rest, thing

    def _surveyed(self, shown: Collection[int], edge: int) -> tuple[list[ImageSurvey], Statistics]:
        """Return the contents of every image that can be read, and the statistics of all bands."""
        statistics: Statistics = {}
        files: list[ImageSurvey] = []
        stored = self._options.stored_values
        tags = None if stored else _common_tags(self.items)
        names = scene_names([item.image for item in self.items])
        for number, (name, item) in enumerate(zip(names, self.items, strict=True)):
            own = item.labels or item.polygons or item.ids
            shared = self._vectors is not None and self._vectors.shared
            labelled_by = self._labels[0] if shared else str(own) if own else None
            opened, picture = self._opens[item.image], edge if number in shown else 0
            try:
                files.append(
                    survey_image(name, item.image, labelled_by, opened, statistics, picture=picture, tags=tags)
                )
                files[-1].objects = self._numbers(item.image, files[-1].grid, picture)
                if not stored:
                    refuse_mixed_members([str(item.image)])
            except LandsegError as error:
                self.issues.append(Issue("unreadable", str(error)))
        if not files:
            first = self.issues[-len(self.items)].text
            raise TrainingError(f"{none_of(len(self.items), 'image')} can be read; the first: {first}")
        return files, statistics

    def _numbers(self, image: Path, grid: Grid, picture: int) -> NDArray[np.int32] | None:
        """Count the objects of an image, and return their numbers (h, w) in a small picture."""
        try:
            return self._objects.add(image, grid, picture=picture)
        except LandsegError as error:
            if all(item.labels is None for item in self.items if item.image == image):
                return None  # the labels' fault is the same
            self.issues.append(Issue("labels", f"{image.name}: {error}"))
            return None

    def _split(self, files: Sequence[ImageSurvey], meaning: ValueMapping | None, by: SplitOptions) -> Split | None:
        """Return a split of the labelled images; a split that is impossible is an issue."""
        usable = [one for one in files if one.values and one.label_fault is None]
        if meaning is None or not usable:
            self.issues.append(Issue("split", "nothing is labelled, so there is nothing to split"))
            return None
        listed = {item.image: item.split for item in self.items}
        scenes = [SurveyScene(one, self._opens[one.path], meaning) for one in usable]
        items = [Item(one.path, None, listed[one.path]) for one in usable]
        try:
            parts = split(scenes, by, classes=meaning.classes.names, items=items)
        except TrainingError as error:
            self.issues.append(Issue("split", str(error)))
            return None
        kinds = ((note, "leak" if note.startswith("leak: ") else "split") for note in parts.notes)
        self.issues += [Issue(kind, note.removeprefix("leak: ")) for note, kind in kinds]
        return parts


def _objects(items: Sequence[Item], polygons: PolygonCodes | None) -> dict[Path, ObjectPolygons]:
    """Return the polygons that are objects, by the path of the image that they label."""
    found: dict[Path, ObjectPolygons] = {}
    for item in items:
        if polygons is not None and item.polygons is not None:
            objects = polygons.objects(item.polygons)
            found |= {} if objects is None else {item.image: objects}
    return found


def _paired(
    images: Sequence[str],
    labels: Sequence[str] | None,
    vectors: PolygonFiles | None,
    issues: list[Issue],
    ids: str | None,
) -> list[Item]:
    """Return every image with its labels; images and label files that are alone become issues."""
    found = find_images(images)
    for name in labels or ():
        if not is_there(name) and not glob(str(file_of(name))):
            raise TrainingError(f"{name} does not exist: expected a folder of label rasters or a vector file")
    try:
        items = _with_labels(images, labels, vectors)
    except TrainingError:
        items = []
        for path in found:
            try:
                items += _with_labels([str(path)], labels, vectors)
            except TrainingError:
                items.append(Item(path))
        if labels is not None:
            bare = [item.image.name for item in items if item.labels is None and item.polygons is None]
            many = part_of(len(bare), len(found), "image", "has", "have")
            noun = "labels" if vectors is None else "vector file"
            issues.append(Issue("unpaired", f"{many} no {noun} in {shorten_list(labels)}: {first_five(bare)}"))
    if ids is not None:
        items = with_ids(items, ids)
    if labels is None and not any(item.labels or item.ids for item in items):
        issues.append(Issue("unlabelled", "no labels were named, so only the images were looked at"))
    folders = [] if vectors is not None and vectors.shared else [file_of(name) for name in labels or ()]
    if folders and all(path.is_dir() for path in (*folders, *map(Path, images))):  # a glob names some on purpose
        issues += _lone_labels(items, folders)
    return items


def _with_labels(images: Sequence[str], labels: Sequence[str] | None, vectors: PolygonFiles | None) -> list[Item]:
    """Return every image with its label raster or its vector file."""
    return pair(images, labels) if vectors is None else with_polygons(items_of(images), vectors)


def _lone_labels(items: Sequence[Item], folders: Sequence[Path]) -> list[Issue]:
    """Return an issue about the label files of folders that belong to no image; none where all do."""
    drawn = [file_of(path) for path in polygon_files(items)]
    labels = [item.labels for item in items if item.labels is not None] + drawn
    taken = {path.resolve() for path in (*labels, *(item.image for item in items))}
    kinds = {path.suffix.lower() for path in labels}
    there = [path for folder in folders for path in sorted(folder.iterdir())]
    others = [path for path in there if path.suffix.lower() in kinds and path.resolve() not in taken]
    if not others:
        return []
    noun = "vector file" if drawn else "label raster"
    many = counted(len(others), f"{noun} belongs", f"{noun}s belong")
    return [Issue("unpaired", f"{many} to no image: {first_five([path.name for path in others])}")]


def _colors(table: ClassMap | None, vectors: PolygonFiles | None) -> Colors:
    """Return the classes of the colours of label rasters.

    Raises:
        ClassError: no class table names colours, or the labels are no rasters.
    """
    if vectors is not None:
        raise ClassError(f"--label-colors is for label rasters; {vectors.described}: leave it out")
    if table is None:
        raise ClassError("--label-colors needs the colours of the classes: name their table with --classes")
    return colors_of(table)


def _common_tags(items: Sequence[Item]) -> tuple[ValueTags, ...] | None:
    """Return the first image's scale and offset, where others declare different ones that can be brought over."""
    found = []
    for item in items:
        with suppress(LandsegError), FileSource(item.image) as source:  # the survey of an image reports its faults
            found.append(source.bands.value_tags)
    others = [tags for tags in found[1:] if len(tags) == len(found[0])]
    differ = any(not alike(tags, found[0]) and comparable(tags, found[0]) for tags in others)
    return found[0] if differ else None
