"""`landseg train`: labelled scenes in, one model file with an honest card out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from os import fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, overload

from landseg.errors import OutputError
from landseg.geo.rasters.address import File, Files, file_name

if TYPE_CHECKING:
    from landseg.training.recipe import Recipe
    from landseg.training.result import TrainingResult
    from landseg.training.run_options import TrainKeywords

__all__ = ["train"]


@overload
def train(
    recipe: File | Recipe,
    output: File,
    /,
    *,
    data: File = ".",
    keep_out: Sequence[str] = (),
    metrics_from: File | None = None,
    pixel_classifier: bool = True,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = True,
    report: Callable[[str], None] = print,
    **options: Unpack[TrainKeywords],
) -> TrainingResult: ...
@overload
def train(
    images: Files,
    labels: Files | None,
    output: File,
    /,
    *,
    data: File = ".",
    keep_out: Sequence[str] = (),
    metrics_from: File | None = None,
    pixel_classifier: bool = True,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = True,
    report: Callable[[str], None] = print,
    **options: Unpack[TrainKeywords],
) -> TrainingResult: ...
def train(
    images: Any,
    labels: Any = None,
    output: Any = None,
    /,
    *,
    data: File = ".",
    keep_out: Sequence[str] = (),
    metrics_from: File | None = None,
    pixel_classifier: bool = True,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = True,
    report: Callable[[str], None] = print,
    **options: Unpack[TrainKeywords],
) -> TrainingResult:
    """Train a network on labelled scenes and write one model file.

    ``train(images, labels, output)`` learns from images and their labels, ``train(recipe, output)`` from what a
    recipe names, or a list of images that names their labels. A scene is an image with its labels.

    The run folder, ``<output stem>.run`` beside the model, gets the resolved recipe (``train.toml``), checkpoints,
    logs, curves, sample predictions, and in ``kept/`` the class rasters of the scenes that were kept out.

    The model file is written as soon as its weights are learned. Its card says that it is not measured until the
    scenes that were kept out are, and why, where that failed: ``resume=True`` then measures it, without learning.

    Args:
        images: folders, globs, files (or datasets that rasterio has open) or a list; or a recipe: a TOML file, see
            ``landseg.training.recipe``, or what was read from one and changed.
        labels: label rasters or vector files of the images' names, or a folder of them; or one vector file for all.
        output: the model file to write (``.safetensors``).
        data: the folder that the names of images and labels, or the recipe's, start from.
        keep_out: globs over scene names, in place of the recipe's split; these scenes are not trained on but
            measured.
        metrics_from: a model of the same recipe whose kept-out figures go into the card, for weights trained
            on everything.
        pixel_classifier: hold a network against a small pixel forest on the same labels, measured on the same
            scenes; its figures come into the card beside the network's.
        resume: go on from the run folder's last checkpoint; a pixel forest is fitted anew, to the same trees.
        overwrite: replace an existing output and start a new run.
        quiet: show no progress on standard error.
        report: gets one line of text at a time.
        **options: the fields of `landseg.training.run_options.RunOptions`, by name: the command's options.

    Raises:
        TrainingError: nothing to learn from, a run folder that exists, a loss that is no number; or the model is
            written and could not be measured.
        ModelError: a network that cannot be built, or weights for it that are not to be had; before data is read.
        OutputError: the output exists, has no folder, or a name that is no model file's.
        KeyboardInterrupt: stopped by hand; ``resume=True`` continues.
    """
    from landseg.models.file import read_card
    from landseg.text.options import refuse_unknown
    from landseg.training.card import build_card
    from landseg.training.data import TrainingData
    from landseg.training.loop.learn import learn
    from landseg.training.loop.process import first_process
    from landseg.training.new_model import initial_network
    from landseg.training.ready import refuse_existing
    from landseg.training.result import TrainingResult
    from landseg.training.run_folder import RunFolder
    from landseg.training.run_options import RunOptions
    from landseg.training.sources import fully_named

    if output is None:
        labels, output = None, labels
    if output is None:
        raise OutputError("name the model file to write: train(images, labels, output), or train(recipe, output)")
    output = Path(file_name(output))
    folder = RunFolder(output.with_suffix(".run"), resume)
    refuse_existing(output, folder.path, resume=resume, overwrite=overwrite)
    refuse_unknown(options, [one.name for one in fields(RunOptions)], of="train")
    recipe = RunOptions(**options).recipe_from(images, labels, Path(data), name=output.stem)
    recipe = fully_named(recipe, Path(data))
    figures = None if metrics_from is None else read_card(fspath(metrics_from)).metrics
    recipe = replace(recipe, split=None) if keep_out else recipe  # what is kept out takes the split's place
    network = initial_network(recipe, report)
    labelled = TrainingData.open(recipe, Path(data), keep_out=keep_out, report=report)
    card = build_card(labelled, network, figures=figures)
    model = learn(network, card, labelled, output=output, folder=folder, quiet=quiet, report=report)
    holdout, left_out = len(labelled.split.holdout), labelled.left_out.to_json()
    made = TrainingResult(output, len(labelled.split.train), holdout, None, left_out, labelled.warnings)
    if not first_process():  # under torchrun one process measures and writes
        return made
    # Before anything else, for whatever fails from here on is not worth the hours of learning.
    model.write(labelled, overwrite=overwrite or resume)
    labelled.recipe.write(folder.recipe)
    if holdout:
        figures = model.measure(labelled, folder, pixel_classifier=pixel_classifier, report=report)
    return replace(made, metrics=figures)
