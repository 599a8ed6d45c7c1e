"""Pixel forests of a training run: as the model itself, or as the classifier that a network is held against."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from landseg.dense.objective import LossOptions
from landseg.errors import LandsegError
from landseg.models.card import Card, Field, Metrics
from landseg.models.file import Model
from landseg.models.graph.receptive_field import receptive_field
from landseg.models.networks.catalogue import NO_ENCODER, PIXEL_FOREST
from landseg.models.networks.pixel_forest import PixelForest
from landseg.runtime.progress import duration
from landseg.text.amounts import counted, part_of
from landseg.training.augment import AugmentOptions
from landseg.training.data import TrainingData
from landseg.training.fit_options import FitOptions
from landseg.training.holdout import HoldoutScene, measure_holdout
from landseg.training.pixel_forest import grow
from landseg.training.recipe import Recipe

MEAN_IOU, ACCURACY = "pixel_classifier_mean_iou", "pixel_classifier_accuracy"
"""Its figures in a network's card, among the network's."""
_TREES, _LEAVES, _DEPTH = 16, 256, 10  # a third of the decisions of the one that is a model
_PIXELS = 30_000
_SHARE = 0.05  # of the time that learning took
_ALWAYS_MPX = 5.0  # kept-out scenes that are as small as this take some seconds
_MPX_A_SECOND = 0.5  # of it, on two slow cores
FEW_STEPS, FEW_MINUTES = 20, 0.25  # a shorter run is a trial, which needs no comparison

_log = logging.getLogger(__name__)


def as_model(
    network: PixelForest, data: TrainingData, card: Card, report: Callable[[str], None]
) -> tuple[PixelForest, Card]:
    """Return the grown forest with its card.

    Args:
        network: as it was built, with the limits that it may grow to.
        data: of the run.
        card: of the network as it was built.
        report: gets a line about the pixels that it was grown on.

    Raises:
        TrainingError: labels that it cannot learn from.
        RasterError: a scene cannot be read.
    """
    started, recipe = time.monotonic(), data.recipe
    if (replace(recipe.fit, seed=0), recipe.augment, recipe.loss) != (FitOptions(), AugmentOptions(), LossOptions()):
        report(
            "note: [fit], [augment] and [loss] are for networks that learn in steps: a pixel forest takes the seed"
        )
    grown, pixels = grow(data.pixels, network, seed=recipe.fit.seed)
    forest = grown.forest
    seconds = max(1, round(time.monotonic() - started))
    report(
        f"{counted(forest.trees, 'tree')} of up to {counted(forest.leaves, 'leaf', 'leaves')} fitted on "
        f"{part_of(len(pixels.target), int(pixels.labelled.sum()), 'labelled pixel')} in {duration(seconds)}"
    )
    return grown, with_network(card, grown)


def with_network(card: Card, network: PixelForest) -> Card:
    """Return a card with another network, of a pixel forest as it has grown."""
    return replace(
        card,
        arch=PIXEL_FOREST,
        encoder=NO_ENCODER,
        options=network.options,
        receptive_field=Field.of(receptive_field(network)),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
    )


@dataclass(frozen=True)
class Baseline:
    """The figures of a pixel classifier of the same labels on the scenes kept out, and those of the network."""

    mean_iou: float
    accuracy: float
    seconds: float
    network: Metrics

    @property
    def metrics(self) -> Metrics:
        """Return the network's figures with the classifier's beside them."""
        own = {MEAN_IOU: self.mean_iou, ACCURACY: self.accuracy}
        return replace(self.network, overall={**self.network.overall, **own})

    def sentences(self) -> list[str]:
        """Return lines with both figures, and a warning where the network's is the lower."""
        own = self.network.overall["mean_iou"], self.network.overall["pixel_accuracy"]
        lines = [
            f"a pixel classifier on the same labels: mean IoU {self.mean_iou:.3f}, accuracy {self.accuracy:.3f} "
            f"(the network: {own[0]:.3f}, {own[1]:.3f}), in {duration(self.seconds)}"
        ]
        if own[0] < self.mean_iou:
            lines.append(
                "warning: the network is worse than a classifier of single pixels, which needs seconds: train "
                f"longer, give it more labels, or take --arch {PIXEL_FOREST}"
            )
        return lines


def worth_it(recipe: Recipe, known: int) -> bool:
    """Return whether a run is long enough to be held against anything.

    Args:
        recipe: of the run.
        known: labelled pixels.
    """
    options = recipe.fit.resolved(known, batch_pixels=recipe.sampling.batch * recipe.sampling.crop**2)
    return options.steps >= FEW_STEPS if options.steps is not None else options.minutes >= FEW_MINUTES


def too_much(kept: Sequence[HoldoutScene], learned_seconds: float) -> str | None:
    """Return why the kept-out scenes are too many for a baseline that takes a small part of a run, else None."""
    files = {one.image: one.scene.rect.area for one in kept}
    mpx = sum(files.values()) / 1e6
    if mpx <= max(_ALWAYS_MPX, _SHARE * learned_seconds * _MPX_A_SECOND):
        return None
    return (
        f"no pixel classifier was held against it: {mpx:.0f} Mpx kept out would take it about "
        f"{duration(mpx / _MPX_A_SECOND)}, more than {_SHARE:.0%} of the run; landseg train --arch {PIXEL_FOREST} "
        "fits one by itself"
    )


def baseline(data: TrainingData, card: Card, folder: Path, *, network: Metrics) -> Baseline | str:
    """Return a small pixel classifier's figures on the scenes kept out, measured as the network's; else why not.

    Args:
        data: of the run.
        card: the network's.
        folder: of its class rasters; is made.
        network: the network's figures.
    """
    started = time.monotonic()
    like = PixelForest(len(card.bands), classes=len(card.classes), trees=_TREES, leaves=_LEAVES, depth=_DEPTH)
    try:
        grown, _ = grow(data.pixels, like, most=_PIXELS, seed=data.recipe.fit.seed)
        model = Model(grown, with_network(card, grown), Path(PIXEL_FOREST), "")
        found = measure_holdout(model, data.holdout, folder, measured_on=network.measured_on)
    except (LandsegError, OSError) as error:  # the network's own figures stay
        _log.debug("where the baseline failed", exc_info=True)
        return f"no pixel classifier was held against it: {' '.join(str(error).split())}"
    figures = found.overall
    return Baseline(figures["mean_iou"], figures["pixel_accuracy"], time.monotonic() - started, network)


def held_against(
    figures: Metrics, data: TrainingData, card: Card, folder: Path, *, seconds: float, report: Callable[[str], None]
) -> Metrics:
    """Return a network's figures with those of a pixel classifier beside them, where there is time for one.

    Args:
        figures: the network's, on the scenes that were kept out.
        data: of the run.
        card: the network's.
        folder: of the classifier's class rasters; is made.
        seconds: the time that learning took.
        report: gets both figures, or the reason why there are none to compare with.
    """
    if (found := too_much(data.holdout, seconds)) is None:
        made = baseline(data, card, folder, network=figures)
        if isinstance(made, Baseline):
            for line in made.sentences():
                report(line)
            return made.metrics
        found = made
    report(f"note: {found}")
    return figures
