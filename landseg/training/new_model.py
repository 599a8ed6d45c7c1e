"""The model of a run: its network before anything is learned, and its file once the weights are there."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from landseg.dense.target_grid import UnitScores
from landseg.errors import LandsegError, TrainingError
from landseg.models.card import SEMANTIC, Card, Metrics
from landseg.models.file import load_model, save_model
from landseg.models.networks.build import build_network
from landseg.models.networks.pixel_forest import PixelForest
from landseg.models.transfer import transferred
from landseg.text.amounts import counted
from landseg.training.data import TrainingData
from landseg.training.holdout import measure_holdout, of_no_use
from landseg.training.network_choice import check_network
from landseg.training.pixel_classifier import held_against, worth_it
from landseg.training.recipe import Recipe
from landseg.training.run_folder import RunFolder

_log = logging.getLogger(__name__)


def initial_network(recipe: Recipe, report: Callable[[str], None]) -> nn.Module:
    """Return the network that a recipe begins with; ``report`` gets a line for what was taken from another model.

    Raises:
        ModelError: a network that cannot be built, or weights for it that are not to be had.
        TrainingError: the loss is to be taken at the units of a network that has none.
    """
    check_network(recipe)
    task = recipe.make_task()
    task.check_loss(recipe.loss)
    torch.manual_seed(recipe.fit.seed)  # of the initial weights; the loop sets the seeds of its steps itself
    network = build_network(
        recipe.arch,
        encoder=recipe.encoder,
        bands=len(recipe.bands),
        channels=task.heads.total,
        encoder_weights=recipe.encoder_weights if recipe.init is None else None,
        **{**recipe.options, **task.network_options},
    )
    if recipe.loss.at == "units":
        UnitScores(network)
    if recipe.init is not None:
        given, said = load_model(recipe.init), recipe.map_classes
        for line in transferred(given, network, card=recipe, heads=task.heads, said=said).sentences():
            report(line)
    return network


@dataclass(frozen=True)
class NewModel:
    """A network that has learned, its card, and the file of both.

    Attributes:
        path: of the model file.
        network: with its weights.
        card: without figures of the scenes that were kept out.
        seconds: the time that learning took.
    """

    path: Path
    network: nn.Module
    card: Card
    seconds: float

    def write(self, data: TrainingData, *, overwrite: bool) -> None:
        """Write the model file, with a card that says what is not measured yet."""
        waiting = f"{data.split.how}, and not measured yet" if data.split.holdout else ""
        save_model(self.path, self.network, replace(self.card, not_measured=waiting), overwrite=overwrite)

    def measure(
        self, data: TrainingData, folder: RunFolder, *, pixel_classifier: bool, report: Callable[[str], None]
    ) -> Metrics:
        """Measure the written model on the scenes that were kept out, and write the figures into its card.

        Args:
            data: of the run.
            folder: of the run, for the class rasters.
            pixel_classifier: hold a network against a small pixel forest on the same labels.
            report: gets lines about the figures.

        Raises:
            TrainingError: the scenes cannot be measured; the model's card says why.
        """
        report(f"predicting {counted(len(data.holdout), 'scene')} kept out")
        figures = self._figures(data, folder.kept)
        if (
            pixel_classifier
            and not isinstance(self.network, PixelForest)
            and self.card.task == SEMANTIC
            and worth_it(data.recipe, data.labelled_pixels)
        ):
            figures = held_against(figures, data, self.card, folder.baseline, seconds=self.seconds, report=report)
        if (warning := of_no_use(figures)) is not None:
            report(f"warning: {warning}")
        save_model(self.path, self.network, replace(self.card, metrics=figures), overwrite=True)
        return figures

    def _figures(self, data: TrainingData, folder: Path) -> Metrics:
        # As predict reads it: the weights in the file are rounded to 16 bits.
        model, how = replace(load_model(self.path), card=self.card), data.split.how
        try:
            return measure_holdout(model, data.holdout, folder, measured_on=how)
        except Exception as error:  # whatever is wrong with a scene that was kept out, the model stays
            _log.debug("where measuring failed", exc_info=True)
            text = " ".join(str(error).split())
            why = text if isinstance(error, (LandsegError, OSError)) else f"{type(error).__name__}: {text}"
            card = replace(model.card, not_measured=f"{how}, which could not be measured: {why}")
            save_model(model.path, model.network, card, overwrite=True)
            raise TrainingError(
                f"{model.path} is written, but {counted(len(data.holdout), 'scene')} kept out could not be measured, "
                f"as its card says: {why}; once that is mended, the same command with --resume measures it without "
                "learning again"
            ) from error
