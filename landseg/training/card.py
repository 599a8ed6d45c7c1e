"""The card of a model that was just trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from landseg import __version__
from landseg.models.card import SEMANTIC, Band, Card, Field, Heads, Metrics, Training
from landseg.models.graph.receptive_field import receptive_field
from landseg.models.networks.catalogue import is_fitted
from landseg.training.coarse.options import CoarseOptions
from landseg.training.coarse.sources import card_entry
from landseg.training.data import TrainingData
from landseg.training.sampler import usable_range

_SECTIONS = ("fit", "sampling", "augment", "loss", "split")
_SECTIONS_OF_A_FIT = ("split",)


def build_card(data: TrainingData, network: nn.Module, *, figures: Metrics | None = None) -> Card:
    """Return the card of a network that learns from the data of a run.

    Args:
        data: of the run.
        network: as it was built.
        figures: of another model, where no scene is kept out.
    """
    recipe, statistics, task = data.recipe, data.statistics, data.recipe.make_task()
    table = recipe.table()
    sections = _SECTIONS_OF_A_FIT if is_fitted(recipe.arch) else _SECTIONS
    made_with: dict[str, Any] = {name: table[name] for name in sections if name in table}
    if is_fitted(recipe.arch):
        made_with |= {"fit": {"seed": recipe.fit.seed}}
    if statistics is not None:
        made_with["coarse"] = card_entry(recipe.sources, recipe.coarse or CoarseOptions(), statistics)
    weights = recipe.encoder_weights if recipe.init is None else recipe.init
    started_from = None if weights is None else Path(weights).name  # a card travels: folders stay at home
    return Card(
        name=recipe.name,
        description=recipe.description,
        arch=recipe.arch,
        encoder=recipe.encoder,
        options={**recipe.options, **task.network_options},
        bands=tuple(Band(b.name, b.common_name, b.mean, b.std, b.tags.scale, b.tags.offset) for b in recipe.bands),
        classes=recipe.classes,
        task=recipe.task,
        heads=Heads(()) if recipe.task == SEMANTIC else task.heads,
        task_options=dict(task.options),
        receptive_field=Field.of(receptive_field(network)),
        parameters=sum(p.numel() for p in network.parameters()),
        licence=recipe.licence,
        dtypes=recipe.dtypes,
        resolution_m=recipe.sampling.resolution_m,
        trained_at_m=recipe.trained_at_m,
        usable_resolution_m=recipe.usable_resolution_m or usable_range(data.split.train, recipe.sampling),
        training=Training(data.sources, {**made_with, "keep_out": list(data.keep_out)}, started_from),
        metrics=None if data.split.holdout else figures,
        limitations=recipe.limitations,
        created_by=f"landseg {__version__}",
    )
