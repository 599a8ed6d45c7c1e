"""The kinds of predictions and truths: files of objects, rasters of ids, COCO's files, or rasters of classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path

import numpy as np

from landseg.errors import ClassError, LandsegError
from landseg.evaluation.objects.coco import is_coco, pair_coco
from landseg.evaluation.objects.pair import ObjectPair
from landseg.evaluation.objects.polygons import pair_polygons
from landseg.evaluation.objects.rasters import Side, pair_on_pixels
from landseg.evaluation.objects.scenes import join_scenes, objects_in, paired
from landseg.evaluation.options import EvaluateOptions
from landseg.geo.rasters.address import label
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.vectors.names import is_vector, split_layer
from landseg.labels.id_rasters import is_id_raster
from landseg.labels.legend import is_class_raster, read_legend
from landseg.labels.object_files import read_objects
from landseg.text.amounts import counted

_NOT_OF_OBJECTS = ("classes", "ignore", "background", "buffer", "label_colors", "probs", "errors")
_OF_OBJECTS = ("areas", "score")


def are_objects(prediction: Sequence[str], target: Sequence[str], options: EvaluateOptions) -> bool:
    """Return whether predictions and truth are objects, by what the files are; False for rasters of classes.

    A prediction is one of objects if it is a vector file, COCO's results, a raster of ids that landseg wrote, or one
    of whole numbers of more than 16 bits without a class table.

    Raises:
        LandsegError: objects on one side and classes on the other, or options of the other kind.
    """

    @cache
    def tagged() -> bool:
        # Of whole numbers alone nothing says whether they are classes; a table, or a truth that has one, does.
        return _names_classes(options) or any(_is_raster(path) and _has_table(path) for path in target)

    objects = [_holds_objects(path, tagged=tagged) for one in prediction for path in objects_in(one)]
    prediction = [path for one in prediction for path in objects_in(one)]
    if not any(objects):
        if len(target) == 1 and _is_raster(target[0]) and _raster_of_ids(target[0], tagged=lambda: True):
            raise ClassError(
                f"{label(target[0])} holds ids of objects, {label(prediction[0])} none: name the ids or the polygons "
                "that were predicted (predict --instances, --polygons), or a truth of classes"
            )
        refuse_given(options, _OF_OBJECTS, "objects, and the prediction holds classes")
        return False
    if not all(objects):
        mine, other = (label(prediction[objects.index(kind)]) for kind in (True, False))
        what = "is a vector file" if is_vector(mine) else "holds ids of objects"
        raise ClassError(
            f"{mine} {what}, {other} holds classes: expected predictions of one kind; the truth comes last"
        )
    refuse_given(options, _NOT_OF_OBJECTS, "rasters of classes, and the prediction holds objects")
    return True


def open_objects(prediction: Sequence[str], target: Sequence[str], options: EvaluateOptions) -> ObjectPair:
    """Return the objects of predictions and of their truths, overlaid.

    Args:
        prediction: a file, or several and folders, one file for each scene.
        target: the truth: a file, or several and folders, paired by name.
        options: for both.

    Raises:
        LandsegError: a file cannot be read, holds no objects, or the two do not belong together.
    """
    found = [path for one in prediction for path in objects_in(one)]
    true = [path for one in target for path in objects_in(one, truth=True)]
    pairs, notes = paired(found, true)
    if len(pairs) > 1 and any(is_coco(path) for pair in pairs for path in pair):
        raise ClassError("COCO's files hold all their images: name one of results and one of ground truth")
    opened = [_open_pair(*pair, options) for pair in pairs]
    return join_scenes(opened, [Path(label(one)).name for one, _ in pairs], notes)


def _open_pair(prediction: str, target: str, options: EvaluateOptions) -> ObjectPair:
    """Return the objects of one file and of its truth, overlaid."""
    if is_coco(prediction) or is_coco(target):
        return pair_coco(prediction, target, options)
    found, true = (_open(path, options, truth=truth) for path, truth in ((prediction, False), (target, True)))
    if isinstance(found, str) or isinstance(true, str):
        return pair_on_pixels(found, true, options)
    return pair_polygons(found, true, options)


def files_read(paths: Sequence[str | Path]) -> list[Path]:
    """Return the files of names that may name layers, and those in folders."""
    every = [one for path in paths for truth in (False, True) for one in objects_in(str(path), truth=truth)]
    return [Path(split_layer(path)[0]) for path in dict.fromkeys(every)]


def _open(path: str, options: EvaluateOptions, *, truth: bool) -> Side:
    if is_vector(path):
        return read_objects(path, options.class_field, truth=truth)
    file = RasterFile(path)
    try:
        if len(file.info.dtypes) != 1:
            raise ClassError(
                f"{file.label} has {counted(len(file.info.dtypes), 'band')}, expected one with the ids of objects"
            )
        if _has_table(path):
            raise ClassError(
                f"{file.label} holds classes, expected ids of objects or polygons: name the raster that "
                "predict --instances wrote, or a vector file; the truth comes last"
            )
        return path
    finally:
        file.close()


def _names_classes(options: EvaluateOptions) -> bool:
    return options.classes is not None or options.background is not None or bool(options.ignore)


def _holds_objects(path: str, *, tagged: Callable[[], bool]) -> bool:
    if is_vector(path) or is_coco(path):
        return True
    return _is_raster(path) and _raster_of_ids(path, tagged=tagged)


def _has_table(path: str) -> bool:
    """Return whether a raster names the classes of its values, and holds no ids."""
    file = RasterFile(path)
    try:
        return not is_id_raster(file) and (is_class_raster(file) or read_legend(file) is not None)
    finally:
        file.close()


def _is_raster(path: str) -> bool:
    return not is_vector(path) and not Path(path).is_dir()


def _raster_of_ids(path: str, *, tagged: Callable[[], bool]) -> bool:
    """Return whether a raster holds ids: landseg's tags say so, or its whole numbers are too wide for classes.

    Args:
        path: of the raster.
        tagged: says whether only landseg's tags count; asked where they do not tell.
    """
    file = RasterFile(path)
    try:
        if is_id_raster(file):
            return True
        kind = np.dtype(file.info.dtypes[0])
        wide = len(file.info.dtypes) == 1 and kind.kind in "iu" and kind.itemsize > 2
        return wide and not is_class_raster(file) and read_legend(file) is None and not tagged()
    finally:
        file.close()


def refuse_given(options: EvaluateOptions, names: Sequence[str], of: str) -> None:
    """Raise LandsegError if a named option is not as it is by default; the message says what it is for."""
    usual = {field.name: field.default for field in fields(options)}
    for name in names:
        if getattr(options, name) != usual[name]:
            raise LandsegError(f"--{name.replace('_', '-')} is for {of}: leave it out")
