"""Honest figures of a new model: whole kept-out scenes, predicted as users predict them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from landseg.classes import IGNORE_INDEX
from landseg.geo.pieces import parts
from landseg.geo.rasters.source import FileSource
from landseg.inference.match import mute_warnings
from landseg.inference.options import PredictOptions
from landseg.inference.run import LazyEngine, Run
from landseg.metrics import figures
from landseg.metrics.bootstrap import Blocks, intervals
from landseg.models.card import Metrics
from landseg.models.file import Model
from landseg.models.named import NamedModel
from landseg.runtime.disk import disk_errors
from landseg.scenes.scene import Scene
from landseg.text.amounts import counted

BLOCK = 256  # of the bootstrap


@dataclass(frozen=True)
class HoldoutScene:
    """One kept-out scene, the bands of its file that the model reads, and whether it learned from stored numbers."""

    scene: Scene
    image: Path
    bands: tuple[int, ...]
    stored_values: bool = False


def measure_holdout(model: Model, kept: Sequence[HoldoutScene], folder: Path, *, measured_on: str) -> Metrics:
    """Predict kept-out scenes as `landseg predict` does, and compare them with their labels.

    Only labels that name one class count, and they do so wherever they are: one on a pixel without data in the image,
    which the prediction leaves without data, is missed, as `landseg evaluate` has it. The class rasters stay in
    ``folder``, one for each scene.

    Args:
        model: to be measured.
        kept: the scenes; parts of one file are measured where they are kept out.
        folder: is made.
        measured_on: for the card, in words.

    Raises:
        LandsegError: a scene that cannot be read, or a folder that cannot be written.
    """
    names, classes = model.card.classes.names, model.card.classes
    blocks, missed = Blocks(len(names), BLOCK), 0
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(kept):
        made = folder / f"{one.scene.name.replace('/', '_')}.tif"
        mute_warnings(one.image)  # they were logged when it was opened for the training
        options = PredictOptions.of(
            bands=one.bands,
            source_resolution=_said(one.scene),
            stored_values=one.stored_values,
            overwrite=True,
            quiet=True,
        )
        Run(LazyEngine(NamedModel(model), options), [str(one.image)], made, options).result()
        with FileSource(made, [1]) as source:
            for rect in parts(one.scene.shape):
                target = one.scene.labels(rect)
                values, valid = source.read(rect)
                predicted, _ = classes.to_indices_and_unmapped(values[0], valid)
                truth = np.where(target < len(names), target, np.uint8(IGNORE_INDEX))
                missed += int(((truth != IGNORE_INDEX) & ~valid).sum())
                blocks.update(truth, predicted, top=rect.top, left=rect.left, raster=number)
    table = blocks.table()
    overall = {
        "mean_iou": float(figures.mean_iou(table)),
        "pixel_accuracy": float(figures.pixel_accuracy(table)),
        "commonest_class_accuracy": float(figures.commonest_class_accuracy(table)),
    }
    if len(blocks) > 1:
        low, high = intervals(blocks, {"mean_iou": figures.mean_iou})["mean_iou"]
        overall |= {"mean_iou_low": float(low), "mean_iou_high": float(high)}
    by_name = {"iou": figures.iou(table), "precision": figures.precision(table), "recall": figures.recall(table)}
    per_class = {
        name: {figure: float(found[index]) for figure, found in by_name.items()} for index, name in enumerate(names)
    }
    if missed:
        many = counted(missed, "labelled pixel", "labelled pixels")
        measured_on += f"; {many} without data in their image count{'s' if missed == 1 else ''} as missed"
    return Metrics(measured_on, overall, per_class)


def worse_than_commonest(metrics: Metrics) -> str | None:
    """Return a sentence where a model is no better than one that always answers the commonest class, else None."""
    accuracy, commonest = (metrics.overall[name] for name in ("pixel_accuracy", "commonest_class_accuracy"))
    if not accuracy <= commonest:
        return None
    return (
        f"the model is of no use yet: on what was kept out {100 * accuracy:.1f} % of the pixels are right, and "
        f"{100 * commonest:.1f} % would be if all were of the commonest class; label more or train longer, and look "
        "at the labels (landseg data --sheet)"
    )


def _said(scene: Scene) -> float | None:
    """The resolution that a user stated, where the raster itself does not."""
    return scene.stated_m if scene.grid is None or scene.grid.resolution_m is None else None
