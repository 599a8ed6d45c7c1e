"""Objects of several scenes: files of predictions and truths paired by name, and judged together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from landseg.errors import ClassError, RasterError
from landseg.evaluation.objects.pair import ALL, ObjectImage, ObjectPair
from landseg.geo.rasters.address import label
from landseg.geo.vectors.names import is_vector
from landseg.labels.pairing import IDS, LABELS, is_folder_of_rasters, named_twice, plain_stem, rasters_in
from landseg.metrics.overlaps import Ints
from landseg.text.amounts import counted, part_of, shorten_list

_RASTERS = (".tif", ".tiff", ".png", ".vrt")
_ENDINGS = (*IDS, *LABELS)


def objects_in(path: str, *, truth: bool = False) -> list[str]:
    """Return the files of objects that a path means: a file itself; of a folder its rasters, or its vector files.

    A folder of predictions with rasters means these. In one of truths vector files go first, since the imagery may
    lie beside them.
    """
    if is_vector(path) or not is_folder_of_rasters(path):
        return [path]
    folder = Path(path)
    rasters = list(map(str, rasters_in(folder, _RASTERS)))
    vectors = sorted(str(file) for file in folder.iterdir() if is_vector(file) and not file.name.startswith("."))
    return (vectors or rasters) if truth else (rasters or vectors)


def paired(predictions: Sequence[str], truths: Sequence[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Return each prediction with the truth of its name, and sentences about truths that are left out.

    One vector file of truth belongs to all predictions that are rasters, each of which says which part it covers.

    Raises:
        ClassError, RasterError: predictions without a truth of their name, or with several.
    """
    if len(predictions) == 1 and len(truths) == 1:
        return [(predictions[0], truths[0])], []
    if len(truths) == 1 and is_vector(truths[0]):
        if drawn := [path for path in predictions if is_vector(path)]:
            raise ClassError(
                f"{counted(len(predictions), 'prediction')} against one file of truth: {label(drawn[0])} does not "
                "say which part of it is its own; name the rasters of ids, or a truth for each"
            )
        return [(path, truths[0]) for path in predictions], []
    by_name: dict[str, list[str]] = {}
    for path in truths:
        by_name.setdefault(plain_stem(label(path), _ENDINGS), []).append(path)
    names = [plain_stem(label(path), _ENDINGS) for path in predictions]
    if (twice := named_twice(names)) is not None:
        raise RasterError(f"two predictions are called {twice}: expected one for each scene; use compare for several")
    if bare := [label(path) for path, name in zip(predictions, names, strict=True) if name not in by_name]:
        raise RasterError(
            f"{part_of(len(bare), len(names), 'prediction', 'has', 'have')} no truth of the same name: "
            f"{shorten_list(bare)}; name a truth for each"
        )
    if torn := next((one for one in names if len(by_name[one]) > 1), None):
        raise RasterError(f"{torn} has several truths: {shorten_list(list(map(label, by_name[torn])), 3)}; keep one")
    left = [label(one) for name, files in by_name.items() if name not in names for one in files]
    notes = [f"{counted(len(left), 'truth')} without a prediction left out: {shorten_list(left)}"] if left else []
    return [(path, by_name[name][0]) for path, name in zip(predictions, names, strict=True)], notes


def join_scenes(pairs: Sequence[ObjectPair], names: Sequence[str], notes: Sequence[str]) -> ObjectPair:
    """Return the objects of several scenes as one pair; blocks of the bootstrap are as wide as their mean.

    Args:
        pairs: one for each scene.
        names: of the scenes, for sentences.
        notes: sentences about all of them.

    Raises:
        ClassError: scenes with square metres and without, some with scores, or some with classes.
    """
    if len(pairs) == 1:
        return replace(pairs[0], notes=(*pairs[0].notes, *notes))
    units, widths = {one.unit for one in pairs}, {one.boundary_text for one in pairs}
    for what, kinds in (("unit of sizes", units), ("width of bands", widths)):
        if len(kinds) > 1:
            both = " and ".join(sorted(map(str, kinds)))
            raise ClassError(f"scenes differ in their {what} ({both}): judge them apart")
    scored = {one.scored for one in pairs if any(len(image.scores) for image in one.images)} or {False}
    if len(scored) > 1:
        raise ClassError("some predictions have scores and others have none: judge them apart")
    classes = sorted({name for one in pairs for name in one.classes} - {ALL}) or [ALL]
    odd = [name for name, one in zip(names, pairs, strict=True) if one.classes == (ALL,) and _has_objects(one)]
    if len(classes) > 1 and odd:
        raise ClassError(f"{shorten_list(odd)} has no classes and others have: judge them apart, or add the column")
    images: list[ObjectImage] = []
    for one in pairs:
        at = np.array([0 if name == ALL else classes.index(name) for name in one.classes], np.int64)
        for image in one.images:
            true, found = _of_table(image.true_class, at), _of_table(image.found_class, at)
            images.append(replace(image, true_class=true, found_class=found, number=len(images)))
    block = float(np.mean([one.block for one in pairs]))
    unit = {"m2": "m", "px": "px"}.get(pairs[0].unit, "units")
    texts = {one.block_text for one in pairs}
    said = [f"{name}: {note}" for name, one in zip(names, pairs, strict=True) for note in one.notes]
    return replace(
        pairs[0],
        images=tuple(images),
        classes=tuple(classes),
        scored=scored.pop(),
        block=block,
        block_text=texts.pop() if len(texts) == 1 else f"{block:.3g} {unit}",
        drawing=None,
        notes=(counted(len(pairs), 'scene'), *notes, *said),
    )


def _has_objects(pair: ObjectPair) -> bool:
    return any(len(image.scores) or len(image.true_class) for image in pair.images)


def _of_table(index: Ints, at: Ints) -> Ints:
    """Return the indices (n,) of classes in another table; -1 stays."""
    moved: Ints = np.append(at, -1)[index]
    return moved
