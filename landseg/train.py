"""The use case behind ``landseg train``: labelled scenes in, one model file with an honest card out."""

from __future__ import annotations

import fnmatch
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, overload

import torch
from torch import nn

from landseg.dense.tasks import make_task
from landseg.errors import LandsegError, OutputError, TrainingError
from landseg.geo.rasters.address import file_name
from landseg.labels.left_out import LeftOut
from landseg.models.card import Metrics
from landseg.models.file import Model, load_model, read_card, save_model
from landseg.models.networks.build import build_network
from landseg.models.networks.pixel_forest import PixelForest
from landseg.models.transfer import transferred
from landseg.runtime.disk import disk_errors
from landseg.scenes.label_counts import LabelCounts, count_labels, remarks
from landseg.scenes.scene import Scene
from landseg.scenes.split import split
from landseg.scenes.views import base_scene, in_memory
from landseg.text.amounts import counted
from landseg.text.options import refuse_unknown
from landseg.training.augment import NONE
from landseg.training.batches import Batches
from landseg.training.card import build_card, data_sources
from landseg.training.coarse.options import CoarseOptions
from landseg.training.coarse.sources import resolve_statistics
from landseg.training.coarse.statistics import JointStatistics
from landseg.training.declared import alpha_warnings, with_declared_tags
from landseg.training.holdout import HoldoutScene, measure_holdout, worse_than_commonest
from landseg.training.loop.checkpoint import LAST
from landseg.training.loop.fit import KEPT, Scaling, clear, fit
from landseg.training.loop.process import first_process
from landseg.training.loop.sample_pictures import SamplePictures, shown_channels
from landseg.training.loop.validation import QuickValidation
from landseg.training.network_choice import check_network
from landseg.training.objective import objective
from landseg.training.pixel_classifier import as_model, held_against, worth_it
from landseg.training.pixels import PixelData
from landseg.training.ready import refuse_existing, refuse_missing
from landseg.training.recipe import Recipe
from landseg.training.run_options import RunOptions
from landseg.training.sampler import CropSampler, usable_range
from landseg.training.sources import Labelled, fully_named, open_scenes

File = str | PathLike[str]
RECIPE = "train.toml"  # in the run folder
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """What a training run made: the model file and its figures on the scenes that were kept out.

    ``left_out`` are the pixels of the scenes that were learned from that taught nothing, by reason; ``warnings`` what
    was said of the images.
    """

    output: Path
    scenes: int
    kept_out: int
    metrics: Metrics | None
    left_out: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain JSON values."""
        return {
            "output": str(self.output),
            "scenes": self.scenes,
            "kept_out": self.kept_out,
            "metrics": None if self.metrics is None else self.metrics.to_json(),
            "left_out": dict(self.left_out),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class _Parts:
    """What is learned, what is kept out and how, in words."""

    learned: list[Scene]
    kept: list[Scene]
    how: str


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
    **options: Any,
) -> Trained: ...
@overload
def train(
    images: File | Sequence[File],
    labels: File | Sequence[File] | None,
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
    **options: Any,
) -> Trained: ...
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
    **options: Any,
) -> Trained:
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
        labels: label rasters, a folder of them, or a vector file.
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
        **options: the command's options by name, see ``landseg.training.run_options.RunOptions``.

    Raises:
        TrainingError: nothing to learn from, a run folder that exists, a loss that is no number; or the model is
            written and could not be measured.
        ModelError: a network that cannot be built, or weights for it that are not to be had; before data is read.
        OutputError: the output exists, has no folder, or a name that is no model file's.
        KeyboardInterrupt: stopped by hand; ``resume=True`` continues.
    """
    if output is None:
        labels, output = None, labels
    if output is None:
        raise OutputError("name the model file to write: train(images, labels, output), or train(recipe, output)")
    output = Path(file_name(output))
    folder = output.with_suffix(".run")
    refuse_existing(output, folder, resume=resume, overwrite=overwrite)
    refuse_unknown(options, [one.name for one in fields(RunOptions)], of="train")
    recipe = _recipe(images, labels, Path(data), RunOptions(**options), name=output.stem)
    recipe = fully_named(recipe, Path(data))
    figures = None if metrics_from is None else read_card(fspath(metrics_from)).metrics
    recipe = replace(recipe, split=None) if keep_out else recipe  # what is kept out takes the split's place
    network = _network(recipe, report)
    recipe = with_declared_tags(recipe, Path(data), report)
    warnings = tuple(alpha_warnings(recipe, Path(data)))
    for line in warnings:
        report(f"warning: {line}")
    sources = data_sources(recipe, Path(data))  # hours before the card needs them: they read every file
    opened = open_scenes(recipe, Path(data))
    opened = replace(opened, scenes=in_memory(opened.scenes, recipe.sampling.memory_mib))
    made = _split(opened, recipe, keep_out, report)
    census = count_labels(made.learned, seed=recipe.fit.seed)
    for line in remarks(made.learned, census, recipe.classes.names):
        report(f"note: {line}")
    left_out = LeftOut()
    for scene in made.learned:
        left_out.merge(scene.left_out)
    if left_out:
        report(f"note: {left_out.line()}")
    statistics = resolve_statistics(
        made.learned,
        opened.coarse,
        opened.statistics,
        specs=recipe.sources,
        classes=recipe.classes.names,
        report=report,
    )
    others = None if made.kept else figures
    usable = usable_range(made.learned, recipe.sampling)
    card = build_card(
        recipe, network, sources, keep_out=keep_out, figures=others, usable=usable, statistics=statistics
    )
    pixels = PixelData(made.learned, census, opened.sets, _scaling(recipe), recipe.sampling.resolution_m)
    started = time.monotonic()
    if isinstance(network, PixelForest):
        network, card = as_model(network, pixels, card, recipe, report)
        _begin(recipe, folder, resume=resume)
    else:
        network = _fitted(network, recipe, opened, made, (census, statistics), (folder, resume, quiet))
    seconds = time.monotonic() - started
    if not first_process():  # under torchrun one process measures and writes
        return Trained(output, len(made.learned), len(made.kept), None, left_out.to_json(), warnings)
    waiting = f"{made.how}, and not measured yet" if made.kept else ""
    # Before anything else, for whatever fails from here on is not worth the hours of learning.
    save_model(output, network, replace(card, not_measured=waiting), overwrite=overwrite or resume)
    recipe.write(folder / RECIPE)
    if made.kept:
        report(f"predicting {_scenes(len(made.kept))} kept out")
        stored = bool(recipe.sampling.stored_values)
        kept = [HoldoutScene(scene, *_file_of(scene, opened), stored_values=stored) for scene in made.kept]
        written = replace(load_model(output), card=card)  # as predict reads it: its weights are rounded to 16 bits
        figures = _measured(written, kept, made.how, folder / KEPT)
        if pixel_classifier and not isinstance(network, PixelForest) and worth_it(recipe, _known(census)):
            run = folder, seconds, recipe.fit.seed
            figures = held_against(figures, pixels, card, kept, run, report)
        if (warning := worse_than_commonest(figures)) is not None:
            report(f"warning: {warning}")
        save_model(output, network, replace(card, metrics=figures), overwrite=True)
    return Trained(output, len(made.learned), len(made.kept), figures, left_out.to_json(), warnings)


def _recipe(images: Any, labels: Any, folder: Path, options: RunOptions, *, name: str) -> Recipe:
    """Return the recipe that is given, or that of images and labels, with options over it.

    Raises:
        TrainingError: options for a recipe that was read already.
        LandsegError: images, labels, a recipe or a model that are not there.
    """
    if isinstance(images, Recipe):
        if labels is not None or options != RunOptions():
            raise TrainingError(
                "labels and options do not go with a Recipe that was read: change it with dataclasses.replace, or "
                "name its file"
            )
        return images
    data = options.data(images, labels, folder)
    init = None if options.init is None else str(options.init)
    refuse_missing(data, config=options.config_file, init=init, said=options.map_classes)
    return options.recipe(data, name=name)


def _measured(model: Model, kept: Sequence[HoldoutScene], how: str, folder: Path) -> Metrics:
    """Return the figures of a written model on what was kept out.

    Raises:
        TrainingError: they cannot be had; the model's card says why.
    """
    try:
        return measure_holdout(model, kept, folder, measured_on=how)
    except Exception as error:  # whatever is wrong with a scene that was kept out, the model stays
        _log.debug("where measuring failed", exc_info=True)
        text = " ".join(str(error).split())
        why = text if isinstance(error, (LandsegError, OSError)) else f"{type(error).__name__}: {text}"
        card = replace(model.card, not_measured=f"{how}, which could not be measured: {why}")
        save_model(model.path, model.network, card, overwrite=True)
        raise TrainingError(
            f"{model.path} is written, but {_scenes(len(kept))} kept out could not be measured, as its card "
            f"says: {why}; once that is mended, the same command with --resume measures it without learning again"
        ) from error


def _fitted(
    network: nn.Module,
    recipe: Recipe,
    opened: Labelled,
    made: _Parts,
    found: tuple[Sequence[LabelCounts], JointStatistics | None],
    run: tuple[Path, bool, bool],
) -> nn.Module:
    """The trained network."""
    (folder, resume, quiet), (census, statistics) = run, found
    sampling = recipe.sampling
    scaling = _scaling(recipe)
    options = recipe.fit.resolved(_known(census), batch_pixels=sampling.batch * sampling.crop**2)
    sampler = CropSampler(made.learned, sampling, seed=options.seed, sets=opened.sets, census=census)
    task = make_task("semantic", recipe.classes, {})
    batches = Batches(sampler, task=task, options=recipe.augment)
    shown = Batches(
        CropSampler(made.kept or made.learned, sampling, seed=options.seed, sets=opened.sets), options=NONE
    )
    glimpse = QuickValidation(made.kept, task, scaling, resolution_m=sampling.resolution_m)
    coarse = None if statistics is None else (statistics, (recipe.coarse or CoarseOptions()).share)
    _begin(recipe, folder, resume=resume)
    return fit(
        network,
        batches,
        objective(task, recipe.loss, opened.sets, census, coarse),
        scaling,
        options=options,
        folder=folder,
        validate=glimpse if glimpse else None,
        samples=SamplePictures(
            shown[0],
            recipe.classes,
            scaling,
            bands=shown_channels([band.common_name or band.name for band in recipe.bands]),
            eight_bit=set(recipe.dtypes) == {"uint8"},
        ),
        resume=resume,
        quiet=quiet,
    )


def _begin(recipe: Recipe, folder: Path, *, resume: bool) -> None:
    """Make the run folder, with the recipe in it and nothing of an earlier run, unless it is to go on."""
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if first_process() and not (resume and (folder / LAST).exists()):
        clear(folder)  # before the new recipe comes: nobody may go on from the old checkpoint by it
        recipe.write(folder / RECIPE)  # until it is done, a run that goes on is the one that was started


def _scaling(recipe: Recipe) -> Scaling:
    return Scaling(tuple(band.mean for band in recipe.bands), tuple(band.std for band in recipe.bands))


def _known(census: Sequence[LabelCounts]) -> int:
    """Pixels with a label."""
    return sum(one.known for one in census)


def _split(opened: Labelled, recipe: Recipe, keep_out: Sequence[str], report: Callable[[str], None]) -> _Parts:
    """The scenes to learn from and those kept out."""
    scenes = opened.scenes
    if recipe.split is not None:
        try:
            made = split(scenes, recipe.split, classes=recipe.classes.names, items=opened.items)
        except TrainingError:
            count_labels(scenes)  # labels that mean nothing are the better reason
            raise
        for note in made.notes:
            report(f"note: {note}")
        share = f"{100 * made.share:.0f} % of the labelled pixels, split by {made.by}"
        if made.polygons is not None:
            share += f": {made.polygons[1]} of {counted(sum(made.polygons), 'polygon')}"
        report(f"{_scenes(len(made.learned))} to learn from, {len(made.kept)} kept out ({share})")
        return _Parts(made.learned, made.kept, f"{_scenes(len(made.kept))} kept out of training: {share}")
    for pattern in keep_out:
        if not any(fnmatch.fnmatch(scene.name, pattern) for scene in scenes):
            raise TrainingError(f"no scene is called like {pattern!r}; the first is {scenes[0].name!r}")
    kept = [scene for scene in scenes if any(fnmatch.fnmatch(scene.name, pattern) for pattern in keep_out)]
    names = {scene.name for scene in kept}
    if len(kept) == len(scenes):
        raise TrainingError(
            f"no scene is left to learn from, {counted(len(scenes), 'scene is', 'scenes are')} "
            f"kept out: keep fewer out"
        )
    report(f"{_scenes(len(scenes) - len(kept))} to learn from, {len(kept)} kept out")
    how = f"{_scenes(len(kept))} kept out of training: {', '.join(keep_out)}"
    return _Parts([scene for scene in scenes if scene.name not in names], kept, how)


def _scenes(count: int) -> str:
    return counted(count, "scene")


def _file_of(scene: Scene, opened: Labelled) -> tuple[Path, tuple[int, ...]]:
    """The image of a scene, or of the scene that it is part of, and its bands."""
    number = next(number for number, one in enumerate(opened.scenes) if one is base_scene(scene))
    return opened.items[number].image, opened.bands[number][: scene.channels]  # labels may look at more


def _network(recipe: Recipe, report: Callable[[str], None]) -> nn.Module:
    check_network(recipe)
    torch.manual_seed(recipe.fit.seed)  # of the initial weights; the loop's dice are thrown by themselves
    network = build_network(
        recipe.arch,
        encoder=recipe.encoder,
        bands=len(recipe.bands),
        classes=len(recipe.classes),
        encoder_weights=recipe.encoder_weights if recipe.init is None else None,
        **recipe.options,
    )
    if recipe.init is not None:
        for line in transferred(load_model(recipe.init), network, card=recipe, said=recipe.map_classes).sentences():
            report(line)
    return network
