"""Folders of panoptic maps in COCO's format: each image against that of the same id."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from landseg.errors import ClassError
from landseg.evaluation.options import EvaluateOptions
from landseg.evaluation.panoptic.pair import PanopticPair
from landseg.geo.grid import Rect
from landseg.geo.pieces import in_order, strips
from landseg.geo.rasters.raster import RasterFile
from landseg.labels.panoptic_folder import (
    Category,
    PanopticFolder,
    PanopticImage,
    check_known,
    check_sizes,
)
from landseg.metrics.overlaps import IdCounts, Ints, Overlaps
from landseg.metrics.panoptic import Panoptic
from landseg.runtime.progress import Progress
from landseg.text.amounts import counted, part_of, shorten_list


def pair_folders(found: PanopticFolder, true: PanopticFolder, options: EvaluateOptions) -> PanopticPair:
    """Return the segments of two folders, counted image by image.

    Raises:
        LandsegError: categories or images that the truth has not, or the prediction; PNGs of other sizes; ids that
            the PNG or the JSON has alone.
    """
    categories = _categories(found, true)
    images, notes = _images(found, true)
    things = [one.thing for one in true.categories or ()]
    width = 0 if options.boundary is None else _width(true.images[0], options)
    total, several = Panoptic(things), 0

    def count(job: tuple[PanopticImage, PanopticImage]) -> _Counted:
        return _count(*job, sides=(true, found), categories=categories, width=width)

    # Each thread holds the two pictures of one image, and the counts of a strip of it.
    with ThreadPoolExecutor(options.workers) as pool, Progress(len(images), quiet=options.quiet) as progress:
        for number, one in enumerate(in_order(pool, count, images, ahead=options.workers)):
            total.update(one.overlaps, *one.kinds, raster=number)
            several += any(_stuff_in_pieces(kinds, things) for kinds in one.kinds)
            progress.add(1)
    return PanopticPair(
        panoptic=total,
        classes=tuple(one.name for one in true.categories or ()),
        unit="px",
        block_text="an image each",
        boundary_text=f"{width} px" if width else None,
        notes=(*notes, *_remarks(found, true, several)),
    )


@dataclass(frozen=True)
class _Counted:
    """The overlaps of an image, and the classes of its segments: (T,) and (D,)."""

    overlaps: Overlaps
    kinds: tuple[Ints, Ints]


def _categories(found: PanopticFolder, true: PanopticFolder) -> tuple[dict[int, int], dict[int, int]]:
    """Return the class index by category id, of the truth and of the prediction, which go by name.

    Raises:
        ClassError: the truth has no categories, or the prediction others than the truth.
    """
    if true.categories is None:
        raise ClassError(f"{true.json} has no categories: expected the id, name and isthing of each in the truth")
    index = {one.id: number for number, one in enumerate(true.categories)}
    if found.categories is None:
        for image in found.images:
            check_known(image.categories, true.categories, f"{found.json}, image {image.id}")
        return index, index
    by_name = {one.name: one for one in true.categories}
    strange = [one.name for one in found.categories if one.name not in by_name]
    if strange:
        raise ClassError(
            f"{found.json} has the categories {shorten_list(strange, 4)}, {true.json} has "
            f"{shorten_list(list(by_name), 8)}: categories go by name; give both the same names"
        )
    for one in found.categories:
        if one.thing != by_name[one.name].thing:
            raise ClassError(
                f"{one.name} is {_kind(one)} in {found.json}, {_kind(by_name[one.name])} in {true.json}: give both "
                "the same isthing"
            )
    return index, {one.id: index[by_name[one.name].id] for one in found.categories}


def _kind(category: Category) -> str:
    return "a thing" if category.thing else "stuff"


def _images(
    found: PanopticFolder, true: PanopticFolder
) -> tuple[list[tuple[PanopticImage, PanopticImage]], list[str]]:
    """Return the images of truth and prediction in pairs, and notes about those that have no partner.

    Raises:
        ClassError: an image of the truth that has no prediction.
    """
    predicted, wanted = ({one.id: one for one in side.images} for side in (found, true))
    bare = [str(one) for one in wanted if one not in predicted]
    if bare:
        raise ClassError(
            f"{found.json} has no prediction of {part_of(len(bare), len(wanted), 'image')} of {true.json} "
            f"(image_id {shorten_list(bare, 4)}): expected one for each"
        )
    more = [str(one) for one in predicted if one not in wanted]
    notes = []
    if more:
        many = counted(len(more), "predicted image has", "predicted images have")
        notes.append(f"{many} no truth and {_count_for(len(more))} nothing: image_id {shorten_list(more, 4)}")
    return [(one, predicted[number]) for number, one in wanted.items()], notes


def _count_for(number: int) -> str:
    return "counts for" if number == 1 else "count for"


def _width(image: PanopticImage, options: EvaluateOptions) -> int:
    """Return the width of the bands of the boundary PQ in pixels."""
    assert options.boundary is not None, "a width is asked for"
    file = RasterFile(image.path)
    file.close()
    return options.boundary.pixels(replace(file.info.grid, crs=None))  # metres mean nothing from image to image


def _count(
    true: PanopticImage,
    found: PanopticImage,
    *,
    sides: tuple[PanopticFolder, PanopticFolder],
    categories: tuple[dict[int, int], dict[int, int]],
    width: int,
) -> _Counted:
    ids = sides[0].read(true), sides[1].read(found)
    check_sizes(true, found, [one.shape for one in ids])
    height, wide = ids[0].shape
    counts = IdCounts(width)
    for core in strips(Rect(0, 0, height, wide), halo=width):
        first, last = max(0, core.top - width), min(height, core.bottom + width)
        part, known = slice(core.top - first, core.bottom - first), ids[0][first:last] > 0
        both = ids[0][first:last], ids[1][first:last]
        counts.update(*both, known=known, core=(part, slice(None)), at=(first, 0))
    overlaps, at = counts.overlaps(), counts.ids()
    # Segments are brought into the order of the JSON: of several crowds of a class the last one counts.
    order, back = np.searchsorted(at[0], true.segments), np.argsort(np.searchsorted(at[0], true.segments))
    overlaps = replace(
        overlaps,
        true=replace(overlaps.true.only(order), ignored=true.crowds),
        true_index=back[overlaps.true_index],
    )
    of_found = dict(zip(found.segments.tolist(), found.categories.tolist(), strict=True))
    return _Counted(
        overlaps,
        (
            np.array([categories[0][one] for one in true.categories.tolist()], np.int64),
            np.array([categories[1][of_found[one]] for one in at[1].tolist()], np.int64),
        ),
    )


def _stuff_in_pieces(kinds: Ints, things: Sequence[bool]) -> bool:
    """Return whether a class of stuff has several of the segments of these classes (N,)."""
    many = np.bincount(kinds, minlength=len(things)) > 1
    return bool((many & ~np.array(things, bool)).any())


def _remarks(found: PanopticFolder, true: PanopticFolder, several: int) -> list[str]:
    notes = []
    if several:
        many = counted(several, "image has", "images have")
        notes.append(f"{many} a class of stuff in several segments; each of them counts, as in panopticapi")
    if found.categories is not None:
        names = {one.name for one in found.categories}
        if alone := [one.name for one in true.categories or () if one.name not in names]:
            notes.append(f"the prediction does not have the categories {shorten_list(alone, 8)} of the truth")
    return notes
