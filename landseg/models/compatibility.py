"""The compatibility of a model with a raster: bands, dtype and resolution of the card and of the raster."""

from __future__ import annotations

from landseg.errors import BandError, GridError, LandsegError
from landseg.models.card import Card
from landseg.models.usable import better_text
from landseg.text.amounts import counted

MAX_FACTOR = 4.0
"""The largest factor between the resolutions of a raster and of the card; beyond it the raster is refused."""


def reads_rgb(card: Card) -> bool:
    """Return True if the model reads red, green and blue, which can be found in a raster without --bands."""
    return tuple(band.common_name for band in card.bands) == ("red", "green", "blue")


def incompatibility(
    card: Card, *, bands: int, dtype: str | None, resolution_m: float | None = None
) -> LandsegError | None:
    """Return the error to raise for a raster that the model cannot read; None if it can read the raster.

    Args:
        card: the card of the model.
        bands: number of bands of the raster without alpha, or of the chosen bands.
        dtype: dtype of the pixels; None if scale and offset convert them.
        resolution_m: ground metres a pixel; None if unknown or set by the user, which is compatible.
    """
    needed = f"{counted(len(card.bands), 'band')} ({', '.join(band.name for band in card.bands)})"
    if bands < len(card.bands):
        return BandError(
            f"model {card.name} reads {needed}, the raster has {bands}: use a raster with all of them, "
            "or a model trained on the ones it has"
        )
    if bands > len(card.bands) and not reads_rgb(card):
        return BandError(
            f"model {card.name} reads {needed}, the raster has {bands}: name the ones to use, in this "
            "order, with --bands"
        )
    if dtype is not None and dtype not in card.dtypes:
        return BandError(
            f"model {card.name} reads {' or '.join(card.dtypes)} pixels, the raster has {dtype}: convert it "
            f"as the training data was, or use a model trained on {dtype}"
        )
    return _resolution_error(card, resolution_m)


def _resolution_error(card: Card, resolution_m: float | None) -> GridError | None:
    if card.resolution_m is None or resolution_m is None:
        return None
    factor = card.resolution_m / resolution_m
    if 1 / MAX_FACTOR <= factor <= MAX_FACTOR:
        return None
    times = max(factor, 1 / factor)
    better = better_text(card, resolution_m)
    way = f"{better}, or say" if better else "say"
    return GridError(
        f"model {card.name} works at {card.resolution_m:.3g} m a pixel, the raster has {resolution_m:.3g} m: "
        f"{times:.3g} times apart, more than {MAX_FACTOR:g}; {way} with --resolution what to run it at"
    )
