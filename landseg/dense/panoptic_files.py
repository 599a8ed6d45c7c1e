"""COCO's panoptic format of a finished run: pictures whose colours are ids of segments, and a JSON file beside them.

A segment is an object, or all pixels of a class of stuff in an image. The raster is one image, or a grid of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from landseg.classes import MAX_VALUE, ClassMap
from landseg.dense.instance_files import CLASSES, IDS
from landseg.dense.stuff_pieces import PIECES, write_pieces
from landseg.dense.task import Request
from landseg.geo.grid import Rect
from landseg.geo.pieces import cut, rows_within
from landseg.labels import coco_panoptic
from landseg.labels.coco_panoptic import VOID, to_colors
from landseg.labels.id_boxes import IdBoxes, boxes_in, join_boxes
from landseg.labels.id_rasters import NODATA
from landseg.output.extra_folder import ExtraFolder
from landseg.output.outputs import Outputs
from landseg.output.png import PngWriter
from landseg.runtime.disk import disk_errors

PANOPTIC = "panoptic"
"""The name of the folder among the files of a run."""
FOLDER = ExtraFolder("panoptic.json", ("*.png",), pixel_bytes=3.0)
"""The content of the folder; pictures that do not compress at all take its bytes."""
_PIXELS = 1 << 20  # drawn at a time
_SEGMENTS = 1 << 13  # put into words at a time
_MANY = 4096  # edge of images where ids are given anew in each: no image has more pixels than there are colours


@dataclass(frozen=True)
class SegmentIds:
    """The ids of segments: those of objects in the raster of ids, and after these one for each class of stuff.

    Attributes:
        classes: the table of the class raster.
        objects: the number of objects.
    """

    classes: ClassMap
    objects: int

    @property
    def fits(self) -> bool:
        """Return whether every id is a colour."""
        return self.objects + len(self.classes) <= coco_panoptic.LARGEST

    def of_stuff(self) -> NDArray[np.uint32]:
        """Return the id of the segments of each class by its value (65536,); of things, and of no class, VOID."""
        table = np.full(MAX_VALUE + 1, VOID, np.uint32)
        for index, entry in enumerate(self.classes.classes):
            if not entry.thing:
                table[entry.value] = self.objects + 1 + index
        return table


def write_panoptic(
    outputs: Outputs, request: Request, classes: ClassMap, *, objects: int, least_stuff: float = 0.0
) -> None:
    """Write the folder of a run whose class raster and ids are complete.

    Args:
        outputs: of the run.
        request: with the place of the folder and the largest edge of an image.
        classes: the table of the class raster.
        objects: the number of objects, whose ids are 1 to n.
        least_stuff: pieces of classes of stuff smaller than so many square metres (pixels without a CRS) are void.
    """
    large = write_pieces(outputs, classes, least_area=least_stuff) if least_stuff > 0 else None
    drawing = _Drawing(outputs, SegmentIds(classes, objects), large)
    folder, called = outputs.extra(request.files[PANOPTIC]), request.files[PANOPTIC]
    edge = request.panoptic_tile if drawing.ids.fits else min(request.panoptic_tile, _MANY)
    images = _images(outputs, request.output.stem, edge)
    with disk_errors(called):
        folder.mkdir()
    with (
        request.shown(sum(image.rect.area for image in images)) as progress,
        disk_errors(called / FOLDER.main),
        (folder / FOLDER.main).open("w", encoding="utf-8", newline="\n") as file,
    ):
        file.write(f"{_head(outputs, request, classes, images)}\n")
        for image in images:
            path, shape = folder / image.name, image.rect.shape
            with PngWriter(path, *shape, called=called / image.name) as picture:
                found = drawing.draw(image.rect, picture, progress.add)
            file.write(f'{{"image_id": {image.number}, "file_name": {json.dumps(image.name)}, "segments_info": [\n')
            _write_segments(file, found)
            file.write("]}\n" if image is images[-1] else "]},\n")
        file.write("]}\n")


@dataclass(frozen=True)
class _Image:
    """One image: its number from 1, the name of its picture, and its rectangle of the raster."""

    number: int
    name: str
    rect: Rect

    def to_json(self) -> dict[str, Any]:
        rect = self.rect
        size = {"width": rect.width, "height": rect.height, "row": rect.top, "column": rect.left}
        return {"id": self.number, "file_name": self.name, **size}


@dataclass(frozen=True)
class _Segments:
    """The segments (n,) of an image.

    Attributes:
        boxes: by id.
        values: of the class of each.
        shown: the id of each in the picture.
        objects: the id of each in the raster of ids, where that in the picture is another; 0 for none.
    """

    boxes: IdBoxes
    values: NDArray[np.int64]
    shown: NDArray[np.int64]
    objects: NDArray[np.int64]


@dataclass
class _Drawing:
    """The pictures of a run, drawn strip by strip.

    Attributes:
        outputs: of the run.
        ids: of segments.
        large: whether each label of a piece of stuff is that of a large one; None: pieces of any size are drawn.
    """

    outputs: Outputs
    ids: SegmentIds
    large: NDArray[np.bool_] | None

    def __post_init__(self) -> None:
        self._stuff = self.ids.of_stuff()
        self._values = np.zeros(self.ids.objects + 1 + len(self.ids.classes), np.uint16)  # of classes, by segment
        self._values[self.ids.objects + 1 :] = self.ids.classes.values

    def draw(self, image: Rect, picture: PngWriter, done: Callable[[int], None]) -> _Segments:
        """Draw an image, call ``done`` with the pixels of each strip, and return its segments."""
        own = None if self.ids.fits else self._found(image)
        tables = []
        for rect, segments in self._strips(image):
            tables.append(boxes_in(segments, rect))
            picture.write(to_colors(segments if own is None else np.searchsorted(own, segments)))
            done(rect.area)
        boxes = join_boxes(tables)
        values = self._values[boxes.ids].astype(np.int64)
        if own is None:
            return _Segments(boxes, values, boxes.ids, np.zeros_like(boxes.ids))
        objects = np.where(boxes.ids <= self.ids.objects, boxes.ids, 0)
        return _Segments(boxes, values, np.searchsorted(own, boxes.ids), objects)

    def _found(self, image: Rect) -> NDArray[np.uint32]:
        """Return the ids (n + 1,) of an image's segments in order, after VOID: their places are ids of its own."""
        found = np.array([VOID], np.uint32)
        for _, segments in self._strips(image):
            found = np.union1d(found, segments)
        return found

    def _strips(self, image: Rect) -> Iterator[tuple[Rect, NDArray[np.uint32]]]:
        """Yield the ids (h, w) of segments of an image from the top down, with their rectangles in the image."""
        for rect in cut(image, rows_within(_PIXELS, image.width)):
            values, ids = (self.outputs.read_data(name, rect)[0] for name in (CLASSES, IDS))
            segments = self._stuff[values]
            if self.large is not None:
                segments[~self.large[self.outputs.read_data(PIECES, rect)[0]]] = VOID
            things = (ids > 0) & (ids != NODATA)
            found = ids[things]
            self._values[found] = values[things]
            segments[things] = found
            yield rect.relative_to(image), segments


def _images(outputs: Outputs, stem: str, edge: int) -> list[_Image]:
    """Return the images of a run in reading order, without those where nothing is written."""
    places = {
        (row, column)
        for part in outputs.parts
        for row in range(part.top // edge, -(-part.bottom // edge))
        for column in range(part.left // edge, -(-part.right // edge))
    }
    height, width = outputs.grid.shape
    rects = [
        Rect(row * edge, column * edge, min(edge, height - row * edge), min(edge, width - column * edge))
        for row, column in sorted(places)
    ]
    if rects == [outputs.grid.rect]:
        return [_Image(1, f"{stem}.png", rects[0])]
    return [_Image(number, f"{stem}_{rect.top}_{rect.left}.png", rect) for number, rect in enumerate(rects, 1)]


def _head(outputs: Outputs, request: Request, classes: ClassMap, images: list[_Image]) -> str:
    """Return the text of the JSON file before its annotations."""
    height, width = outputs.grid.shape
    info = {"description": f"panoptic map {request.output.name}", "width": width, "height": height}
    categories = [
        {"id": entry.value, "name": entry.name, "isthing": int(entry.thing), "color": list(entry.color)}
        for entry in classes.classes
    ]
    parts = [f'{{"info": {json.dumps(info)}']
    for name, rows in (("categories", categories), ("images", [image.to_json() for image in images])):
        parts.append(f'"{name}": [\n' + ",\n".join(json.dumps(row) for row in rows) + "\n]")
    return ",\n".join([*parts, '"annotations": ['])


def _write_segments(file: TextIO, found: _Segments) -> None:
    """Write the segments of an image as lines of JSON, some of them at a time."""
    boxes = found.boxes
    top, left, bottom, right = boxes.boxes.T
    table = np.stack([found.shown, found.values, boxes.pixels, left, top, right - left, bottom - top, found.objects])
    for start in range(0, table.shape[1], _SEGMENTS):
        rows = table[:, start : start + _SEGMENTS].T.tolist()
        last = start + len(rows) == table.shape[1]
        file.write(",\n".join(_segment(row) for row in rows) + ("\n" if last else ",\n"))


def _segment(row: list[int]) -> str:
    """Return a segment as JSON; the id of an object in the raster is named where that in the picture is another."""
    shown, value, area, left, top, width, height, instance = row
    made: dict[str, Any] = {"id": shown, "category_id": value, "area": area, "bbox": [left, top, width, height]}
    return json.dumps({**made, "iscrowd": 0, **({"instance": instance} if instance else {})})
