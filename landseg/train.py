"""The use case behind ``landseg train``: labelled scenes in, one model file with an honest card out."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from landseg import __version__
from landseg.classes import IGNORE_INDEX
from landseg.errors import OutputError, TrainingError
from landseg.metrics.confusion import Confusion
from landseg.models.build import build_network
from landseg.models.bundle import load_model, read_card, save_model
from landseg.models.card import Band, Card, DataSource, Field, Metrics, Training
from landseg.models.shipped import SUFFIX
from landseg.tiling.receptive import receptive_field
from landseg.training.drawn import DrawnBatch, DrawnBatches
from landseg.training.evaluate import predict_scene
from landseg.training.fit import Scaling, fit
from landseg.training.losses import partial_cross_entropy
from landseg.training.network import check_network
from landseg.training.recipe import Recipe, read_recipe
from landseg.training.scenes import Scene
from landseg.training.sources import find_images, fingerprint, load_scenes


@dataclass(frozen=True)
class Trained:
    """What a training run made: the model file and its figures on the scenes that were kept out."""

    output: Path
    scenes: int
    kept_out: int
    metrics: Metrics | None

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain JSON values."""
        return {
            "output": str(self.output),
            "scenes": self.scenes,
            "kept_out": self.kept_out,
            "metrics": None if self.metrics is None else self.metrics.to_json(),
        }


def train(
    recipe: str | Path | Recipe,
    output: str | Path,
    *,
    data: str | Path,
    keep_out: Sequence[str] = (),
    minutes: float | None = None,
    init: str | Path | None = None,
    metrics_from: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    report: Callable[[str], None] = print,
) -> Trained:
    """Train the recipe's network on the scenes below ``data`` and write one model file.

    Args:
        recipe: a TOML file, see ``landseg.training.recipe``, or what was read from one and changed.
        output: the model file to write (``.safetensors``); the run folder is ``<output stem>.run`` beside it.
        data: the folder that the recipe's globs start from.
        keep_out: globs over scene names; these scenes are not trained on but measured at the end.
        minutes: a time budget in place of the recipe's, be that in minutes or in steps.
        init: a model of the same network to go on from, in place of the recipe's encoder weights.
        metrics_from: a model of the same recipe whose kept-out figures go into the card, for weights trained
            on everything.
        resume: go on from the run folder's last checkpoint.
        overwrite: replace an existing output and start a new run.
        report: gets one line of text at a time.

    Raises:
        TrainingError: nothing to learn from, a run folder that exists, a loss that is no number.
        ModelError: a network that cannot be built, or weights for it that are not to be had; before data is read.
        OutputError: the output exists, has no folder, or a name that is no model file's.
    """
    recipe, output = recipe if isinstance(recipe, Recipe) else read_recipe(Path(recipe)), Path(output)
    folder = output.with_suffix(".run")
    _refuse_existing(output, folder, resume=resume, overwrite=overwrite)
    options = recipe.fit if minutes is None else replace(recipe.fit, minutes=minutes, steps=None)
    figures = None if metrics_from is None else read_card(metrics_from).metrics
    network = _network(recipe, init)
    scenes, sets = load_scenes(recipe, Path(data))
    learned, kept = _split(scenes, keep_out)
    report(f"{len(learned)} scenes to learn from, {len(kept)} kept out")
    scaling = Scaling(tuple(b.mean for b in recipe.bands), tuple(b.std for b in recipe.bands))
    batches = DrawnBatches(learned, sets, options)

    def loss(logits: torch.Tensor, batch: DrawnBatch) -> torch.Tensor:
        return partial_cross_entropy(logits, batch.target, sets)

    network = fit(network, batches, loss, scaling, options=options, folder=folder, resume=resume)
    if kept:
        measured_on = f"{len(kept)} scenes kept out of training: {', '.join(keep_out)}"
        figures = _measure(network, kept, scaling, recipe, measured_on)
    made_with = {**asdict(options), "keep_out": list(keep_out)}
    weights = recipe.encoder_weights if init is None else init
    started_from = None if weights is None else Path(weights).name  # a card travels: folders stay at home
    card = _card(recipe, network, Path(data), Training((), made_with, started_from), figures)
    save_model(output, network, card, overwrite=overwrite)
    return Trained(output, len(learned), len(kept), figures)


def _refuse_existing(output: Path, folder: Path, *, resume: bool, overwrite: bool) -> None:
    if output.suffix != SUFFIX:  # all that saving would refuse is refused before the hours of learning
        raise OutputError(f"a model file ends in {SUFFIX}, got {output.name!r}: use {output.stem}{SUFFIX}")
    if not output.parent.is_dir():
        raise OutputError(f"{output} has no folder: make {output.parent} first, or choose another output")
    if output.exists() and not overwrite:
        raise OutputError(f"{output} exists; pass --overwrite to replace it or choose another name")
    if (folder / "last.pt").exists() and not (resume or overwrite):
        raise TrainingError(f"{folder} holds an earlier run; pass --resume to go on or --overwrite to start again")


def _split(scenes: Sequence[Scene], keep_out: Sequence[str]) -> tuple[list[Scene], list[Scene]]:
    """The scenes to learn from and those kept out, by whole scenes only."""
    for pattern in keep_out:
        if not any(fnmatch.fnmatch(scene.name, pattern) for scene in scenes):
            raise TrainingError(f"no scene is called like {pattern!r}; the first is {scenes[0].name!r}")
    learned: list[Scene] = []
    kept: list[Scene] = []
    for scene in scenes:
        out = any(fnmatch.fnmatch(scene.name, pattern) for pattern in keep_out)
        (kept if out else learned).append(scene)
    return learned, kept


def _network(recipe: Recipe, init: str | Path | None) -> nn.Module:
    check_network(recipe)
    torch.manual_seed(recipe.fit.seed)  # of the initial weights; the loop's dice are thrown by themselves
    network = build_network(
        recipe.arch,
        encoder=recipe.encoder,
        bands=len(recipe.bands),
        classes=len(recipe.classes),
        encoder_weights=recipe.encoder_weights if init is None else None,
        **recipe.options,
    )
    if init is not None:
        state = load_model(init).network.state_dict()
        if {k: v.shape for k, v in state.items()} != {k: v.shape for k, v in network.state_dict().items()}:
            raise TrainingError(f"{init} holds another network than the recipe's {recipe.arch}; start without --init")
        network.load_state_dict(state)
    return network


def _measure(
    network: nn.Module, scenes: Sequence[Scene], scaling: Scaling, recipe: Recipe, measured_on: str
) -> Metrics:
    """Figures over whole kept-out scenes; only labels that name one class are measured against."""
    confusion = Confusion(len(recipe.classes))
    for scene in scenes:
        truth = np.where(scene.target < len(recipe.classes), scene.target, np.uint8(IGNORE_INDEX))
        confusion.update(truth, predict_scene(network, scene, scaling))
    overall = {
        "mean_iou": confusion.mean_iou(),
        "pixel_accuracy": confusion.pixel_accuracy(),
        "commonest_class_accuracy": confusion.commonest_class_accuracy(),
    }
    iou = [float(value) for value in confusion.iou()]
    per_class = {name: {"iou": value} for name, value in zip(recipe.classes.names, iou, strict=True)}
    return Metrics(measured_on, overall, per_class)


def _card(recipe: Recipe, network: nn.Module, data: Path, training: Training, figures: Metrics | None) -> Card:
    sources = tuple(
        DataSource(spec.name, spec.licence, spec.credit, fingerprint(find_images(spec, data)))
        for spec in recipe.sources
    )
    return Card(
        name=recipe.name,
        description=recipe.description,
        arch=recipe.arch,
        encoder=recipe.encoder,
        options=dict(recipe.options),
        bands=tuple(Band(b.name, b.common_name, b.mean, b.std) for b in recipe.bands),
        classes=recipe.classes,
        receptive_field=Field.of(receptive_field(network)),
        parameters=sum(p.numel() for p in network.parameters()),
        licence=recipe.licence,
        trained_at_m=recipe.trained_at_m,
        training=replace(training, sources=sources),
        metrics=figures,
        limitations=recipe.limitations,
        created_by=f"landseg {__version__}",
    )
