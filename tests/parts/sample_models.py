"""Small models for tests: a card with every field filled in, and random weights that fit it."""

import dataclasses
from pathlib import Path
from typing import Any

from landseg.classes import ClassMap, LandClass
from landseg.models.card import Band, Card, DataSource, Field, Metrics, Training

CLASSES = ClassMap((LandClass(1, "water", (0, 0, 255)), LandClass(2, "bare land", (200, 150, 90))), ignore=(9,))


def make_card(**changes: Any) -> Card:
    """Returns a valid card with the given fields changed."""
    whole = Card(
        name="pond",
        description="Water or not.",
        arch="fcn32s",
        encoder="resnet18",
        bands=(Band("red", "red", 90.0, 40.0), Band("b8", None, 0.25, 0.125)),
        classes=CLASSES,
        receptive_field=Field(size=499, stride=32, offset=0.0, halo=256),
        parameters=1234,
        licence="CC0-1.0",
        options={"output_stride": 16, "rates": (6, 12)},
        dtypes=("uint8", "uint16"),
        fill=-0.5,
        resolution_m=0.5,
        trained_at_m=(0.3, 0.6),
        training=Training((DataSource("ponds", "CC-BY-4.0", "A. Pond", "ab" * 32),), {"epochs": 3}, "imagenet"),
        metrics=Metrics("tile 8, kept out", {"miou": 0.5}, {"water": {"iou": 0.75}}),
        limitations="Fails on ice.",
        created_by="landseg 0.1.0",
    )
    return dataclasses.replace(whole, **changes)


def save_small_model(path: Path, **changes: Any) -> Card:
    """Writes seeded random weights for the card of `make_card(**changes)`; returns the card as saved.

    Without changes it reads two bands of uint8 or uint16 and has an exact halo.
    """
    import torch

    from landseg.models.file import save_model
    from landseg.models.graph.receptive_field import receptive_field
    from landseg.models.networks.build import build_network

    card = make_card(**{"encoder": "efficientnet-lite0", "options": {}, "resolution_m": None} | changes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        network = build_network(
            card.arch, encoder=card.encoder, bands=len(card.bands), channels=len(card.classes), **card.options
        )
    card = dataclasses.replace(
        card,
        receptive_field=Field.of(receptive_field(network)),
        parameters=sum(weight.numel() for weight in network.parameters()),
    )
    save_model(path, network, card)
    return card
