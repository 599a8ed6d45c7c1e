"""Learning of any network from the data of a run: in steps, or, for a pixel forest, at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from landseg.dense.task import Task
from landseg.models.card import Card
from landseg.models.heads import CLASSES
from landseg.models.networks.pixel_forest import PixelForest
from landseg.training.augment import NONE
from landseg.training.batches import Batches
from landseg.training.data import TrainingData
from landseg.training.loop.chosen_options import with_chosen_options
from landseg.training.loop.fit import fit
from landseg.training.loop.process import first_process
from landseg.training.loop.run import Feedback, Lesson
from landseg.training.loop.sample_pictures import MakeIds, SamplePictures, shown_channels
from landseg.training.loop.validation import QuickValidation
from landseg.training.new_model import NewModel
from landseg.training.objective import objective
from landseg.training.pixel_classifier import as_model
from landseg.training.run_folder import RunFolder
from landseg.training.sampler import CropSampler


def learn(
    network: nn.Module,
    card: Card,
    data: TrainingData,
    *,
    output: Path,
    folder: RunFolder,
    quiet: bool,
    report: Callable[[str], None],
) -> NewModel:
    """Return the model of a network that has learned from the data of a run; its file is not written yet.

    Args:
        network: as the recipe begins with it; learns in place.
        card: of the network as it was built.
        data: of the run.
        output: the model's file.
        folder: of the run; is made.
        quiet: show no progress.
        report: gets a line of what a pixel forest was grown on, or of options that were chosen after learning.

    Raises:
        TrainingError: labels that the network cannot learn from, or a loss that is no number.
        KeyboardInterrupt: stopped by hand.
    """
    started = time.monotonic()
    if isinstance(network, PixelForest):
        network, card = as_model(network, data, card, report)
        _begin(data, folder)
    else:
        network = _fitted(network, data, folder, quiet=quiet)
        if first_process():
            card = with_chosen_options(card, network, data, report)
    return NewModel(output, network, card, time.monotonic() - started)


def _fitted(network: nn.Module, data: TrainingData, folder: RunFolder, *, quiet: bool) -> nn.Module:
    """Return the network as the steps of the recipe's budget make it."""
    recipe, sampling, sets = data.recipe, data.recipe.sampling, data.opened.sets
    options = recipe.fit.resolved(data.labelled_pixels, batch_pixels=sampling.batch * sampling.crop**2)
    task = recipe.make_task()
    sampler = CropSampler(data.split.train, sampling, seed=options.seed, sets=sets, counts=data.counts)
    shown = CropSampler(data.split.holdout or data.split.train, sampling, seed=options.seed, sets=sets)
    validation = QuickValidation(data.split.holdout, task, recipe.scaling, resolution_m=sampling.resolution_m)
    loss = objective(task, recipe.loss, sets, data.counts, data.coarse)
    pictures = None
    if CLASSES in task.heads:
        pictures = SamplePictures(
            Batches(shown, options=NONE)[0],
            recipe.classes,
            recipe.scaling,
            channels=task.heads[CLASSES],
            bands=shown_channels([band.common_name or band.name for band in recipe.bands]),
            eight_bit=set(recipe.dtypes) == {"uint8"},
            objects=_ids_of(task) if task.label_maps else None,
        )
    _begin(data, folder)
    return fit(
        network,
        Lesson(
            Batches(sampler, task=task, options=recipe.augment),
            loss,
            recipe.scaling,
            recipe.loss.at or "pixels",
            task.forward if task.whole_rows else None,
        ),
        options=options,
        folder=folder.path,
        feedback=Feedback(validation if validation else None, pictures, quiet),
        resume=folder.resume,
    )


def _ids_of(task: Task) -> MakeIds:
    """Return the function that makes the layer "instances" (h, w) of an output of a task of objects."""

    def ids(output: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[Any]:
        found = task.result(output, valid)["instances"]
        return np.zeros(valid.shape, np.uint32) if found is None else found

    return ids


def _begin(data: TrainingData, folder: RunFolder) -> None:
    """Make the run folder, in one process of the run, once nothing is left to refuse."""
    if first_process():
        folder.begin(data.recipe)
