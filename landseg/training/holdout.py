"""Honest figures of a new model: whole kept-out scenes, predicted as users predict them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.dense.task import Request
from landseg.dense.tasks import task_of
from landseg.geo.grid import Rect
from landseg.geo.pieces import parts
from landseg.geo.rasters.source import FileSource
from landseg.inference.match import mute_warnings
from landseg.inference.options import PredictOptions
from landseg.inference.run import LazyEngine, Run
from landseg.models.card import Metrics
from landseg.models.file import Model
from landseg.models.named import NamedModel
from landseg.output.layer import Layer
from landseg.runtime.disk import disk_errors, work_kept
from landseg.scenes.scene import Scene


@dataclass(frozen=True)
class HoldoutScene:
    """One kept-out scene, the bands of its file that the model reads, and whether it learned from stored numbers."""

    scene: Scene
    image: Path
    bands: tuple[int, ...]
    stored_values: bool = False


def measure_holdout(model: Model, kept: Sequence[HoldoutScene], folder: Path, *, measured_on: str) -> Metrics:
    """Predict kept-out scenes as `landseg predict` does, and compare them with their labels.

    The task of the model counts. Of classes only labels that name one count, and they do so wherever they are: one on
    a pixel without data in the image, which the prediction leaves without data, is missed, as `landseg evaluate` has
    it. The rasters stay in ``folder``, for each scene its own.

    Args:
        model: to be measured.
        kept: the scenes; parts of one file are measured where they are kept out.
        folder: is made.
        measured_on: for the card, in words.

    Raises:
        LandsegError: a scene that cannot be read, or a folder that cannot be written.
    """
    task = task_of(model.card)
    measure = task.measure()
    with work_kept(), disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(kept):
        made = folder / f"{one.scene.name.replace('/', '_')}{'.tif' if task.has_map else '.gpkg'}"
        files = {name: made.with_name(f"{made.stem}_{name}{_suffix(name)}") for name in task.measured}
        if not task.has_map:
            files = dict.fromkeys(task.measured, made)
        mute_warnings(one.image)  # they were logged when it was opened for the training
        options = PredictOptions.of(
            bands=one.bands,
            source_resolution=_said(one.scene),
            stored_values=one.stored_values,
            overwrite=True,
            quiet=True,
            **(files if task.has_map else {}),
        )
        Run(LazyEngine(NamedModel(model), options), [str(one.image)], made, options).result()
        layers = {layer.name: layer for layer in task.layers(Request(made, files)) if not layer.scratch}
        with FileSource(one.image) as image:
            further = task.read_measured(files, image.grid)
        with ExitStack() as stack:
            sources = {name: stack.enter_context(_open(layer)) for name, layer in layers.items()}
            for rect in parts(one.scene.shape):
                read = {name: source.read(rect) for name, source in sources.items()}
                values = {name: found[0] if len(found) == 1 else found for name, (found, _) in read.items()}
                valid = next(iter(read.values()))[1] if read else np.ones(rect.shape, np.bool_)
                values |= further
                measure.update(values, valid, _labels(one.scene, rect), at=(rect.top, rect.left), raster=number)
    found = measure.summary()
    how = f"{measured_on}; {found.note}" if found.note else measured_on
    return Metrics(how, found.overall, found.per_class)


def _suffix(file: str) -> str:
    return ".gpkg" if file == "polygons" else ".tif"


def _open(layer: Layer) -> FileSource:
    return FileSource(layer.path, range(1, layer.count + 1))


def _labels(scene: Scene, rect: Rect) -> dict[str, NDArray[Any]]:
    """Return the label maps (h, w) that are measured on, by name: all but coarse classes."""
    further = (name for name in scene.label_maps[1:] if name != "coarse")
    return {"class": scene.labels(rect), **{name: scene.read_map(name, rect) for name in further}}


def of_no_use(metrics: Metrics) -> str | None:
    """Return a sentence where a model finds no object, or no more than the commonest class would; else None."""
    if metrics.overall.get("recall") == 0:
        return (
            "the model is of no use yet: it found none of the objects that were kept out; train longer, and look at "
            "the labels (landseg data --sheet)"
        )
    accuracy, commonest = (metrics.overall.get(name) for name in ("pixel_accuracy", "commonest_class_accuracy"))
    if accuracy is None or commonest is None or not accuracy <= commonest:
        return None
    return (
        f"the model is of no use yet: on what was kept out {100 * accuracy:.1f} % of the pixels are right, and "
        f"{100 * commonest:.1f} % would be if all were of the commonest class; label more or train longer, and look "
        "at the labels (landseg data --sheet)"
    )


def _said(scene: Scene) -> float | None:
    """Return the resolution that a user stated, where the raster itself does not."""
    return scene.stated_m if scene.grid is None or scene.grid.resolution_m is None else None
