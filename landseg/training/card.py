"""The card of a model that was just trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from landseg import __version__
from landseg.models.card import Band, Card, DataSource, Field, Metrics, Training
from landseg.models.graph.receptive_field import receptive_field
from landseg.models.networks.catalogue import is_fitted
from landseg.training.coarse.options import CoarseOptions
from landseg.training.coarse.sources import card_entry
from landseg.training.coarse.statistics import JointStatistics
from landseg.training.recipe import Recipe
from landseg.training.sources import find_items, fingerprint

_SECTIONS = ("fit", "sampling", "augment", "loss", "split")
_SECTIONS_OF_A_FIT = ("split",)


def data_sources(recipe: Recipe, data: Path) -> tuple[DataSource, ...]:
    """Return the recipe's data sets with the hash of their images: every file is read.

    Raises:
        RasterError: a file that cannot be read.
    """
    return tuple(
        DataSource(spec.name, spec.licence, spec.credit, fingerprint([item.image for item in find_items(spec, data)]))
        for spec in recipe.sources
    )


def build_card(
    recipe: Recipe,
    network: nn.Module,
    sources: tuple[DataSource, ...],
    *,
    keep_out: Sequence[str] = (),
    figures: Metrics | None = None,
    usable: tuple[float, float] | None = None,
    statistics: JointStatistics | None = None,
) -> Card:
    """Return the card of a recipe's trained network.

    Args:
        recipe: as it was trained.
        network: as it was built.
        sources: what it learned from.
        keep_out: what was named to be kept out.
        figures: on what was kept out.
        usable: the pixel sizes that the imagery makes it fit for, where the recipe names none.
        statistics: of coarse labels, where there were any.
    """
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
        options=dict(recipe.options),
        bands=tuple(Band(b.name, b.common_name, b.mean, b.std, b.tags.scale, b.tags.offset) for b in recipe.bands),
        classes=recipe.classes,
        receptive_field=Field.of(receptive_field(network)),
        parameters=sum(p.numel() for p in network.parameters()),
        licence=recipe.licence,
        dtypes=recipe.dtypes,
        resolution_m=recipe.sampling.resolution_m,
        trained_at_m=recipe.trained_at_m,
        usable_resolution_m=recipe.usable_resolution_m or usable,
        training=Training(sources, {**made_with, "keep_out": list(keep_out)}, started_from),
        metrics=figures,
        limitations=recipe.limitations,
        created_by=f"landseg {__version__}",
    )
