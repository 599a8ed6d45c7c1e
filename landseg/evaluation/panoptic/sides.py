"""Panoptic maps recognised: folders in COCO's format, or class rasters for which rasters of ids are named."""

from __future__ import annotations

from collections.abc import Sequence

from landseg.errors import ClassError
from landseg.evaluation.objects.sides import files_read, refuse_given
from landseg.evaluation.options import EvaluateOptions
from landseg.evaluation.panoptic.folders import pair_folders
from landseg.evaluation.panoptic.pair import PanopticPair
from landseg.evaluation.panoptic.rasters import pair_rasters
from landseg.labels.pairing import is_folder_of_rasters
from landseg.labels.panoptic_folder import find_panoptic, read_panoptic
from landseg.runtime.target_checks import refuse_inputs
from landseg.text.amounts import counted

_OF_OTHERS = (
    "class_field", "background", "buffer", "label_colors", "probs", "errors", "areas", "score", "report", "image",
    "radius",
)  # fmt: skip
_OF_RASTERS = ("aoi", "classes", "ignore", "ids")


def are_panoptic(prediction: Sequence[str], target: Sequence[str], options: EvaluateOptions) -> bool:
    """Return whether predictions and truth are panoptic maps.

    They are if rasters of ids are named, or if either side is a folder with COCO's panoptic JSON.

    Raises:
        LandsegError: several files on one side, or options that mean nothing for panoptic maps.
    """
    folders = any(find_panoptic(path) is not None for path in (*prediction, *target))
    if not folders and options.ids is None:
        return False
    for paths, what in ((prediction, "predictions"), (target, "truths")):
        if len(paths) != 1:
            raise ClassError(f"{counted(len(paths), 'file')} as {what} of panoptic maps: name one on each side")
    refuse_given(options, _OF_OTHERS, "other predictions, and these are panoptic maps")
    if folders:
        refuse_given(options, _OF_RASTERS, "rasters, and these are panoptic maps in COCO's format")
    elif several := next((path for path in (*prediction, *target) if is_folder_of_rasters(path)), None):
        raise ClassError(f"{several} is a folder: with --ids name one class raster on each side")
    return True


def refuse_panoptic(paths: Sequence[str], options: EvaluateOptions) -> None:
    """Raise ClassError if one of the paths is a folder of panoptic maps, or rasters of ids are named."""
    if options.ids is not None or any(find_panoptic(path) is not None for path in paths):
        raise ClassError("compare does not take panoptic maps: evaluate each prediction by itself")


def open_panoptic(prediction: str, target: str, options: EvaluateOptions) -> PanopticPair:
    """Return the segments of a prediction and of its truth, counted.

    Raises:
        LandsegError: as `pair_rasters` and `pair_folders`, a side that is no panoptic map, or an output that is one
            of the files that are read.
    """
    outputs = [] if options.csv is None else [options.csv]
    if options.ids is not None:
        refuse_inputs(outputs, files_read([prediction, target, *options.ids]))
        return pair_rasters(prediction, target, options.ids, options)
    found, true = read_panoptic(prediction), read_panoptic(target)
    refuse_inputs(outputs, [*found.files, *true.files])
    return pair_folders(found, true, options)
