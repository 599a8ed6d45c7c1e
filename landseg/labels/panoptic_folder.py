"""Folders of panoptic maps in COCO's format: a JSON of segments, and a PNG for each image with ids as colours."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.errors import BandError, ClassError, GridError, RasterError
from landseg.geo.rasters.raster import RasterFile
from landseg.labels.coco_panoptic import LARGEST, VOID, from_colors
from landseg.text.amounts import counted, shorten_list
from landseg.text.untrusted import brief, read_json, unsafe_text

NAME = "panoptic.json"
"""The name of a JSON whose PNGs lie beside it; one of another name, ``x.json``, has them in the folder ``x``."""


@dataclass(frozen=True)
class Category:
    """A class: its id in the JSON, its name, and whether it is one of things."""

    id: int
    name: str
    thing: bool


@dataclass(frozen=True)
class PanopticImage:
    """One image of a folder: its PNG, and the N segments that the JSON has, in their order.

    Attributes:
        id: of the image, as the JSON has it.
        path: of the PNG.
        segments: (N,) ids, from 1 to 16,777,215.
        categories: (N,) ids of the segments' categories.
        crowds: (N,) True for a segment that is a crowd.
    """

    id: int | str
    path: Path
    segments: NDArray[np.int64]
    categories: NDArray[np.int64]
    crowds: NDArray[np.bool_]


@dataclass(frozen=True)
class PanopticFolder:
    """The panoptic maps of a folder.

    Attributes:
        json: the file with the segments.
        categories: in the order of the JSON; None where it has none, as results of other tools may.
        images: in the order of the JSON.
    """

    json: Path
    categories: tuple[Category, ...] | None
    images: tuple[PanopticImage, ...]

    @property
    def files(self) -> list[Path]:
        """The JSON and the PNGs."""
        return [self.json, *(image.path for image in self.images)]

    def read(self, image: PanopticImage) -> NDArray[np.uint32]:
        """Return the segment ids (h, w) of an image, 0 for void.

        Raises:
            RasterError: the PNG cannot be read, or is damaged.
            BandError: it is no picture of 8-bit red, green and blue.
            ClassError: ids that only the PNG or only the JSON has.
        """
        file = RasterFile(image.path)
        try:
            if len(file.info.dtypes) not in (3, 4) or set(file.info.dtypes) != {"uint8"}:
                found = f"{counted(len(file.info.dtypes), 'band')} of {file.info.dtypes[0]}"
                raise BandError(f"{file.label} has {found}: expected red, green and blue of 8 bits, which are ids")
            colors = file.read([1, 2, 3], file.info.grid.rect, "uint8")
        finally:
            file.close()
        ids = from_colors(np.moveaxis(colors, 0, -1))
        self._check_ids(image, np.unique(ids))
        return ids

    def _check_ids(self, image: PanopticImage, drawn: NDArray[np.uint32]) -> None:
        there = drawn[drawn != VOID].astype(np.int64)
        for only, these, other in (
            (np.setdiff1d(there, image.segments), "the PNG", f"segments_info of {self.json.name}"),
            (np.setdiff1d(image.segments, there), f"segments_info of {self.json.name}", "the PNG"),
        ):
            if len(only):
                many = f"{'id' if len(only) == 1 else 'ids'} {shorten_list(list(map(str, only.tolist())), 5)}"
                raise ClassError(
                    f"{image.path}: {these} has the {many}, {other} not: expected every segment in both; "
                    "write the two anew together"
                )


def find_panoptic(path: str) -> Path | None:
    """Return the JSON of a folder of panoptic maps, or of a JSON's own path; None where it is none.

    A folder has `NAME` in it, or a JSON of its own name beside it, as panopticapi writes them.
    """
    given = Path(path)
    if given.is_dir():
        if (inside := given / NAME).is_file():
            return inside
        whole = given if given.name not in ("", "..") else given.resolve()
        beside = whole.with_name(f"{whole.name}.json")
        return beside if _has_segments(beside) else None
    return given if given.suffix.lower() == ".json" and _has_segments(given) else None


def read_panoptic(path: str) -> PanopticFolder:
    """Return the panoptic maps of a folder or of a JSON; the PNGs are looked for, and not read yet.

    Raises:
        RasterError: there is no such folder, the JSON cannot be read, or it and the PNGs lack one another.
        ClassError: the JSON is none of COCO's panoptic format, or contradicts itself.
    """
    json = find_panoptic(path)
    if json is None:
        raise RasterError(_nothing_there(path))
    folder = json.parent if json.name == NAME else json.with_suffix("")
    try:
        table = read_json(json.read_text(encoding="utf-8"))
    except OSError as error:
        raise RasterError(f"{json} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ClassError(f"{json} is no JSON: {error}") from error
    if (unsafe := unsafe_text(table)) is not None:
        raise ClassError(f"{json} holds a text with control characters: {brief(unsafe)}")
    if not isinstance(table, dict) or not isinstance(table.get("annotations"), list):
        raise ClassError(
            f"{json} is none of COCO's panoptic format: expected an object with annotations, each with image_id, "
            "file_name and segments_info"
        )
    if not folder.is_dir():
        raise RasterError(f"{json} has no PNGs: expected them in the folder {folder}")
    categories = None if table.get("categories") is None else _categories(table["categories"], json)
    images = tuple(_image(one, folder, json, categories) for one in table["annotations"])
    _check_images(images, json)
    _check_files(images, folder, json)
    return PanopticFolder(json, categories, images)


def _has_segments(json: Path) -> bool:
    """Return whether a file holds an object with the word that only COCO's panoptic format has."""
    try:
        text = json.read_bytes()
    except OSError:
        return False
    return text.lstrip().startswith(b"{") and b'"segments_info"' in text


def _nothing_there(path: str) -> str:
    given = Path(path)
    if not os.path.lexists(given):
        return f"{path} does not exist: expected a folder with {NAME} and its PNGs"
    if not given.is_dir():
        return f"{path} is no panoptic map: expected a folder with {NAME} and its PNGs, or that JSON"
    pictures = _pictures(given)
    have = f"{counted(len(pictures), 'PNG')} and no {NAME}" if pictures else f"no {NAME}"
    return f"{path} holds {have}: expected the JSON with the segments beside its PNGs"


def _pictures(folder: Path) -> list[Path]:
    """Return the PNGs directly in a folder, sorted; hidden files are left out."""
    return sorted(one for one in folder.iterdir() if one.suffix.lower() == ".png" and not one.name.startswith("."))


def _categories(rows: Any, json: Path) -> tuple[Category, ...]:
    """Return the categories of a JSON, each with a name and an id of its own."""
    made = []
    for row in rows if isinstance(rows, list) else [rows]:
        name, thing = (row.get("name"), row.get("isthing")) if isinstance(row, Mapping) else (None, None)
        if not isinstance(name, str) or not name.strip() or thing not in (0, 1) or not _is_whole(row.get("id")):
            raise ClassError(f"{json}: the category {brief(row)} lacks one of id, name, and isthing, which is 0 or 1")
        made.append(Category(int(row["id"]), name, bool(thing)))
    for what in ("id", "name"):
        if twice := _twice([getattr(one, what) for one in made]):
            raise ClassError(f"{json}: two categories have the {what} {brief(twice[0])}: give each one its own")
    return tuple(made)


def _image(row: Any, folder: Path, json: Path, categories: Sequence[Category] | None) -> PanopticImage:
    """Return the image of one annotation."""
    own = row if isinstance(row, Mapping) else {}
    number, name, segments = (own.get(key) for key in ("image_id", "file_name", "segments_info"))
    if not isinstance(number, int | str) or not isinstance(name, str) or not isinstance(segments, list):
        raise ClassError(f"{json}: the annotation {brief(row)} lacks one of image_id, file_name and segments_info")
    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts or not place.name:
        raise ClassError(f"{json}: file_name {brief(name)} leads out of its folder: expected the name of a PNG in it")
    ids, kinds = (_whole(segments, key, f"{json}, image {number}") for key in ("id", "category_id"))
    if len(odd := ids[(ids <= VOID) | (ids > LARGEST)]):
        raise ClassError(f"{json}, image {number}: segment id {odd[0]}: expected ids from 1 to {LARGEST:,}")
    if twice := _twice(ids.tolist()):
        raise ClassError(f"{json}, image {number}: two segments have the id {twice[0]}: give each one its own")
    if categories is not None:
        check_known(kinds, categories, f"{json}, image {number}")
    crowds = np.array([bool(one.get("iscrowd", 0)) for one in segments], np.bool_)
    return PanopticImage(number, folder / name, ids, kinds, crowds)


def check_known(kinds: NDArray[np.int64], categories: Sequence[Category], where: str) -> None:
    """Raise ClassError if there are categories (N,) of segments that a table does not have."""
    strange = np.setdiff1d(kinds, [one.id for one in categories])
    if len(strange):
        known = shorten_list([str(one.id) for one in categories], 8)
        raise ClassError(f"{where}: a segment has the category_id {strange[0]}; the categories are {known}")


def _check_images(images: Sequence[PanopticImage], json: Path) -> None:
    if not images:
        raise ClassError(f"{json} has no annotation: expected one for each PNG")
    for twice, what in (([one.id for one in images], "image_id"), ([one.path for one in images], "PNG")):
        if again := _twice(twice):
            raise ClassError(f"{json}: two annotations have the {what} {again[0]}: expected one for each image")


def _check_files(images: Sequence[PanopticImage], folder: Path, json: Path) -> None:
    """Raise RasterError if the JSON names PNGs that are not there, or PNGs are there that it does not name."""
    missing = [one.path.name for one in images if not one.path.is_file()]
    if missing:
        raise RasterError(
            f"{folder} lacks {shorten_list(missing, 4)}, which {json.name} names: expected a PNG for each annotation"
        )
    named = {one.path for one in images}
    bare = [path.name for path in _pictures(folder) if path not in named]
    if bare:
        raise RasterError(
            f"{json.name} has no annotation of {shorten_list(bare, 4)}, which {folder} holds: expected one for each "
            "PNG; take other pictures out of the folder"
        )


def _whole(rows: Sequence[Any], key: str, where: str) -> NDArray[np.int64]:
    """Return whole numbers (N,) of segments by their key."""
    for row in rows:
        if not isinstance(row, Mapping) or not _is_whole(row.get(key)):
            raise ClassError(f"{where}: the segment {brief(row)} has no whole number as its {key}")
    return np.array([row[key] for row in rows], np.int64)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _twice(values: Sequence[Any]) -> list[Any]:
    return [value for value, count in Counter(values).items() if count > 1]


def check_sizes(first: PanopticImage, other: PanopticImage, shapes: Sequence[tuple[int, ...]]) -> None:
    """Raise GridError if two PNGs have not the same size (h, w)."""
    if shapes[0] != shapes[1]:
        (high, wide), (tall, broad) = shapes
        raise GridError(
            f"{first.path} has {wide} x {high} pixels, {other.path} {broad} x {tall}: expected one size for both"
        )
